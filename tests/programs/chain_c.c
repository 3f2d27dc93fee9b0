/* The frames that C has without frame pointers: large ones, ones of variable size, realigned ones,
 * and some where rbp is anything but a frame pointer. Each function that takes a block calls the
 * allocator itself. */
#define _GNU_SOURCE
#include "chain_shadow.h"

#include <alloca.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *posix_block(size_t alignment, size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

static void *printed(const char *text)
{
    char *line = NULL;
    return asprintf(&line, "%s", text) < 0 ? NULL : line;
}

CHAIN_SITE(site_malloc, (size_t n), malloc(n))
CHAIN_SITE(site_calloc, (size_t n), calloc(3, n))
CHAIN_SITE(site_realloc, (void *old, size_t n), realloc(old, n))
CHAIN_SITE(site_memalign, (size_t n), posix_block(64, n))
CHAIN_SITE(site_aligned, (size_t n), aligned_alloc(128, n))
CHAIN_SITE(site_strdup, (const char *text), strdup(text))
CHAIN_SITE(site_asprintf, (const char *text), printed(text))
CHAIN_SITE(site_arguments, (int a, int b, int c, int d, int e, int f, int g, int h, size_t n),
           malloc(n + (size_t)(a + b + c + d + e + f + g + h)))

/* Each direct caller, ten times with another size. */
CHAIN_FUNCTION void hop_direct(void)
{
    CHAIN_IN("hop_direct");
    for (size_t i = 0; i < 10; i++) {
        void *block = CHAIN_TAKE(site_malloc, 101 + i);
        CHAIN_CALL("site_calloc", 3 * (i + 11), site_calloc(i + 11));
        struct ledger_aside aside = ledger_set_aside(block);
        CHAIN_CALL("site_realloc", 5003 + i, site_realloc(block, 5003 + i));
        ledger_end(&aside);
        CHAIN_TAKE(site_memalign, 301 + i);
        CHAIN_TAKE(site_aligned, 128 * (i + 1));
        block = CHAIN_TAKE(site_malloc, 7);
        ledger_give(block);
        free(block);
    }
}

CHAIN_FUNCTION void hop_library(void)
{
    CHAIN_IN("hop_library");
    CHAIN_CALL(">site_strdup", 12, site_strdup("eleven char"));
    CHAIN_CALL(">site_asprintf", 6, site_asprintf("short"));
}

CHAIN_FUNCTION void hop_large(size_t n)
{
    CHAIN_IN("hop_large");
    char large[70001];
    CHAIN_HOLD(large);
    CHAIN_TAKE(site_malloc, n);
    CHAIN_HOLD(large);
}

CHAIN_FUNCTION void hop_variable(size_t elements, size_t n)
{
    CHAIN_IN("hop_variable");
    long array[elements];
    CHAIN_HOLD(array);
    hop_large(n);
    CHAIN_HOLD(array);
}

CHAIN_FUNCTION void hop_aligned(size_t elements, size_t n)
{
    CHAIN_IN("hop_aligned");
    char line[96] __attribute__((aligned(64)));
    char *more = alloca(elements);
    CHAIN_HOLD(line);
    CHAIN_HOLD(more);
    hop_variable(elements, n);
    CHAIN_HOLD(line);
    CHAIN_HOLD(more);
}

CHAIN_FUNCTION void hop_never(void)
{
    ledger_fail("called what is never called");
}

/* rbp holds data: a number, or the address of what looks like a frame that hop_never has called. */
CHAIN_FUNCTION void hop_register(size_t value, size_t n)
{
    CHAIN_IN("hop_register");
#ifdef __x86_64__
    register size_t data __asm__("rbp") = value;
    __asm__ volatile("" : "+r"(data));
    CHAIN_TAKE(site_malloc, n);
    __asm__ volatile("" : "+r"(data));
#else
    (void)value;
    CHAIN_TAKE(site_malloc, n);
#endif
}

CHAIN_FUNCTION void hop_registers(void)
{
    CHAIN_IN("hop_registers");
    uintptr_t inside = (uintptr_t)hop_never + 4;
    uintptr_t frames[] = {0, inside, 0, inside, 0, inside};
    frames[0] = (uintptr_t)&frames[2];
    frames[2] = (uintptr_t)&frames[4];
    CHAIN_HOLD(frames);
    hop_register((uintptr_t)frames, 401);
    hop_register(0, 403);
    hop_register(UINT64_C(0xDEADBEEF0BADF00D), 409);
}

CHAIN_FUNCTION void hop_arguments(size_t n)
{
    CHAIN_IN("hop_arguments");
    CHAIN_CALL("site_arguments", n + 36, site_arguments(1, 2, 3, 4, 5, 6, 7, 8, n));
}

/* Is no frame: it ends with a jump. */
CHAIN_FUNCTION void *hop_gone(size_t n)
{
    return site_malloc(n * 2 + 1);
}

CHAIN_FUNCTION void hop_jump(void)
{
    CHAIN_IN("hop_jump");
    CHAIN_CALL("site_malloc", 903, hop_gone(451));
}

CHAIN_FUNCTION void hop_odd(int depth);

CHAIN_FUNCTION void hop_even(int depth)
{
    CHAIN_IN("hop_even");
    if (depth == 0) {
        CHAIN_TAKE(site_malloc, 503);
        return;
    }
    hop_odd(depth - 1);
}

CHAIN_FUNCTION void hop_odd(int depth)
{
    CHAIN_IN("hop_odd");
    char frame[200];
    CHAIN_HOLD(frame);
    hop_even(depth - 1);
    CHAIN_HOLD(frame);
}

int main(int argc, char **argv)
{
    chain_start(argc, argv);
    CHAIN_IN("main");
    hop_direct();
    hop_library();
    hop_large(201);
    hop_variable(9000, 203);
    hop_aligned(77, 205);
    hop_registers();
    hop_arguments(211);
    hop_jump();
    for (int i = 0; i < 5; i++) {
        hop_even(60);
    }
    chain_finish();
}
