/* Pairs of malloc and free at a chosen depth of calls, which it times itself.
 *
 * For each line "DEPTH PAIRS" on stdin it answers with the nanoseconds of CPU time that these pairs
 * took: others that compete for the processor do not count. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Each its own function, of which no variant is made, called and not jumped to. */
#define FUNCTION static __attribute__((noipa))

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

FUNCTION uint64_t level_pairs(uint64_t pairs)
{
    uint64_t begin = now();
    for (uint64_t i = 0; i < pairs; i++) {
        void *block = malloc(64);
        /* The compiler does not see that it is only freed. */
        __asm__ volatile("" : "+r"(block) : : "memory");
        free(block);
    }
    return now() - begin;
}

/* Frames have between 16 and 208 bytes of variables, 112 on average: as C++ has them. */
#define LEVEL(number, next)                                \
    FUNCTION uint64_t level_##number(uint64_t pairs)       \
    {                                                      \
        char variables[16 + number % 7 * 32];              \
        __asm__ volatile("" : : "r"(variables) : "memory"); \
        uint64_t took = level_##next(pairs);               \
        __asm__ volatile("" : "+r"(took));                 \
        return took;                                       \
    }

#define TEN_LEVELS(ten, next)                        \
    LEVEL(ten##0, next)                              \
    LEVEL(ten##1, ten##0)                            \
    LEVEL(ten##2, ten##1)                            \
    LEVEL(ten##3, ten##2)                            \
    LEVEL(ten##4, ten##3)                            \
    LEVEL(ten##5, ten##4)                            \
    LEVEL(ten##6, ten##5)                            \
    LEVEL(ten##7, ten##6)                            \
    LEVEL(ten##8, ten##7)                            \
    LEVEL(ten##9, ten##8)

TEN_LEVELS(1, pairs)
TEN_LEVELS(2, 19)
TEN_LEVELS(3, 29)
TEN_LEVELS(4, 39)
TEN_LEVELS(5, 49)
TEN_LEVELS(6, 59)

#define TEN_NAMES(ten)                                                                   \
    level_##ten##0, level_##ten##1, level_##ten##2, level_##ten##3, level_##ten##4,      \
        level_##ten##5, level_##ten##6, level_##ten##7, level_##ten##8, level_##ten##9

/* By how many functions there are between main and malloc, less one. */
static uint64_t (*const LEVELS[])(uint64_t) = {
    level_pairs,  TEN_NAMES(1), TEN_NAMES(2), TEN_NAMES(3),
    TEN_NAMES(4), TEN_NAMES(5), TEN_NAMES(6),
};

int main(void)
{
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long depth, pairs;
        if (sscanf(line, "%lu %lu", &depth, &pairs) != 2 || depth < 1 ||
            depth > sizeof LEVELS / sizeof *LEVELS) {
            fprintf(stderr, "not \"DEPTH PAIRS\": %s", line);
            return 1;
        }
        printf("%lu\n", (unsigned long)LEVELS[depth - 1](pairs));
        fflush(stdout);
    }
    return 0;
}
