/* Takes blocks itself and in the library that it is linked to. SITE is another name in another
 * build. */
#include "mod_talk.h"

#include <stdlib.h>

#ifndef SITE
#define SITE site_in_program
#endif

void library_work(void);

APART static void *SITE(void)
{
    void *block = malloc(1999);
    KEEP(block);
    return block;
}

int main(void)
{
    say("ready\n");
    wait_for_line();
    for (int i = 0; i < 300; i++) {
        SITE();
    }
    library_work();
    say("done\n");
    wait_for_line();
    return 0;
}
