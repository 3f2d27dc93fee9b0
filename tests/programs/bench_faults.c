/* Page faults as fast as they can be had, and a program that takes none, which it times itself.
 *
 * For each line "PAGES COUNT" on stdin it answers with the nanoseconds of CPU time that this took: COUNT
 * pages, that many of them in each mapping, which is made, touched and unmapped; with 0 PAGES so many
 * rounds over memory that is resident. Others that compete for the processor do not count. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096UL
#define FUNCTION static __attribute__((noipa))

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

FUNCTION uint64_t faults(unsigned long pages, unsigned long count)
{
    uint64_t begin = now();
    for (unsigned long done = 0; done < count; done += pages) {
        volatile char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            exit(1);
        }
        for (unsigned long i = 0; i < pages; i++) {
            at[i * PAGE] = 1;
        }
        munmap((char *)at, pages * PAGE);
    }
    return now() - begin;
}

/* Reads and writes what is there, and allocates what the allocator has. */
#define STEADY (256 << 10)
static unsigned char steady[2][STEADY];

FUNCTION uint64_t stable(unsigned long rounds)
{
    uint64_t begin = now();
    for (unsigned long i = 0; i < rounds; i++) {
        unsigned char *block = malloc(200 + i % 1000);
        memset(block, (int)i, 200);
        memcpy(steady[i & 1], steady[~i & 1], STEADY);
        steady[i & 1][i % STEADY] += block[i % 200];
        free(block);
    }
    return now() - begin;
}

/* As deep as programs are. */
FUNCTION uint64_t deep(int depth, unsigned long pages, unsigned long count)
{
    uint64_t took = depth    ? deep(depth - 1, pages, count)
                    : pages ? faults(pages, count)
                            : stable(count);
    __asm__ volatile("" : "+r"(took));
    return took;
}

int main(void)
{
    stable(10);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long pages, count;
        if (sscanf(line, "%lu %lu", &pages, &count) != 2) {
            fprintf(stderr, "not \"PAGES COUNT\": %s", line);
            return 1;
        }
        printf("%lu\n", (unsigned long)deep(16, pages, count));
        fflush(stdout);
    }
    return 0;
}
