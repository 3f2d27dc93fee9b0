/* Allocates 7 blocks of 1409 bytes in unwind_leak, below four functions. How these can be walked is
 * the compiler's matter: with or without frame pointers, with or without unwind information. */
#include "mod_talk.h"

#include <stdlib.h>

APART static void unwind_leak(void)
{
    void *block = malloc(1409);
    KEEP(block);
}

APART static void unwind_first(void)
{
    unwind_leak();
    __asm__ volatile("" : : : "memory");
}

APART static int unwind_second(int round)
{
    char text[64];
    text[round & 7] = (char)round;
    KEEP(text[round & 7]);
    unwind_first();
    return text[round & 7];
}

APART static int unwind_third(int round)
{
    return unwind_second(round) + 1;
}

int main(void)
{
    say("ready\n");
    wait_for_line();
    for (int round = 0; round < 7; round++) {
        int result = unwind_third(round);
        KEEP(result);
    }
    say("done\n");
    wait_for_line();
    return 0;
}
