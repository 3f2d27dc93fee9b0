/* Keeps 300 blocks of 1999 bytes and gives 200 of 4099 back, then ends in the way that its argument
 * says. Talks on stdin and stdout: "ready", a line, the workload, "done", a line, the end. With "never-pausing" other
 * threads take and give back from "done" on. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT = 300, FREED = 200, NEVER_PAUSE = 6 };

static void *kept[KEPT];

__attribute__((noipa)) static void *site_kept(void)
{
    void *block = malloc(1999);
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

__attribute__((noipa)) static void *site_freed(void)
{
    void *block = malloc(4099);
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0) {
        _exit(2);
    }
}

static void wait_for_line(void)
{
    char byte = 0;
    while (read(0, &byte, 1) == 1 && byte != '\n') {
    }
}

static void work(void)
{
    for (int i = 0; i < KEPT; i++) {
        kept[i] = site_kept();
    }
    for (int i = 0; i < FREED; i++) {
        free(site_freed());
    }
}

static void *never_pause(void *unused)
{
    void *some[8] = {0};
    for (unsigned i = 0;; i = (i + 1) % 8) {
        free(some[i]);
        some[i] = realloc(malloc(50), 100);
    }
    return unused;
}

static void *go_on(void *unused)
{
    (void)unused;
    say("alone\n");
    wait_for_line();
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *end = argc > 1 ? argv[1] : "exit";
    pthread_t thread;
    say("ready\n");
    if (strcmp(end, "at-once") != 0) {
        wait_for_line();
    }
    work();
    if (strcmp(end, "never-pausing") == 0) {
        for (int i = 0; i < NEVER_PAUSE; i++) {
            pthread_create(&thread, NULL, never_pause, NULL);
        }
    }
    say("done\n");
    if (strcmp(end, "at-once") == 0) {
        return 7;
    }
    wait_for_line();
    if (strcmp(end, "exec") == 0) {
        execl("/bin/cat", "cat", (char *)NULL);
    }
    if (strcmp(end, "main-thread") == 0 && pthread_create(&thread, NULL, go_on, NULL) == 0) {
        pthread_exit(NULL);
    }
    return 0;
}
