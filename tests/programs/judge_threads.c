/* Threads with different work: computing in recursion, copying, locking and waiting for each other,
 * sleeping in the kernel; their stacks begin in the C library's clone. */
#define _GNU_SOURCE
#include "judge.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned turn;

static _Thread_local unsigned long own;

static JUDGE_NOINLINE unsigned long fibonacci(unsigned n)
{
    own++;
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static void *compute(void *argument)
{
    while (!judge_over) {
        judge_use(fibonacci(12 + (unsigned)(uintptr_t)argument % 4));
    }
    return NULL;
}

static JUDGE_NOINLINE void copy(char *to, const char *from, size_t size)
{
    memmove(to + size % 7, from, size);
    memset(to, (int)size, size / 2);
    judge_use(strlen(to) + (unsigned char)to[size / 3]);
}

static void *copies(void *argument)
{
    (void)argument;
    char from[4096], to[4096 + 16];
    memset(from, 'x', sizeof from);
    for (size_t size = 1; !judge_over; size = size * 5 % 4093) {
        to[sizeof to - 1] = 0;
        copy(to, from, size);
    }
    return NULL;
}

static void *take_turns(void *argument)
{
    unsigned mine = (unsigned)(uintptr_t)argument;
    while (!judge_over) {
        pthread_mutex_lock(&lock);
        if (turn != mine) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 1000000;
            if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
            }
            pthread_cond_timedwait(&changed, &lock, &until);
        }
        turn = !mine;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        judge_use(fibonacci(8));
    }
    return NULL;
}

static void *in_the_kernel(void *argument)
{
    (void)argument;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) {
        return NULL;
    }
    char text[64] = {0};
    while (!judge_over) {
        struct timespec short_time = {0, 50000};
        nanosleep(&short_time, NULL);
        if (send(ends[0], text, sizeof text, MSG_DONTWAIT) == (ssize_t)sizeof text) {
            judge_use((unsigned long)recv(ends[1], text, sizeof text, 0));
        }
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    static void *(*const work[])(void *) = {compute,    compute,    copies,
                                            take_turns, take_turns, in_the_kernel};
    enum { THREADS = sizeof work / sizeof *work };
    pthread_t threads[THREADS];
    judge_start();
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, work[i], (void *)(i & 1)) != 0) {
            return 1;
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}
