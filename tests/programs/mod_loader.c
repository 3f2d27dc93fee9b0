/* Loads the libraries that are its arguments, one after the other, lets each work, and unloads it.
 * With `hold` first, it waits for a line after loading each, says where the library's allocator is,
 * and unloads them all after their work. */
#define _GNU_SOURCE
#include "mod_talk.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *symbol(void *library, const char *name)
{
    void *address = dlsym(library, name);
    if (!address) {
        say("no symbol\n");
        _exit(1);
    }
    return address;
}

static void tell_where(void *library)
{
    char line[64];
    snprintf(line, sizeof line, "loaded %p\n", symbol(library, "plug_malloc"));
    say(line);
}

int main(int argc, char **argv)
{
    void *held[8];
    int hold = argc > 1 && strcmp(argv[1], "hold") == 0;
    say("ready\n");
    wait_for_line();
    if (argc > (int)(sizeof held / sizeof *held)) {
        return 1;
    }
    for (int i = 1 + hold; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            say("not loaded\n");
            return 1;
        }
        if (hold) {
            tell_where(library);
            wait_for_line();
        }
        ((void (*)(void))symbol(library, "plugin_work"))();
        held[i] = library;
        if (!hold) {
            dlclose(library);
        }
    }
    for (int i = 1 + hold; hold && i < argc; i++) {
        dlclose(held[i]);
    }
    say("done\n");
    wait_for_line();
    return 0;
}
