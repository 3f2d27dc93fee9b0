/* The same blocks, taken and given back in the same ways, at the ends of 256 paths through a binary tree of
 * calls, on four threads: as many estimates of one number, when blocks are sampled. musl's calloc and realloc
 * call malloc. */
#include "ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { LEVELS = 8, BLOCKS = 1500, THREADS = 4 };

ALLOC_SITE(zeroed, (size_t n, size_t size), (n, size), n * size, calloc(n, size))
ALLOC_SITE(start, (size_t n), (n), n, malloc(n))
REALLOC_SITE(grown, (void *p, size_t n), (p, n), p, n, realloc(p, n))
ALLOC_SITE(freed, (size_t n), (n), n, malloc(n))

LEDGER_FUNCTION void branch_0(unsigned path, unsigned level);
LEDGER_FUNCTION void branch_1(unsigned path, unsigned level);

static void leaf(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        void *freed = site_freed(150);
        void *grown = site_grown(site_start(100), 220);
        void *zeroed = site_zeroed(2, 100);
        if (!grown || !zeroed) {
            ledger_fail("no memory");
        }
        ledger_give(freed);
        free(freed);
    }
}

static inline void descend(unsigned path, unsigned level)
{
    if (level == 0) {
        leaf();
    } else if (path & 1) {
        branch_1(path >> 1, level - 1);
    } else {
        branch_0(path >> 1, level - 1);
    }
    __asm__ volatile("");
}

LEDGER_FUNCTION void branch_0(unsigned path, unsigned level)
{
    descend(path, level);
}

LEDGER_FUNCTION void branch_1(unsigned path, unsigned level)
{
    descend(path, level);
}

static void *quarter(void *first)
{
    for (uintptr_t path = (uintptr_t)first; path < 1 << LEVELS; path += THREADS) {
        branch_0((unsigned)path, LEVELS);
    }
    return NULL;
}

int main(void)
{
    ledger_start();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, quarter, (void *)i) != 0) {
            ledger_fail("no thread");
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ledger_finish();
}
