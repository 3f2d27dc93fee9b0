/* realloc in chains: growing, shrinking, in place and moving, failing in between, on several
 * threads at once. */
#include "ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { THREADS = 8, CHAINS = 40, STEPS = 60 };

ALLOC_SITE(start, (size_t n), (n), n, malloc(n))
REALLOC_SITE(grow, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(shrink, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(same, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(fail, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(large, (void *p, size_t n), (p, n), p, n, realloc(p, n))

static void chain(size_t seed)
{
    size_t size = 17 + seed;
    void *block = site_start(size);
    for (size_t step = 0; step < STEPS; step++) {
        if (step % 7 == 3 && site_fail(block, PTRDIFF_MAX)) {
            ledger_fail("realloc accepted a size that cannot be");
        }
        if (step % 11 == 5) {
            block = site_same(block, size);
        } else if (step % 13 == 6) {
            size = size / 3 + 1;
            block = site_shrink(block, size);
        } else {
            size += size / 4 + 37;
            if (size > 500000) {
                size = 41 + seed;
            }
            block = site_grow(block, size);
        }
        if (!block) {
            ledger_fail("realloc failed");
        }
    }
    if (seed % 5 != 0) {
        ledger_give(block);
        free(block);
    }
}

static void *worker(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    for (size_t i = 0; i < CHAINS; i++) {
        chain(self * CHAINS + i);
    }
    return NULL;
}

int main(void)
{
    static pthread_t threads[THREADS];
    ledger_start();
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i) != 0) {
            ledger_fail("pthread_create failed");
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    /* Large enough for a mapping of its own, which mremap moves. */
    void *block = NULL;
    for (size_t n = 300007; n < 40000000; n *= 2) {
        block = site_large(block, n);
    }
    ledger_finish();
}
