/* A library with an allocator of its own, under a prefix that nobody has announced. It uses nothing
 * of the C library's. */
#include "mod_talk.h"

#include <stddef.h>

#define EXPORTED __attribute__((noipa, visibility("default")))

static char arena[1 << 22] __attribute__((aligned(16)));
static size_t used;

/* The size stands before the block. */
static void *carve(size_t size)
{
    if (size > sizeof arena - used - 32) {
        return NULL;
    }
    size_t *header = (size_t *)(void *)(arena + used);
    *header = size;
    used += 16 + ((size + 15) & ~(size_t)15);
    return header + 2;
}

EXPORTED void *plug_malloc(size_t size)
{
    return carve(size);
}

EXPORTED void *plug_calloc(size_t n, size_t size)
{
    /* The arena is fresh. */
    return carve(n * size);
}

EXPORTED void plug_free(void *block)
{
    if (block) {
        ((size_t *)block)[-2] = 0;
    }
}

EXPORTED void *plug_realloc(void *old, size_t size)
{
    char *block = (char *)carve(size);
    if (block && old) {
        size_t length = ((size_t *)old)[-2];
        for (size_t i = 0; i < length && i < size; i++) {
            block[i] = ((char *)old)[i];
        }
    }
    return block;
}

#define SITE(name, call)          \
    APART static void *name(void) \
    {                             \
        void *block = (call);     \
        KEEP(block);              \
        return block;             \
    }

SITE(site_plug_kept, plug_malloc(1777))
SITE(site_plug_freed, plug_malloc(2111))
SITE(site_plug_array, plug_calloc(3, 331))

APART static void *site_plug_grown(void *old)
{
    void *block = plug_realloc(old, 3001);
    KEEP(block);
    return block;
}

EXPORTED void plugin_work(void)
{
    for (int i = 0; i < 100; i++) {
        site_plug_kept();
    }
    for (int i = 0; i < 50; i++) {
        plug_free(site_plug_freed());
    }
    for (int i = 0; i < 10; i++) {
        site_plug_array();
        site_plug_grown(site_plug_freed());
    }
}
