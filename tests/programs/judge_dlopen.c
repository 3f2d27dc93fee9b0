/* Loads a plugin while it is recorded, calls it and is called back by it. */
#define _GNU_SOURCE
#include "judge.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef unsigned long callback(void *, unsigned long);
typedef unsigned long entry(callback *, void *, unsigned);

static JUDGE_NOINLINE unsigned long on_call(void *state, unsigned long value)
{
    unsigned long *sum = state;
    char text[32];
    snprintf(text, sizeof text, "%lx", value + *sum);
    *sum += strlen(text);
    return *sum;
}

int main(int count, char **arguments)
{
    judge_start();
    void *plugin = count > 1 ? dlopen(arguments[1], RTLD_LAZY) : NULL;
    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    entry *run = (entry *)dlsym(plugin, "judge_plugin_run");
    unsigned long sum = 0;
    for (unsigned round = 0; !judge_over; round++) {
        judge_use(run(on_call, &sum, 6));
        /* The loader's own code. It calls free, and a probe takes most of its time. */
        if (round % 64 == 0) {
            judge_use(dlsym(plugin, "judge_plugin_run") != (void *)run);
        }
    }
    return dlclose(plugin);
}
