/* Every allocation function of the C library, with what it does at its edges: size 0, overflow,
 * failure, NULL, blocks from before the recording. */
#define _GNU_SOURCE
#include "ledger.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

/* Not every C library has these. */
extern void cfree(void *) __attribute__((weak));
extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));
#ifndef __GLIBC__
extern void *pvalloc(size_t) __attribute__((weak));
#endif

static int posix_memalign_status(size_t alignment, size_t size, void **out)
{
    return posix_memalign(out, alignment, size);
}

#define POSIX_MEMALIGN(alignment, size)                                         \
    (__extension__({                                                            \
        void *out = NULL;                                                       \
        posix_memalign(&out, alignment, size) == 0 ? out : NULL;                \
    }))

ALLOC_SITE(malloc, (size_t n), (n), n, malloc(n))
ALLOC_SITE(malloc_zero, (size_t n), (n), n, malloc(n))
ALLOC_SITE(malloc_large, (size_t n), (n), n, malloc(n))
ALLOC_SITE(malloc_huge, (size_t n), (n), n, malloc(n))
ALLOC_SITE(calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(calloc_overflow, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(posix_memalign, (size_t a, size_t n), (a, n), n, POSIX_MEMALIGN(a, n))
ALLOC_SITE(aligned_alloc, (size_t a, size_t n), (a, n), n, aligned_alloc(a, n))
ALLOC_SITE(memalign, (size_t a, size_t n), (a, n), n, memalign(a, n))
ALLOC_SITE(valloc, (size_t n), (n), n, valloc(n))
ALLOC_SITE(pvalloc, (size_t n), (n), n, pvalloc(n))
ALLOC_SITE(for_cfree, (size_t n), (n), n, malloc(n))
ALLOC_SITE(for_free_sized, (size_t n), (n), n, malloc(n))
ALLOC_SITE(for_free_aligned_sized, (size_t a, size_t n), (a, n), n, aligned_alloc(a, n))
ALLOC_SITE(before, (size_t n), (n), n, malloc(n))
REALLOC_SITE(realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(realloc_null, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(realloc_zero, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(realloc_huge, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(realloc_before, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(reallocarray, (void *p, size_t n, size_t s), (p, n, s), p, ledger_product(n, s),
             reallocarray(p, n, s))

static void release(void *block)
{
    ledger_give(block);
    free(block);
}

/* Evaluates ALLOCATION `times` times and gives back all but the first `keep` blocks. */
#define ROUND(times, keep, ALLOCATION, RELEASE)      \
    for (long i = 0; i < (times); i++) {             \
        void *block = (ALLOCATION);                  \
        if (!block) {                                \
            ledger_fail("failed: " #ALLOCATION);     \
        }                                            \
        if (i >= (keep)) {                           \
            ledger_give(block);                      \
            RELEASE;                                 \
        }                                            \
    }

/* Whether the module that defines free also defines this function: a preloaded allocator that
 * lacks pvalloc leaves the C library's, whose blocks it cannot free. */
static int is_ours(void *function)
{
#ifdef LEDGER_STATIC
    return function != NULL;
#else
    Dl_info theirs, ours;
    return function && dladdr(function, &theirs) && dladdr((void *)free, &ours) &&
           theirs.dli_fbase == ours.dli_fbase;
#endif
}

static void optional_functions(void)
{
    if (is_ours((void *)memalign)) {
        ROUND(31, 4, site_memalign(128, 1 + 401 * i), free(block));
    }
    if (is_ours((void *)valloc)) {
        ROUND(12, 3, site_valloc(5003 + i), free(block));
    }
    if (is_ours((void *)pvalloc)) {
        ROUND(12, 2, site_pvalloc(4099 + i), free(block));
    }
    if (is_ours((void *)cfree)) {
        ROUND(20, 1, site_for_cfree(61), cfree(block));
    }
    if (is_ours((void *)free_sized)) {
        ROUND(20, 2, site_for_free_sized(67), free_sized(block, 67));
    }
    if (is_ours((void *)free_aligned_sized)) {
        ROUND(20, 3, site_for_free_aligned_sized(64, 192), free_aligned_sized(block, 64, 192));
    }
}

static void failures(void)
{
    /* PTRDIFF_MAX is refused by every allocator without trying. */
    for (int i = 0; i < 5; i++) {
        if (site_malloc_huge(PTRDIFF_MAX) || site_calloc_overflow(SIZE_MAX / 2, 3)) {
            ledger_fail("a size that cannot be was accepted");
        }
    }
    void *block = site_malloc(7919);
    for (int i = 0; i < 5; i++) {
        if (site_realloc_huge(block, PTRDIFF_MAX)) {
            ledger_fail("a size that cannot be was accepted");
        }
    }
    release(block);
    site_realloc_huge(site_malloc(7907), PTRDIFF_MAX);

    void *out = (void *)1;
    if (posix_memalign_status(24, 100, &out) != EINVAL) {
        ledger_fail("posix_memalign accepted an alignment of 24");
    }
    if (posix_memalign_status(64, PTRDIFF_MAX, &out) == 0) {
        ledger_fail("posix_memalign accepted a size that cannot be");
    }
    free(NULL);
}

static void reallocs(void)
{
    void *block = site_malloc(37);
    for (size_t n = 41; n < 300000; n = n * 3 / 2 + 1) {
        block = site_realloc(block, n);
    }
    for (size_t n = 200003; n > 50; n /= 3) {
        block = site_realloc(block, n);
    }
    block = NULL;
    for (size_t n = 1; n <= 40; n++) {
        block = site_reallocarray(block, n, 113);
    }
    if (site_reallocarray(block, SIZE_MAX / 8, 9)) {
        ledger_fail("reallocarray accepted an overflow");
    }
    ROUND(10, 2, site_reallocarray(NULL, 7, 19 + i), free(block));

    ROUND(9, 2, site_realloc_null(NULL, 211 + i), free(block));
    for (int i = 0; i < 7; i++) {
        /* What this does is the allocator's choice: free, or a block of size 0. */
        void *zero = site_realloc_zero(site_malloc(229), 0);
        if (zero && i >= 2) {
            release(zero);
        }
    }
    ROUND(6, 2, site_realloc_zero(NULL, 0), free(block));
}

int main(void)
{
    void *before[40];
    for (int i = 0; i < 40; i++) {
        before[i] = site_before((size_t)(100 + i));
    }
    ledger_start();

    ROUND(1000, 37, site_malloc(1 + i * 7 % 5003), free(block));
    ROUND(20, 3, site_malloc_large(1999993 + i), free(block));
    ROUND(50, 5, site_malloc_zero(0), free(block));
    ROUND(300, 11, site_calloc(1 + i, 37), free(block));
    ROUND(10, 1, site_calloc(3, 0), free(block));
    ROUND(60, 6, site_posix_memalign(64, 1 + 97 * i), free(block));
    ROUND(10, 2, site_posix_memalign(8192, 4099), free(block));
    ROUND(60, 0, site_aligned_alloc(32, 32 * (1 + i)), free(block));
    ROUND(60, 7, site_aligned_alloc(256, 100 + i), free(block));
    optional_functions();
    reallocs();
    failures();

    for (int i = 0; i < 20; i++) {
        release(before[i]);
    }
    for (int i = 20; i < 30; i++) {
        void *block = site_realloc_before(before[i], (size_t)(1000 + i));
        if (i >= 23) {
            release(block);
        }
    }
    ledger_finish();
}
