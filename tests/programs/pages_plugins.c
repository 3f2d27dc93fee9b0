/* Two plugins, the arguments, take turns at one address, each gone as soon as its work is done. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>

#include "pages.h"

#define ROUNDS 400L
#define PAGES 5L

int main(int count, char **arguments)
{
    static unsigned long last;
    long same = 0;
    char *at = memory(ROUNDS * PAGES, 0);
    if (count != 3) {
        fail("two plugins are needed");
    }
    /* One touch would bring other rounds' pages, too. */
    if (madvise(at, ROUNDS * PAGES * PAGE, MADV_NOHUGEPAGE)) {
        fail("madvise");
    }
    say("ready\n");
    wait_for_line();
    for (long i = 0; i < ROUNDS; i++) {
        void *plugin = dlopen(arguments[1 + i % 2], RTLD_NOW);
        void (**work)(char *, long) = plugin ? dlsym(plugin, "plugin_work") : NULL;
        struct link_map *map;
        if (!work || dlinfo(plugin, RTLD_DI_LINKMAP, &map)) {
            fail(dlerror());
        }
        same += last == map->l_addr;
        last = map->l_addr;
        (*work)(at + i * PAGES * PAGE, PAGES);
        if (dlclose(plugin)) {
            fail(dlerror());
        }
    }
    ledger_open("pages");
    ledger_add("site_alpha", ROUNDS / 2 * PAGES);
    ledger_add("site_bravo", ROUNDS / 2 * PAGES);
    ledger_open("same_address");
    ledger_add("rounds", same);
    ledger_say();
    wait_for_line();
    return 0;
}
