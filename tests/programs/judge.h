/* What every program has that gdb judges: a signal whose handler allocates, so that a recording
 * has the stack of whatever the signal has interrupted.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The workload is to end. */
extern volatile sig_atomic_t judge_over;

/* Installs the handler of SIGUSR2, says `ready` and waits for the line that starts the workload.
 *
 * The signal is to be sent with a value n. For n from 1 to JUDGE_STOPS the handler calls
 * judge_malloc(JUDGE_SIZE + n) from a place of its own for each n, so that no two stacks are the
 * same. 0 says that it is over. */
void judge_start(void);

/* A workload's results go here, so that no compiler takes it away. */
void judge_use(unsigned long result);

enum { JUDGE_STOPS = 1024, JUDGE_SIZE = 1000000 };

#ifdef __cplusplus
}
#endif

#define JUDGE_NOINLINE __attribute__((noinline, noclone))

#endif
