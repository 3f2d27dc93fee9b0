/* The C library's allocator and one of its own that has a prefix, each with its blocks. */
#define malloc je_malloc
#define calloc je_calloc
#define realloc je_realloc
#define free je_free
#define aligned_alloc je_aligned_alloc
#define memalign je_memalign
#define posix_memalign je_posix_memalign
#include "own_allocator.h"
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef aligned_alloc
#undef memalign
#undef posix_memalign

#include "ledger.h"

#include <stdlib.h>

ALLOC_SITE(je_malloc, (size_t n), (n), n, je_malloc(n))
ALLOC_SITE(je_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), je_calloc(n, s))
ALLOC_SITE(je_aligned, (size_t a, size_t n), (a, n), n, je_aligned_alloc(a, n))
REALLOC_SITE(je_realloc, (void *p, size_t n), (p, n), p, n, je_realloc(p, n))
ALLOC_SITE(libc_malloc, (size_t n), (n), n, malloc(n))
ALLOC_SITE(libc_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
REALLOC_SITE(libc_realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))

static void je_give(void *block)
{
    ledger_give(block);
    je_free(block);
}

static void libc_give(void *block)
{
    ledger_give(block);
    free(block);
}

int main(void)
{
    ledger_start();
    for (size_t i = 0; i < 200; i++) {
        void *ours = site_je_malloc(11 + i);
        void *theirs = site_libc_malloc(13 + i);
        ours = site_je_realloc(ours, 1009 + i);
        theirs = site_libc_realloc(theirs, 1013 + i);
        if (i % 4 != 0) {
            je_give(ours);
            libc_give(theirs);
        }
        if (i % 3 != 0) {
            je_give(site_je_calloc(3, 101 + i));
            libc_give(site_libc_calloc(3, 103 + i));
        } else {
            site_je_calloc(5, 107 + i);
            site_libc_calloc(5, 109 + i);
        }
    }
    for (size_t i = 0; i < 20; i++) {
        void *block = site_je_aligned(64, 503 + i);
        if (i % 2 == 0) {
            je_give(block);
        }
    }
    ledger_finish();
}
