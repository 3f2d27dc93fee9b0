/* Keeps and touches as many mebibytes more as it is told, in blocks of one. Talks on stdin and stdout: "ready", then for
 * each line with a number "done"; 0, or the end of its input, is its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

__attribute__((noipa)) static void *site_grown(void)
{
    void *block = malloc(BLOCK);
    if (block != NULL) {
        memset(block, 1, BLOCK);
    }
    return block;
}

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0) {
        _exit(2);
    }
}

/* Without stdio, whose buffers would be in the recording. */
static int read_number(void)
{
    int number = 0;
    char byte = 0;
    while (read(0, &byte, 1) == 1 && byte != '\n') {
        if (byte >= '0' && byte <= '9') {
            number = number * 10 + byte - '0';
        }
    }
    return number;
}

int main(void)
{
    int left;
    say("ready\n");
    while ((left = read_number()) > 0) {
        for (; left > 0; left--) {
            if (site_grown() == NULL) {
                return 3;
            }
        }
        say("done\n");
    }
    return 0;
}
