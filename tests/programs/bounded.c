/* More than two million pairs of malloc and free a second, and a leak. Others live for a while: some for microseconds,
 * some for milliseconds; with "ring", ten times as many as are leaked for half a second. With a number, each pair has so many
 * nanoseconds of other work, and there are fewer.
 *
 * Answers each line on stdin with the pairs so far, the nanoseconds of CPU time that they took, and the bytes and
 * blocks that have leaked. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SITE __attribute__((noipa))
#define KEEP(value) __asm__ volatile("" : "+r"(value) : : "memory")

enum { LEAK_EVERY = 500, RING_EVERY = 50, SHORT = 20, LONG = 100, RING = 20000 };

/* What a pair's worth of other work takes: nanoseconds of CPU time, and how many turns of a loop that is here. */
static long worth = 250, turns;

/* In registers: a counter in memory takes one cycle a turn or five, by what the processor has learnt of it, which a trap
 * makes it forget. */
static void spin(long count)
{
    uint64_t state = 1;
    for (long i = 0; i < count; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        KEEP(state);
    }
}

static uint64_t spent(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static atomic_ulong pairs, leaked, leaked_bytes;

SITE void *site_leak(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

SITE void *site_short(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

SITE void *site_long(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

SITE void *site_ring(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

static void *work(void *ring)
{
    static void *lives_short[SHORT], *lives_long[LONG], *in_ring[RING];
    for (size_t n = 0;; n++) {
        void **slot = n % 64 ? &lives_short[n % SHORT] : &lives_long[n / 64 % LONG];
        free(*slot);
        *slot = n % 64 ? site_short(48 + n % 7) : site_long(100);
        if (ring && n % RING_EVERY == 1) {
            void **slot = &in_ring[n / RING_EVERY % RING];
            free(*slot);
            *slot = site_ring(100);
        }
        if (n % LEAK_EVERY == 0) {
            size_t size = 1000 + n % 13;
            void *block = site_leak(size);
            KEEP(block);
            leaked++;
            leaked_bytes += size;
        }
        spin(turns);
        pairs++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    enum { MANY = 10000000 };
    void *ring = NULL;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] >= '0' && argv[i][0] <= '9') {
            worth = atol(argv[i]);
        } else {
            ring = argv[i];
        }
    }
    uint64_t begin = spent(CLOCK_THREAD_CPUTIME_ID);
    spin(MANY);
    turns = worth * MANY / (long)(spent(CLOCK_THREAD_CPUTIME_ID) - begin);
    pthread_t worker;
    clockid_t clock;
    if (pthread_create(&worker, NULL, work, ring) != 0 || pthread_getcpuclockid(worker, &clock) != 0) {
        return 1;
    }
    puts("ready");
    fflush(stdout);
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        uint64_t cpu = spent(clock);
        printf("%lu %lu %lu %lu\n", (unsigned long)pairs, (unsigned long)cpu, (unsigned long)leaked_bytes,
               (unsigned long)leaked);
        fflush(stdout);
    }
    return 0;
}
