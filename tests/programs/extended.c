/* The names that only some allocators have: jemalloc's sized API, tcmalloc's tc_*, mimalloc's
 * mi_*. An absent function is NULL and skipped. */
#include "ledger.h"

#include <stdint.h>
#include <stdlib.h>

#define WEAK __attribute__((weak))

extern void *mallocx(size_t, int) WEAK;
extern void *rallocx(void *, size_t, int) WEAK;
extern size_t xallocx(void *, size_t, size_t, int) WEAK;
extern void dallocx(void *, int) WEAK;
extern void sdallocx(void *, size_t, int) WEAK;

extern void *tc_malloc(size_t) WEAK;
extern void *tc_calloc(size_t, size_t) WEAK;
extern void *tc_realloc(void *, size_t) WEAK;
extern void *tc_memalign(size_t, size_t) WEAK;
extern void *tc_malloc_skip_new_handler(size_t) WEAK;
extern void *tc_new(size_t) WEAK;
extern void *tc_newarray(size_t) WEAK;
extern void tc_free(void *) WEAK;
extern void tc_free_sized(void *, size_t) WEAK;
extern void tc_cfree(void *) WEAK;
extern void tc_delete(void *) WEAK;
extern void tc_deletearray(void *) WEAK;

extern void *mi_malloc(size_t) WEAK;
extern void *mi_zalloc(size_t) WEAK;
extern void *mi_calloc(size_t, size_t) WEAK;
extern void *mi_mallocn(size_t, size_t) WEAK;
extern void *mi_malloc_small(size_t) WEAK;
extern void *mi_malloc_aligned(size_t, size_t) WEAK;
extern void *mi_zalloc_aligned(size_t, size_t) WEAK;
extern void *mi_new(size_t) WEAK;
extern void *mi_new_nothrow(size_t) WEAK;
extern void *mi_realloc(void *, size_t) WEAK;
extern void *mi_reallocn(void *, size_t, size_t) WEAK;
extern void *mi_rezalloc(void *, size_t) WEAK;
extern void *mi_realloc_aligned(void *, size_t, size_t) WEAK;
extern void mi_free(void *) WEAK;
extern void mi_free_size(void *, size_t) WEAK;
extern void mi_free_aligned(void *, size_t) WEAK;

/* As in jemalloc.h: the low bits are the logarithm of the alignment; 0x40 clears the memory. */
enum { ALIGN_256 = 8, ZERO = 0x40 };

ALLOC_SITE(mallocx, (size_t n, int f), (n, f), n, mallocx(n, f))
REALLOC_SITE(rallocx, (void *p, size_t n, int f), (p, n, f), p, n, rallocx(p, n, f))
ALLOC_SITE(tc_malloc, (size_t n), (n), n, tc_malloc(n))
ALLOC_SITE(tc_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), tc_calloc(n, s))
ALLOC_SITE(tc_memalign, (size_t a, size_t n), (a, n), n, tc_memalign(a, n))
ALLOC_SITE(tc_skip, (size_t n), (n), n, tc_malloc_skip_new_handler(n))
ALLOC_SITE(tc_new, (size_t n), (n), n, tc_new(n))
ALLOC_SITE(tc_newarray, (size_t n), (n), n, tc_newarray(n))
REALLOC_SITE(tc_realloc, (void *p, size_t n), (p, n), p, n, tc_realloc(p, n))
ALLOC_SITE(mi_malloc, (size_t n), (n), n, mi_malloc(n))
ALLOC_SITE(mi_zalloc, (size_t n), (n), n, mi_zalloc(n))
ALLOC_SITE(mi_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), mi_calloc(n, s))
ALLOC_SITE(mi_mallocn, (size_t n, size_t s), (n, s), ledger_product(n, s), mi_mallocn(n, s))
ALLOC_SITE(mi_small, (size_t n), (n), n, mi_malloc_small(n))
ALLOC_SITE(mi_aligned, (size_t n, size_t a), (n, a), n, mi_malloc_aligned(n, a))
ALLOC_SITE(mi_zaligned, (size_t n, size_t a), (n, a), n, mi_zalloc_aligned(n, a))
ALLOC_SITE(mi_new, (size_t n), (n), n, mi_new(n))
ALLOC_SITE(mi_new_nothrow, (size_t n), (n), n, mi_new_nothrow(n))
REALLOC_SITE(mi_realloc, (void *p, size_t n), (p, n), p, n, mi_realloc(p, n))
REALLOC_SITE(mi_reallocn, (void *p, size_t n, size_t s), (p, n, s), p, ledger_product(n, s),
             mi_reallocn(p, n, s))
REALLOC_SITE(mi_rezalloc, (void *p, size_t n), (p, n), p, n, mi_rezalloc(p, n))
REALLOC_SITE(mi_realloc_aligned, (void *p, size_t n, size_t a), (p, n, a), p, n,
             mi_realloc_aligned(p, n, a))
ALLOC_SITE(malloc, (size_t n), (n), n, malloc(n))

/* xallocx resizes in place: where it reports at least the size asked for, the block is a new one
 * of that size; where it reports less, nothing changed. */
LEDGER_FUNCTION size_t site_xallocx_inner(void *block, size_t n)
{
    size_t got = xallocx(block, n, 0, 0);
    LEDGER_KEEP(got);
    return got;
}

LEDGER_FUNCTION int site_xallocx(void *block, size_t n)
{
    struct ledger_aside aside = ledger_set_aside(block);
    size_t got = site_xallocx_inner(block, n);
    LEDGER_KEEP(got);
    if (got < n) {
        ledger_put_back(&aside);
        return 0;
    }
    ledger_end(&aside);
    ledger_take(LEDGER_SITE("site_xallocx"), block, n);
    return 1;
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

static void jemalloc_names(void)
{
    ROUND(40, 3, site_mallocx(1 + 37 * i, 0), dallocx(block, 0));
    ROUND(40, 2, site_mallocx(4099, ZERO), sdallocx(block, 4099, 0));
    ROUND(40, 1, site_mallocx(777, ALIGN_256), sdallocx(block, 777, ALIGN_256));
    ROUND(20, 2, site_rallocx(site_mallocx(113, 0), 100 + 509 * i, 0), dallocx(block, 0));
    void *block = site_mallocx(60013, 0);
    if (!site_mallocx(PTRDIFF_MAX, 0) && site_rallocx(block, PTRDIFF_MAX, 0)) {
        ledger_fail("rallocx accepted a size that cannot be");
    }
    int grown = 0;
    for (long i = 0; i < 20; i++) {
        /* Small classes cannot grow, large ones can while the pages behind them are free. */
        void *small = site_mallocx(33, 0);
        grown += site_xallocx(small, 6007);
        void *large = site_mallocx(3000017, 0);
        grown += site_xallocx(large, 2500009);
        grown += site_xallocx(large, 2900017);
        if (i >= 4) {
            ledger_give(small);
            dallocx(small, 0);
            ledger_give(large);
            dallocx(large, 0);
        }
    }
    if (grown == 0) {
        ledger_fail("xallocx never succeeded, so this program does not test it");
    }
}

static void tcmalloc_names(void)
{
    ROUND(40, 3, site_tc_malloc(1 + 41 * i), tc_free(block));
    ROUND(40, 4, site_tc_calloc(3, 1 + 43 * i), tc_free(block));
    ROUND(40, 5, site_tc_memalign(128, 1 + 47 * i), tc_cfree(block));
    ROUND(40, 6, site_tc_skip(59), tc_free_sized(block, 59));
    ROUND(40, 7, site_tc_new(61 + i), tc_delete(block));
    ROUND(40, 8, site_tc_newarray(67 + i), tc_deletearray(block));
    ROUND(40, 9, site_tc_realloc(site_tc_malloc(71), 73 * (1 + i)), tc_free(block));
}

static void mimalloc_names(void)
{
    ROUND(40, 3, site_mi_malloc(1 + 41 * i), mi_free(block));
    ROUND(40, 4, site_mi_zalloc(1 + 43 * i), mi_free(block));
    ROUND(40, 5, site_mi_calloc(3, 1 + 47 * i), mi_free(block));
    ROUND(40, 6, site_mi_mallocn(5, 1 + 53 * i), mi_free(block));
    ROUND(40, 7, site_mi_small(59), mi_free_size(block, 59));
    ROUND(40, 8, site_mi_aligned(1 + 61 * i, 64), mi_free_aligned(block, 64));
    ROUND(40, 9, site_mi_zaligned(1 + 67 * i, 4096), mi_free(block));
    ROUND(40, 10, site_mi_new(71 + i), mi_free(block));
    ROUND(40, 11, site_mi_new_nothrow(73 + i), mi_free(block));
    ROUND(40, 12, site_mi_realloc(site_mi_malloc(79), 83 * (1 + i)), mi_free(block));
    ROUND(40, 13, site_mi_reallocn(NULL, 89, 1 + i), mi_free(block));
    ROUND(40, 14, site_mi_rezalloc(site_mi_zalloc(97), 101 * (1 + i)), mi_free(block));
    ROUND(40, 15, site_mi_realloc_aligned(site_mi_aligned(103, 64), 107 * (1 + i), 64),
          mi_free(block));
}

int main(void)
{
    ledger_start();
    ROUND(10, 1, site_malloc(19), free(block));
    if (mallocx && rallocx && xallocx && dallocx && sdallocx) {
        jemalloc_names();
    }
    if (tc_malloc && tc_new && tc_free_sized) {
        tcmalloc_names();
    }
    if (mi_malloc && mi_rezalloc) {
        mimalloc_names();
    }
    ledger_finish();
}
