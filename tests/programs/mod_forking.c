/* A command that forks: what its children take and give back is theirs. */
#include "mod_talk.h"

#include <stdlib.h>
#include <sys/wait.h>

static void *kept[100];

APART static void *site_parent(void)
{
    void *block = malloc(1999);
    KEEP(block);
    return block;
}

APART static void *site_child(void)
{
    void *block = malloc(4099);
    KEEP(block);
    return block;
}

int main(void)
{
    for (int i = 0; i < 100; i++) {
        kept[i] = site_parent();
    }
    for (int round = 0; round < 3; round++) {
        pid_t child = fork();
        if (child < 0) {
            return 2;
        }
        if (child == 0) {
            for (int i = 0; i < 100; i++) {
                free(kept[i]);
                site_child();
            }
            _exit(0);
        }
        int status = 1;
        if (waitpid(child, &status, 0) != child || status != 0) {
            return 3;
        }
    }
    for (int i = 0; i < 10; i++) {
        free(kept[i]);
    }
    return 0;
}
