/* Threads that take the CPU from each other at any instruction: on each CPU some of real time wake
 * about every millisecond, in the middle of what those that never pause are doing, or of what is done
 * for them. Each thread has chains of functions and sizes of its own, and stacks deep enough for a
 * walk to take a while. */
#define _GNU_SOURCE
#include "chain_shadow.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CPUS = 4, BUSY = 8 * CPUS, WAKING = 3 * CPUS, THREADS = BUSY + WAKING };
/* Rounds of each busy thread, or more until the others have woken this often; and at most of each of
 * the others, which end with the last busy thread. */
enum { ROUNDS = 400, WAKES = 8000, MOST = 2000 };
/* The numbers of threads fit into this many bits: a chain shows each of them several times. */
enum { BITS = 6, SHALLOWEST = 20 };

struct worker {
    pthread_t thread;
    unsigned number;
    /* How long to sleep before each round; 0: not at all. */
    long nanoseconds;
    size_t size;
    long rounds;
};

static struct worker workers[THREADS];
static pthread_barrier_t all_there, begun;
static atomic_int busy = BUSY, wakes;

CHAIN_SITE(site_malloc, (size_t n), malloc(n))
CHAIN_SITE(site_calloc, (size_t n), calloc(1, n))
CHAIN_SITE(site_realloc, (void *old, size_t n), realloc(old, n))

static void release(void *block)
{
    ledger_give(block);
    free(block);
}

static int goes_on(const struct worker *self)
{
    if (self->nanoseconds == 0) {
        return self->rounds < ROUNDS || atomic_load(&wakes) < WAKES;
    }
    return atomic_load(&busy) > 0 && self->rounds < MOST;
}

CHAIN_FUNCTION void hop_round(struct worker *self)
{
    CHAIN_IN("hop_round");
    void *block = CHAIN_TAKE(site_malloc, self->size);
    void *zeroed = CHAIN_TAKE(site_calloc, self->size + 2);
    if (self->rounds % 4 == 0) {
        struct ledger_aside aside = ledger_set_aside(block);
        block = CHAIN_CALL("site_realloc", self->size + 4, site_realloc(block, self->size + 4));
        ledger_end(&aside);
    }
    /* Some of each site stay. */
    if (self->rounds % 16 != 0) {
        release(zeroed);
    }
    if (self->rounds % 16 > 1) {
        release(block);
    }
}

static void hop(struct worker *self, int depth);

CHAIN_FUNCTION void hop_small(struct worker *self, int depth)
{
    CHAIN_IN("hop_small");
    hop(self, depth);
}

/* The stack pointer says nothing about where its frame is. */
CHAIN_FUNCTION void hop_variable(struct worker *self, int depth)
{
    CHAIN_IN("hop_variable");
    char frame[16 + self->number % 5 * 16];
    CHAIN_HOLD(frame);
    hop(self, depth);
    CHAIN_HOLD(frame);
}

/* Down to `depth` functions further, which are others for each thread. */
static void hop(struct worker *self, int depth)
{
    if (depth > 0) {
        if (self->number >> depth % BITS & 1) {
            hop_variable(self, depth - 1);
        } else {
            hop_small(self, depth - 1);
        }
        return;
    }
    for (; goes_on(self); self->rounds++) {
        if (self->nanoseconds > 0) {
            struct timespec pause = {0, self->nanoseconds};
            nanosleep(&pause, NULL);
            atomic_fetch_add(&wakes, 1);
        }
        hop_round(self);
    }
}

/* Of real time, on one CPU; or of one of several priorities among the others. */
static void set_priority(const struct worker *self)
{
    if (self->nanoseconds == 0) {
        if (setpriority(PRIO_PROCESS, (id_t)gettid(), (int)(self->number % 4) * 5 - 5) != 0) {
            ledger_fail("setpriority failed");
        }
        return;
    }
    struct sched_param parameters = {.sched_priority = 10 + (int)self->number % 3};
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(self->number / 3 % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters) != 0
        || pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus) != 0) {
        ledger_fail("SCHED_FIFO was refused: needs CAP_SYS_NICE");
    }
}

CHAIN_FUNCTION void *hop_thread(void *argument)
{
    struct worker *self = argument;
    CHAIN_IN("hop_thread");
    set_priority(self);
    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&begun);
    hop(self, SHALLOWEST + (int)self->number);
    if (self->nanoseconds == 0) {
        atomic_fetch_sub(&busy, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_barrier_init(&all_there, NULL, THREADS + 1);
    pthread_barrier_init(&begun, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &workers[i];
        worker->number = i;
        worker->nanoseconds = i < WAKING ? 600000 + i % 3 * 350000 : 0;
        worker->size = 201 + 46 * i;
        if (pthread_create(&worker->thread, NULL, hop_thread, worker) != 0) {
            ledger_fail("pthread_create failed");
        }
    }
    /* A thread's own blocks are taken before anything is recorded. */
    pthread_barrier_wait(&all_there);
    chain_start(argc, argv);
    pthread_barrier_wait(&begun);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        chain_note(workers[i].nanoseconds > 0 ? "waking" : "busy", workers[i].rounds);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    chain_note("preempted", usage.ru_nivcsw);
    chain_finish();
}
