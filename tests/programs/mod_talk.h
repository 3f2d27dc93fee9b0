/* How a test program talks to its test: a line each way, without allocating. */
#ifndef MOD_TALK_H
#define MOD_TALK_H

#include <string.h>
#include <unistd.h>

static inline void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) {
        _exit(2);
    }
}

/* Waits for a line or the end of input. */
static inline void wait_for_line(void)
{
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
    }
}

/* A function of its own, with a frame, under its own name. */
#define APART __attribute__((noipa, used))

/* The compiler must not see what becomes of a block, nor make the call that returned it a jump. */
#define KEEP(block) __asm__ volatile("" : "+r"(block) : : "memory")

#endif
