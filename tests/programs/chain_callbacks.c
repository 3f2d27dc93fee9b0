/* Ways on which C code comes to an allocator that are not calls of one function by another:
 * callbacks of the C library, signal handlers, other stacks, threads, jumps. */
#define _GNU_SOURCE
#include "chain_shadow.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <ucontext.h>
#endif

CHAIN_SITE(site_malloc, (size_t n), malloc(n))
CHAIN_SITE(site_handler, (size_t n), malloc(n))
CHAIN_SITE(site_thread, (size_t n), malloc(n))

CHAIN_FUNCTION int hop_compare(const void *a, const void *b)
{
    CHAIN_IN("^hop_compare");
    CHAIN_TAKE(site_malloc, 601);
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

CHAIN_FUNCTION void hop_sort(void)
{
    CHAIN_IN("hop_sort");
    int numbers[] = {5, 3, 9, 1, 7, 2, 8};
    int key = 7;
    /* Headers may have a bsearch that becomes a part of its caller. */
    void *(*volatile search)(const void *, const void *, size_t, size_t,
                             int (*)(const void *, const void *)) = bsearch;
    qsort(numbers, sizeof numbers / sizeof *numbers, sizeof *numbers, hop_compare);
    if (!search(&key, numbers, sizeof numbers / sizeof *numbers, sizeof *numbers, hop_compare)) {
        ledger_fail("bsearch did not find what is there");
    }
}

CHAIN_FUNCTION void hop_once(void)
{
    CHAIN_IN("^hop_once");
    CHAIN_TAKE(site_malloc, 701);
}

CHAIN_FUNCTION void hop_first(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHAIN_IN("hop_first");
    pthread_once(&once, hop_once);
}

CHAIN_FUNCTION void hop_signal(int number)
{
    (void)number;
    CHAIN_IN("^hop_signal");
    CHAIN_TAKE(site_handler, 809);
}

static char other_stack[1 << 16];

CHAIN_FUNCTION void hop_raise(int flags)
{
    CHAIN_IN("hop_raise");
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    struct sigaction action = {.sa_handler = hop_signal, .sa_flags = flags};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

static jmp_buf back;

CHAIN_FUNCTION void hop_jumping(void)
{
    chain_enter("hop_jumping");
    CHAIN_TAKE(site_malloc, 907);
    longjmp(back, 1);
}

CHAIN_FUNCTION void hop_jumped(void)
{
    CHAIN_IN("hop_jumped");
    int depth = chain_depth();
    if (setjmp(back) == 0) {
        hop_jumping();
    }
    chain_return_to(depth);
    CHAIN_TAKE(site_malloc, 911);
}

CHAIN_FUNCTION void *hop_thread(void *argument)
{
    CHAIN_IN("hop_thread");
    CHAIN_TAKE(site_thread, *(size_t *)argument);
    return NULL;
}

static void threads(void)
{
    for (size_t i = 0; i < 4; i++) {
        size_t size = 1009 + i;
        pthread_t thread;
        if (pthread_create(&thread, NULL, hop_thread, &size) != 0 || pthread_join(thread, NULL) != 0) {
            ledger_fail("no thread");
        }
    }
}

#ifdef __GLIBC__
static ucontext_t here, there;

CHAIN_FUNCTION void hop_coroutine(void)
{
    CHAIN_IN("hop_coroutine");
    CHAIN_TAKE(site_malloc, 1303);
}

/* Its stack ends with hop_coroutine. */
static void coroutine(void)
{
    static char stack[1 << 16];
    int depth = chain_depth();
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    there.uc_link = &here;
    makecontext(&there, hop_coroutine, 0);
    chain_new_stack();
    swapcontext(&here, &there);
    chain_return_to(depth);
}
#endif

int main(int argc, char **argv)
{
    chain_start(argc, argv);
    CHAIN_IN("main");
    hop_sort();
    hop_first();
    hop_raise(0);
    hop_raise(SA_ONSTACK);
    hop_jumped();
    threads();
#ifdef __GLIBC__
    coroutine();
#endif
    chain_finish();
}
