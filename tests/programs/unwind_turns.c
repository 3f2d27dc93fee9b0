/* Two functions take turns in having the same third one allocate, at the same depth of the stack: 50 blocks
 * each. Compiled with frame pointers, whose chain ends here like in a program that nobody called. */
#include "mod_talk.h"

#include <stdlib.h>

APART static void turns_leak(void)
{
    void *block = malloc(1409);
    KEEP(block);
}

APART void turns_left(void)
{
    turns_leak();
    __asm__ volatile("" : : : "memory");
}

APART void turns_right(void)
{
    turns_leak();
    __asm__ volatile("" : : : "memory");
}

/* Calls a function with a frame pointer of 0. */
__asm__(".text\n"
        "turns_outermost:\n"
        "\tpush %rbp\n"
        "\txor %ebp, %ebp\n"
        "\tcall *%rdi\n"
        "\tpop %rbp\n"
        "\tret\n");
void turns_outermost(void (*function)(void));

int main(void)
{
    say("ready\n");
    wait_for_line();
    for (int round = 0; round < 50; round++) {
        turns_outermost(turns_left);
        turns_outermost(turns_right);
    }
    say("done\n");
    wait_for_line();
    return 0;
}
