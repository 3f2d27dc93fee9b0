/* Loaded and unloaded by chain_plugins.c, whose ledger it uses. Of the same source and size, PLUGIN
 * names each plugin's functions, and where one of them has a large frame, the other has a small one:
 * who reads the stack of one plugin by the rules of another gets lost.
 *
 * Defined by the compiler's arguments: PLUGIN, LEFT and RIGHT (bytes of frames), BYTES (of the
 * blocks: each function takes blocks of a size of its own). */
#include "chain_shadow.h"

#include <stdlib.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(function) JOIN(function, PLUGIN)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

#define TAKER(site, hop, frame_bytes)                             \
    CHAIN_FUNCTION void *NAME(site)(size_t n)                     \
    {                                                             \
        char frame[frame_bytes];                                  \
        CHAIN_HOLD(frame);                                        \
        void *block = malloc(n);                                  \
        LEDGER_KEEP(block);                                       \
        return block;                                             \
    }                                                             \
    CHAIN_FUNCTION void NAME(hop)(size_t n)                       \
    {                                                             \
        CHAIN_IN(TEXT(NAME(hop)));                                \
        char frame[frame_bytes];                                  \
        CHAIN_HOLD(frame);                                        \
        void *given = CHAIN_CALL(TEXT(NAME(site)), n, NAME(site)(n)); \
        ledger_give(given);                                       \
        free(given);                                              \
        CHAIN_CALL(TEXT(NAME(site)), n, NAME(site)(n));           \
    }

TAKER(site_left, hop_left, LEFT)
TAKER(site_right, hop_right, RIGHT)

CHAIN_FUNCTION void NAME(hop_work)(void)
{
    CHAIN_IN(TEXT(NAME(hop_work)));
    NAME(hop_left)(BYTES);
    NAME(hop_right)(BYTES + 2);
}

/* What the host looks for. */
__attribute__((visibility("default"))) void (*const plugin_work)(void) = NAME(hop_work);
