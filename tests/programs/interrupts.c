/* Signal handlers that allocate while they interrupt the allocator itself: their calls are no
 * part of the call they interrupt. */
#define _GNU_SOURCE
#include "own_allocator.h"

#include "ledger.h"

#include <signal.h>
#include <stdint.h>

ALLOC_SITE(interrupted, (size_t n), (n), n, malloc(n))
ALLOC_SITE(interrupted_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(handler, (size_t n), (n), n, malloc(n))
ALLOC_SITE(handler_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(alternate_stack, (size_t n), (n), n, malloc(n))
REALLOC_SITE(interrupted_realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))

static char alternate[64 * 1024];
static void *dropped;

static void release(void *block)
{
    ledger_give(block);
    free(block);
}

static void on_signal(int signal)
{
    (void)signal;
    static size_t calls;
    calls++;
    void *block = calls % 2 ? site_handler(211) : site_handler_calloc(3, 223);
    release(dropped);
    dropped = calls % 10 == 0 ? NULL : block;
}

static void on_alternate_stack(int signal)
{
    (void)signal;
    static size_t calls;
    void *block = site_alternate_stack(307);
    if (++calls % 20 != 0) {
        release(block);
    }
}

static void interrupt(void)
{
    raise(SIGUSR1);
}

static void interrupt_on_alternate_stack(void)
{
    raise(SIGUSR2);
}

int main(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    struct sigaction other = {.sa_handler = on_alternate_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &other, NULL);

    ledger_start();
    for (size_t i = 0; i < 300; i++) {
        malloc_hook = i % 2 ? interrupt : interrupt_on_alternate_stack;
        void *block;
        if (i % 3 == 0) {
            block = site_interrupted(401 + i);
        } else if (i % 3 == 1) {
            block = site_interrupted_calloc(5, 409 + i);
        } else {
            malloc_hook = NULL;
            block = site_interrupted(37);
            malloc_hook = i % 2 ? interrupt : interrupt_on_alternate_stack;
            block = site_interrupted_realloc(block, 100003 + i);
        }
        if (i >= 10) {
            release(block);
        }
    }
    ledger_finish();
}
