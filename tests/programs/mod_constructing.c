/* A library that takes blocks as soon as it is loaded. */
#include "mod_talk.h"

#include <stdlib.h>

APART void *site_library(void)
{
    void *block = malloc(907);
    KEEP(block);
    return block;
}

__attribute__((constructor)) static void construct(void)
{
    for (int i = 0; i < 40; i++) {
        site_library();
    }
}
