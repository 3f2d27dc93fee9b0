/* One of two versions of a library, which are loaded at the same addresses: the second has its
 * function somewhere else. */
#include "mod_talk.h"

#include <stdlib.h>

#ifdef SECOND
APART int padding(int n)
{
    for (int i = 2; i < 40; i++) {
        n = n / i + (n ^ i);
    }
    return n;
}
#define SITE site_second
#else
#define SITE site_first
#endif

APART static void *SITE(void)
{
    void *block = malloc(1777);
    KEEP(block);
    return block;
}

__attribute__((noipa, visibility("default"))) void plugin_work(void)
{
    for (int i = 0; i < 100; i++) {
        SITE();
    }
}
