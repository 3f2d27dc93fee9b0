/* A timer's handler that allocates, on an alternate stack, over code of the C library: the stack
 * passes through a signal frame. The handler itself is interrupted, too. */
#define _GNU_SOURCE
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static char alternate[256 * 1024];

static JUDGE_NOINLINE unsigned long work(unsigned depth, unsigned long seed)
{
    if (depth > 0) {
        return work(depth - 1, seed * 6364136223846793005ul + 1) ^ depth;
    }
    char text[64];
    snprintf(text, sizeof text, "%lu %g", seed, (double)seed);
    return strtoul(text, NULL, 10) + strlen(text);
}

static void on_timer(int signal)
{
    (void)signal;
    static unsigned long calls;
    calls++;
    void *block = malloc(100 + calls % 50);
    memset(block, (int)calls, 100);
    unsigned long sum = 0;
    for (unsigned i = 0; i < 400; i++) {
        sum += work(i % 9, sum + i);
    }
    judge_use(sum + *(unsigned char *)block);
    free(block);
}

int main(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    judge_start();
    struct itimerval interval = {{0, 700}, {0, 700}};
    setitimer(ITIMER_REAL, &interval, NULL);
    unsigned long sum = 0;
    while (!judge_over) {
        sum += work(15, sum);
    }
    judge_use(sum);
    interval = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &interval, NULL);
}
