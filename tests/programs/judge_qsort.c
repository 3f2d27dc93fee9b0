/* Callbacks from the C library: qsort, bsearch, lfind; string and number functions, variable-length arrays and over-aligned frames. */
#define _GNU_SOURCE
#include "judge.h"

#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ITEMS = 36, TEXT = 24 };

struct item {
    char text[TEXT];
    uint32_t key;
};

static uint32_t state = 1;

static JUDGE_NOINLINE uint32_t random_number(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->text, ((const struct item *)b)->text);
}

static int by_number(const void *a, const void *b, void *seed)
{
    unsigned long left = strtoul(((const struct item *)a)->text + 1, NULL, 16) ^ *(uint32_t *)seed;
    unsigned long right = strtoul(((const struct item *)b)->text + 1, NULL, 16) ^ *(uint32_t *)seed;
    return (left > right) - (left < right);
}

static int is_other(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

/* A callback that calls back. */
static int by_last_digit(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    size_t count = 9;
    const char *found = lfind(&right->text[4], left->text, &count, 1, is_other);
    char text[2 * TEXT];
    snprintf(text, sizeof text, "%.3f %s", strtod(left->text + 9, NULL), right->text);
    return found ? (int)(found - left->text) - text[4] % 9 : strcmp(text + 5, left->text);
}

/* The frame's alignment is more than the caller's, and its size is not known. */
static JUDGE_NOINLINE unsigned long realigned(size_t n)
{
    _Alignas(64) unsigned char lines[128];
    uint32_t numbers[n];
    for (size_t i = 0; i < n; i++) {
        numbers[i] = random_number();
        lines[i % sizeof lines] = (unsigned char)(numbers[i] ^ (uintptr_t)lines);
    }
    return numbers[n / 2] + lines[n % sizeof lines];
}

static JUDGE_NOINLINE unsigned long recursive(unsigned depth, struct item *items)
{
    if (depth == 0) {
        struct item *found = bsearch(items + 7, items, ITEMS, sizeof *items, by_text);
        size_t count = ITEMS;
        struct item *same = lfind(items + 11, items, &count, sizeof *items, by_text);
        return (unsigned long)(found - items) + (unsigned long)(same - items);
    }
    unsigned long below = recursive(depth - 1, items);
    return realigned(depth + 3) ^ (below * 31 + depth);
}

static void fill(struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].key = random_number();
        snprintf(items[i].text, TEXT, "x%08x %5.2f", items[i].key, items[i].key / 1e7);
    }
}

int main(void)
{
    static struct item items[ITEMS];
    judge_start();
    fill(items, ITEMS);
    for (unsigned round = 0; !judge_over; round++) {
        for (unsigned i = 0; i < 200; i++) {
            judge_use(recursive(12, items));
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            judge_use((unsigned long)now.tv_nsec);
        }
        /* Sorting calls free, and a probe takes much longer than that itself. */
        uint32_t seed = random_number();
        switch (round % 4) {
        case 0: fill(items, ITEMS); break;
        case 1: qsort(items, ITEMS, sizeof *items, by_text); break;
        case 2: qsort_r(items, ITEMS, sizeof *items, by_number, &seed); break;
        case 3: qsort(items, ITEMS, sizeof *items, by_last_digit); break;
        }
    }
}
