/* Linked to mod_linked.c. SITE is another name in another build. */
#include "mod_talk.h"

#include <stdlib.h>

#ifndef SITE
#define SITE site_in_library
#endif

APART static void *SITE(void)
{
    void *block = malloc(2003);
    KEEP(block);
    return block;
}

__attribute__((noipa, visibility("default"))) void library_work(void)
{
    for (int i = 0; i < 200; i++) {
        SITE();
    }
}
