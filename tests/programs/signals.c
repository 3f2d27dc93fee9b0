/* Signal handlers that allocate and free, delivered while the interrupted code is outside of the
 * allocator: raised, and by a timer; on the thread's stack and on an alternate one. */
#define _GNU_SOURCE
#include "ledger.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

ALLOC_SITE(raised, (size_t n), (n), n, malloc(n))
ALLOC_SITE(alternate_stack, (size_t n), (n), n, malloc(n))
ALLOC_SITE(timer, (size_t n), (n), n, malloc(n))
ALLOC_SITE(outside, (size_t n), (n), n, malloc(n))
REALLOC_SITE(raised_realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))

enum { TICKS = 40 };

static char alternate[64 * 1024];
static volatile size_t raised, ticks;

static void release(void *block)
{
    ledger_give(block);
    free(block);
}

static void on_raise(int signal)
{
    (void)signal;
    void *block = site_raised(101 + raised);
    if (raised % 3 == 0) {
        block = site_raised_realloc(block, 5003);
    }
    if (++raised % 50 != 0) {
        release(block);
    }
}

static void on_alternate_stack(int signal)
{
    (void)signal;
    static size_t calls;
    void *block = site_alternate_stack(211 + calls);
    if (++calls % 60 != 0) {
        release(block);
    }
}

static void on_timer(int signal)
{
    (void)signal;
    if (ticks < TICKS) {
        void *block = site_timer(307 + ticks);
        if (ticks % 10 != 0) {
            release(block);
        }
        ticks++;
    }
}

static void handle(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(signal, &action, NULL);
}

int main(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    handle(SIGUSR1, on_raise, 0);
    handle(SIGUSR2, on_alternate_stack, SA_ONSTACK);
    handle(SIGALRM, on_timer, SA_RESTART);

    ledger_start();
    for (size_t i = 0; i < 500; i++) {
        void *block = site_outside(17 + i);
        raise(i % 2 ? SIGUSR1 : SIGUSR2);
        if (i % 100 != 0) {
            release(block);
        }
    }
    struct itimerval interval = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &interval, NULL);
    volatile size_t work = 0;
    while (ticks < TICKS) {
        work = work + 1;
    }
    interval = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &interval, NULL);
    ledger_finish();
}
