/* Allocates 10 blocks of 1301 bytes under 200 frames, more than unfreed keeps. */
#include "mod_talk.h"

#include <stdlib.h>

APART static void *site_deep(int frames)
{
    void *block = frames > 0 ? site_deep(frames - 1) : malloc(1301);
    KEEP(block);
    return block;
}

int main(void)
{
    say("ready\n");
    wait_for_line();
    for (int i = 0; i < 10; i++) {
        void *block = site_deep(200);
        KEEP(block);
    }
    say("done\n");
    wait_for_line();
    return 0;
}
