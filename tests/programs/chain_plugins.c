/* Loads plugins, lets them work, and unloads them, while another thread allocates:
 *
 *     chain_plugins CHAINS - ROUNDS OTHER PLUGIN...
 *
 * The plugins take turns. A third thread does the same with the plugin OTHER at the same time,
 * unless that is "-". Notes: "loads"; "addresses", how many different ones plugins had; "taken_over",
 * how often one had the address of what was another plugin before. */
#define _GNU_SOURCE
#include "chain_shadow.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESSES = 64 };

static volatile int stop;
static int rounds;

CHAIN_SITE(site_background, (size_t n), malloc(n))

CHAIN_FUNCTION void hop_some(int keep)
{
    CHAIN_IN("hop_some");
    for (int i = 0; i < 8; i++) {
        void *block = CHAIN_TAKE(site_background, 7);
        if (i > 0 || !keep) {
            ledger_give(block);
            free(block);
        }
    }
}

/* Goes on as long as plugins come and go. */
CHAIN_FUNCTION void *hop_background(void *unused)
{
    CHAIN_IN("hop_background");
    for (int i = 0; !stop; i++) {
        hop_some(i < 20000);
    }
    return unused;
}

static struct {
    uintptr_t address;
    const char *plugin;
} places[ADDRESSES];

static void note_place(void *library, const char *plugin)
{
    struct link_map *map;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) {
        ledger_fail(dlerror());
    }
    int i = 0;
    while (i < ADDRESSES && places[i].plugin && places[i].address != map->l_addr) {
        i++;
    }
    if (i == ADDRESSES) {
        ledger_fail("the plugins are at too many addresses");
    }
    if (!places[i].plugin) {
        chain_note("addresses", 1);
    } else if (strcmp(places[i].plugin, plugin) != 0) {
        chain_note("taken_over", 1);
    }
    places[i].address = map->l_addr;
    places[i].plugin = plugin;
}

static void *load(const char *plugin)
{
    void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        ledger_fail(dlerror());
    }
    return library;
}

CHAIN_FUNCTION void hop_load(void *library)
{
    CHAIN_IN("hop_load");
    void (*const *work)(void) = (void (*const *)(void))dlsym(library, "plugin_work");
    if (!work) {
        ledger_fail(dlerror());
    }
    (*work)();
    chain_note("loads", 1);
}

CHAIN_FUNCTION void *hop_other(void *plugin)
{
    CHAIN_IN("hop_other");
    for (int i = 0; i < rounds; i++) {
        void *library = load(plugin);
        hop_load(library);
        dlclose(library);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        ledger_fail("usage: chain_plugins CHAINS - ROUNDS OTHER PLUGIN...");
    }
    rounds = atoi(argv[3]);
    chain_note("addresses", 0);
    chain_note("taken_over", 0);
    chain_start(argc, argv);
    CHAIN_IN("main");
    pthread_t threads[2];
    int with_other = strcmp(argv[4], "-") != 0;
    if (pthread_create(&threads[0], NULL, hop_background, NULL) != 0 ||
        (with_other && pthread_create(&threads[1], NULL, hop_other, argv[4]) != 0)) {
        ledger_fail("no thread");
    }
    for (int i = 0; i < rounds; i++) {
        const char *plugin = argv[5 + i % (argc - 5)];
        void *library = load(plugin);
        note_place(library, plugin);
        hop_load(library);
        dlclose(library);
    }
    stop = 1;
    if (pthread_join(threads[0], NULL) != 0 || (with_other && pthread_join(threads[1], NULL) != 0)) {
        ledger_fail("a thread was lost");
    }
    chain_finish();
}
