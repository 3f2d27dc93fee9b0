/* longjmp out of an allocator, from its hook or from a signal handler that interrupts it: the
 * call never returns and takes nothing, and the calls after it are counted as ever. */
#define _GNU_SOURCE
#include "own_allocator.h"

#include "ledger.h"

#include <setjmp.h>
#include <signal.h>

static jmp_buf landing;
static sigjmp_buf signal_landing;

ALLOC_SITE(malloc, (size_t n), (n), n, malloc(n))
ALLOC_SITE(calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(after, (size_t n), (n), n, malloc(n))
ALLOC_SITE(deeper, (size_t n), (n), n, malloc(n))
ALLOC_SITE(jumped, (size_t n), (n), n, malloc(n))
ALLOC_SITE(jumped_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(aligned, (size_t a, size_t n), (a, n), n, aligned_alloc(a, n))
REALLOC_SITE(realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))

/* realloc that is left by longjmp has not ended the old block: the ledger keeps it. */
LEDGER_FUNCTION void *site_jumped_realloc(void *block, size_t n)
{
    block = realloc(block, n);
    LEDGER_KEEP(block);
    return block;
}

/* The same calls from a stack that is deeper by about a kilobyte a level. */
LEDGER_FUNCTION void *descend(int levels, size_t n)
{
    volatile char space[1024];
    space[0] = (char)levels;
    void *block = levels > 0 ? descend(levels - 1, n) : site_deeper(n);
    space[1] = space[0];
    return block;
}

static void release(void *block)
{
    ledger_give(block);
    free(block);
}

static void jump(void)
{
    longjmp(landing, 1);
}

static void interrupt(void)
{
    raise(SIGUSR1);
}

static void on_signal(int signal)
{
    (void)signal;
    siglongjmp(signal_landing, 1);
}

static void left_by_longjmp(size_t i)
{
    void *volatile old = site_malloc(307 + i);
    if (setjmp(landing) == 0) {
        malloc_hook = jump;
        if (i % 3 == 0) {
            site_jumped(401);
        } else if (i % 3 == 1) {
            site_jumped_calloc(3, 409);
        } else {
            site_jumped_realloc(old, 100003);
        }
        ledger_fail("the hook did not jump");
    }
    if (i >= 9) {
        release(old);
    }
}

static void left_by_signal(size_t i)
{
    if (sigsetjmp(signal_landing, 1) == 0) {
        malloc_hook = interrupt;
        if (i % 2 == 0) {
            site_jumped(419);
        } else {
            site_jumped_calloc(5, 421);
        }
        ledger_fail("the handler did not jump");
    }
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    ledger_start();
    for (size_t i = 0; i < 300; i++) {
        if (i % 2 == 0) {
            left_by_longjmp(i);
        } else {
            left_by_signal(i / 2);
        }
        void *blocks[] = {
            i % 4 == 0 ? site_after(503 + i) : NULL,
            i % 4 == 1 ? descend((int)(i % 7), 601 + i) : NULL,
            i % 4 == 2 ? site_calloc(7, 701 + i) : NULL,
            site_realloc(site_malloc(33), 801 + i * 100),
            i % 5 == 0 ? site_aligned(256, 901 + i) : NULL,
        };
        for (int k = 0; k < 5; k++) {
            if (blocks[k] && i >= 20) {
                release(blocks[k]);
            }
        }
    }
    ledger_finish();
}
