/* Frees, which it times itself.
 *
 * For each line "WHAT COUNT" on stdin it answers with the nanoseconds of CPU time that so many took: 0 frees nothing
 * (NULL), 1 blocks that were taken at the start, 2 blocks that have just been taken. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK = 64, STOCK = 400000, MOST = 1000 };

static void *stock[STOCK], *taken[MOST];
static size_t left = STOCK;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int main(void)
{
    for (size_t i = 0; i < STOCK; i++) {
        stock[i] = malloc(BLOCK);
    }
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long what, count;
        if (sscanf(line, "%lu %lu", &what, &count) != 2 || what > 2 || count > MOST || (what == 1 && count > left)) {
            fprintf(stderr, "not \"WHAT COUNT\", or no blocks are left: %s", line);
            return 1;
        }
        for (size_t i = 0; i < count; i++) {
            taken[i] = what == 0 ? NULL : what == 1 ? stock[--left] : malloc(BLOCK);
        }
        uint64_t begin = now();
        for (size_t i = 0; i < count; i++) {
            free(taken[i]);
        }
        printf("%lu\n", (unsigned long)(now() - begin));
        fflush(stdout);
    }
    return 0;
}
