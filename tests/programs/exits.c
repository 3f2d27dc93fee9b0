/* Threads that end inside the allocator, from its hook: by pthread_exit, by the system call, and in
 * the middle of a realloc, whose old block then stays. What others do afterwards counts as ever. */
#define _GNU_SOURCE
#include "own_allocator.h"

#include "ledger.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

ALLOC_SITE(inside, (size_t n), (n), n, malloc(n))
ALLOC_SITE(after, (size_t n), (n), n, malloc(n))
REALLOC_SITE(grown, (void *p, size_t n), (p, n), p, n, realloc(p, n))

enum { THREADS = 60, STACK = 64 * 1024 };

/* Given to the threads, so that none is allocated. */
static char stacks[THREADS][STACK] __attribute__((aligned(4096)));
static int way;
static void *old;

static void leave(void)
{
    if (way == 0) {
        pthread_exit(NULL);
    }
    syscall(SYS_exit, 0);
}

static void *work(void *unused)
{
    (void)unused;
    malloc_hook = leave;
    if (way == 2) {
        void *block = realloc(old, 100003);
        LEDGER_KEEP(block);
    } else {
        site_inside(401);
    }
    ledger_fail("the hook did not end the thread");
}

int main(void)
{
    ledger_start();
    for (int i = 0; i < THREADS; i++) {
        pthread_attr_t attributes;
        pthread_t thread;
        way = i % 3;
        old = site_after(307 + (size_t)i);
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, stacks[i], STACK);
        if (pthread_create(&thread, &attributes, work, NULL) || pthread_join(thread, NULL)) {
            ledger_fail("no thread");
        }
        void *block = site_grown(site_after(1009 + (size_t)i), 3001 + (size_t)i);
        if (i % 2) {
            ledger_give(block);
            free(block);
        }
    }
    ledger_finish();
}
