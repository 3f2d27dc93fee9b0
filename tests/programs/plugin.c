/* Loaded and unloaded by dlopen.c, whose ledger it uses. */
#include "ledger.h"

#include <stdlib.h>

ALLOC_SITE(plugin, (size_t n), (n), n, malloc(n))
ALLOC_SITE(plugin_calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
REALLOC_SITE(plugin_realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))

/* Takes a block that the caller enters in its ledger. */
__attribute__((noipa, visibility("default"))) void *plugin_take(size_t size)
{
    void *block = malloc(size);
    LEDGER_KEEP(block);
    return block;
}

__attribute__((noipa, visibility("default"))) void plugin_free(void *block)
{
    free(block);
}

/* What it takes stays, for it is not unloaded afterwards. */
__attribute__((noipa, visibility("default"))) void plugin_stay(void)
{
    for (size_t i = 0; i < 30; i++) {
        void *block = site_plugin(1009 + i);
        void *array = site_plugin_calloc(3, 1103 + i);
        block = site_plugin_realloc(block, 5003 + i);
        if (i % 5 != 0) {
            ledger_give(block);
            free(block);
        }
        if (i % 6 != 0) {
            ledger_give(array);
            free(array);
        }
    }
}
