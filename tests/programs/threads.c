/* Many threads at once and many after each other; blocks are freed on other threads than the one
 * that took them, and threads exit with blocks outstanding. */
#define _GNU_SOURCE
#include "ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { THREADS = 64, QUEUE = 32, ITEMS = 400, SHORT_LIVED = 600, AT_A_TIME = 12 };

ALLOC_SITE(queued, (size_t n), (n), n, malloc(n))
ALLOC_SITE(queued_zeroed, (size_t n), (n), n, calloc(1, n))
ALLOC_SITE(exchanged, (size_t n), (n), n, malloc(n))
REALLOC_SITE(moved, (void *p, size_t n), (p, n), p, n, realloc(p, n))
ALLOC_SITE(left_behind, (size_t n), (n), n, malloc(n))
ALLOC_SITE(short_lived, (size_t n), (n), n, malloc(n))
ALLOC_SITE(inherited, (size_t n), (n), n, malloc(n))

/* One thread writes, its neighbour reads. */
struct queue {
    pthread_mutex_t lock;
    void *items[QUEUE];
    unsigned written, read;
};

static struct queue queues[THREADS];
static void *outbox[THREADS][ITEMS];
static void *inheritance[SHORT_LIVED];
static pthread_barrier_t barrier;

static void release(void *block)
{
    ledger_give(block);
    free(block);
}

static int push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    int room = queue->written - queue->read < QUEUE;
    if (room) {
        queue->items[queue->written++ % QUEUE] = item;
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

static void *pop(struct queue *queue)
{
    void *item = NULL;
    pthread_mutex_lock(&queue->lock);
    if (queue->written != queue->read) {
        item = queue->items[queue->read++ % QUEUE];
    }
    pthread_mutex_unlock(&queue->lock);
    return item;
}

static void *worker(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    struct queue *mine = &queues[self];
    struct queue *next = &queues[(self + 1) % THREADS];
    for (size_t i = 0; i < ITEMS; i++) {
        void *block = i % 2 ? site_queued(1 + i * 37 % 4099) : site_queued_zeroed(29 + i);
        if (!push(next, block)) {
            release(block);
        }
        void *theirs = pop(mine);
        if (theirs) {
            release(theirs);
        }
    }
    pthread_barrier_wait(&barrier);
    for (void *theirs; (theirs = pop(mine));) {
        release(theirs);
    }

    for (size_t i = 0; i < ITEMS; i++) {
        outbox[self][i] = site_exchanged(53 + self + i);
    }
    pthread_barrier_wait(&barrier);
    size_t other = (self + 17) % THREADS;
    for (size_t i = 0; i < ITEMS; i++) {
        if (i % 50 == 0) {
            site_moved(outbox[other][i], 5000 + i);
        } else if (i % 49 != 0) {
            release(outbox[other][i]);
        }
    }
    site_left_behind(101 + self);
    return NULL;
}

static void *short_lived(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    void *block = site_short_lived(211 + self);
    if (self % 100 != 0) {
        release(block);
    }
    inheritance[self] = site_inherited(307 + self);
    if (self >= AT_A_TIME) {
        release(inheritance[self - AT_A_TIME]);
    }
    return NULL;
}

static void run(size_t from, size_t count, void *(*body)(void *))
{
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i], &attributes, body, (void *)(uintptr_t)(from + i)) != 0) {
            ledger_fail("pthread_create failed");
        }
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_attr_destroy(&attributes);
}

int main(void)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_mutex_init(&queues[i].lock, NULL);
    }
    pthread_barrier_init(&barrier, NULL, THREADS);
    ledger_start();
    run(0, THREADS, worker);
    for (size_t i = 0; i < SHORT_LIVED; i += AT_A_TIME) {
        run(i, AT_A_TIME, short_lived);
    }
    ledger_finish();
}
