/* 300 threads at the same time, more than have a state that is found by their id alone; then half of them end, and others
 * come in their place. */
#define _GNU_SOURCE
#include "ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { THREADS = 300, LATER = THREADS / 2, PAIRS = 100, KEPT = 3 };

ALLOC_SITE(given_back, (size_t n), (n), n, malloc(n))
ALLOC_SITE(kept, (size_t n), (n), n, malloc(n))

static pthread_barrier_t all_are_there, some_are_gone;

static void take(size_t id)
{
    for (size_t i = 0; i < PAIRS; i++) {
        void *block = site_given_back(17 + id);
        ledger_give(block);
        free(block);
    }
    for (size_t i = 0; i < KEPT; i++) {
        site_kept(1001 + id);
    }
}

static void *ends_early(void *id)
{
    pthread_barrier_wait(&all_are_there);
    take((size_t)(uintptr_t)id);
    pthread_barrier_wait(&all_are_there);
    return NULL;
}

static void *stays(void *id)
{
    ends_early(id);
    pthread_barrier_wait(&some_are_gone);
    take((size_t)(uintptr_t)id);
    return NULL;
}

static pthread_t start(void *(*work)(void *), size_t id)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    if (pthread_create(&thread, &attributes, work, (void *)(uintptr_t)id)) {
        ledger_fail("no thread");
    }
    return thread;
}

static void end(pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void *comes_later(void *id)
{
    pthread_barrier_wait(&some_are_gone);
    take((size_t)(uintptr_t)id);
    return NULL;
}

int main(void)
{
    static pthread_t early[LATER], others[THREADS - LATER], later[LATER];
    pthread_barrier_init(&all_are_there, NULL, THREADS);
    pthread_barrier_init(&some_are_gone, NULL, THREADS);
    ledger_start();
    for (size_t i = 0; i < THREADS; i++) {
        if (i % 2) {
            early[i / 2] = start(ends_early, i);
        } else {
            others[i / 2] = start(stays, i);
        }
    }
    end(early, LATER);
    for (size_t i = 0; i < LATER; i++) {
        later[i] = start(comes_later, THREADS + i);
    }
    end(others, THREADS - LATER);
    end(later, LATER);
    ledger_finish();
}
