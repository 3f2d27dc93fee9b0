/* A library that allocates is loaded and unloaded again and again; argv[1] is its path. What the
 * unloaded code took is entered here, at the site that called into it. */
#define _GNU_SOURCE
#include "ledger.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef void *(*taker)(size_t);
typedef void (*freer)(void *);

static taker take;

ALLOC_SITE(through_plugin, (size_t n), (n), n, take(n))
ALLOC_SITE(direct, (size_t n), (n), n, malloc(n))

static void *symbol(void *library, const char *name)
{
    void *address = dlsym(library, name);
    if (!address) {
        ledger_fail(dlerror());
    }
    return address;
}

static void *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        ledger_fail(dlerror());
    }
    return library;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        ledger_fail("usage: dlopen PLUGIN");
    }
    ledger_start();
    for (size_t i = 0; i < 50; i++) {
        void *library = load(argv[1]);
        take = (taker)symbol(library, "plugin_take");
        freer free_there = (freer)symbol(library, "plugin_free");
        for (size_t k = 0; k < 20; k++) {
            void *block = site_through_plugin(37 + k * 101 + i);
            void *other = site_direct(61 + k);
            if (k != 7) {
                ledger_give(block);
                free_there(block);
            }
            ledger_give(other);
            free_there(other);
        }
        site_direct(2003);
        dlclose(library);
    }
    void *library = load(argv[1]);
    void (*stay)(void) = (void (*)(void))symbol(library, "plugin_stay");
    stay();
    ledger_finish();
}
