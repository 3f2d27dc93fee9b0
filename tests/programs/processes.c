/* Children and threads that end: whatever a forked child does with its copy of the heap is not
 * the parent's. */
#define _GNU_SOURCE
#include "ledger.h"

#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *const command[] = {"/bin/true", NULL};

ALLOC_SITE(parent, (size_t n), (n), n, malloc(n))
ALLOC_SITE(between, (size_t n), (n), n, malloc(n))
ALLOC_SITE(child, (size_t n), (n), n, malloc(n))
ALLOC_SITE(thread, (size_t n), (n), n, malloc(n))
REALLOC_SITE(child_realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))

static void *blocks[100];

static void wait_for(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        ledger_fail("a child failed");
    }
}

static void fork_and_free(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 100; i++) {
            if (i % 3 == 0) {
                blocks[i] = site_child_realloc(blocks[i], 6007);
            }
            ledger_give(blocks[i]);
            free(blocks[i]);
            site_child(409);
        }
        _exit(0);
    }
    wait_for(child);
}

static void fork_and_exec(void)
{
    pid_t child = fork();
    if (child == 0) {
        execve(command[0], command, environ);
        _exit(127);
    }
    wait_for(child);
}

/* The child borrows the parent's memory until exec, so it allocates nothing. */
static void vfork_and_exec(void)
{
    pid_t child = vfork();
    if (child == 0) {
        execve(command[0], command, environ);
        _exit(127);
    }
    wait_for(child);
}

static void spawn(void)
{
    pid_t child = -1;
    if (posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0) {
        child = -1;
    }
    wait_for(child);
}

static void *exit_early(void *argument)
{
    size_t n = (size_t)(uintptr_t)argument;
    void *block = site_thread(503 + n);
    site_thread(601);
    ledger_give(block);
    free(block);
    pthread_exit(NULL);
}

int main(void)
{
    /* The first cancellation or exit of a thread loads libgcc_s. */
    pthread_t thread;
    pthread_create(&thread, NULL, exit_early, NULL);
    pthread_join(thread, NULL);

    ledger_start();
    for (int i = 0; i < 100; i++) {
        blocks[i] = site_parent((size_t)(307 + i));
    }
    void (*const steps[])(void) = {fork_and_free, fork_and_exec, vfork_and_exec, spawn};
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            steps[i]();
            void *block = site_between((size_t)(1009 + i));
            if (round > 0) {
                ledger_give(block);
                free(block);
            }
        }
        pthread_create(&thread, NULL, exit_early, (void *)(uintptr_t)round);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < 60; i++) {
        ledger_give(blocks[i]);
        free(blocks[i]);
    }
    ledger_finish();
}
