/* See chain_shadow.h. */
#include "chain_shadow.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH = 160, CHAINS = 256, NOTES = 16, NAMES = 256 };

struct chain {
    struct ledger_site *site;
    int depth;
    const char *names[DEPTH];
};

static __thread const char *names[DEPTH];
static __thread int depth;
/* Where the outermost function of the present stack is. */
static __thread int bottom;

static struct chain chains[CHAINS];
static int chain_count;
/* Copies: the functions of a chain may be unloaded. */
static char known[NAMES][96];
static struct {
    const char *name;
    long number;
} notes[NOTES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *output, *witness_output;
static char text[1 << 19];
static size_t length;

int chain_enter(const char *name)
{
    if (depth == DEPTH) {
        ledger_fail("a chain has no room for another function");
    }
    names[depth++] = name;
    return depth;
}

void chain_leave(const int *mark)
{
    (void)mark;
    depth--;
    if (depth < bottom) {
        bottom = 0;
    }
}

int chain_depth(void)
{
    return depth;
}

void chain_return_to(int to)
{
    depth = to;
    if (to <= bottom) {
        bottom = 0;
    }
}

void chain_new_stack(void)
{
    bottom = depth;
}

static int is_current(const struct chain *chain)
{
    if (chain->depth != depth - bottom) {
        return 0;
    }
    for (int i = chain->depth - 1; i >= 0; i--) {
        if (strcmp(chain->names[i], names[bottom + i]) != 0) {
            return 0;
        }
    }
    return 1;
}

static const char *copy(const char *name)
{
    int i = 0;
    while (i < NAMES && known[i][0] != '\0' && strcmp(known[i], name) != 0) {
        i++;
    }
    if (i == NAMES || strlen(name) >= sizeof known[i]) {
        ledger_fail("no room for another name");
    }
    return strcpy(known[i], name);
}

void chain_take(void *block, size_t size)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < chain_count && !is_current(&chains[i])) {
        i++;
    }
    if (i == chain_count) {
        if (i == CHAINS) {
            ledger_fail("no room for another chain");
        }
        char name[16];
        snprintf(name, sizeof name, "#%d", i);
        chains[i].site = ledger_site(name);
        chains[i].depth = depth - bottom;
        for (int k = bottom; k < depth; k++) {
            chains[i].names[k - bottom] = copy(names[k]);
        }
        chain_count++;
    }
    pthread_mutex_unlock(&lock);
    ledger_take(chains[i].site, block, size);
}

void chain_note(const char *name, long number)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < NOTES && notes[i].name && strcmp(notes[i].name, name) != 0) {
        i++;
    }
    if (i == NOTES) {
        ledger_fail("no room for another note");
    }
    notes[i].name = name;
    notes[i].number += number;
    pthread_mutex_unlock(&lock);
}

static void put(const char *word)
{
    size_t bytes = strlen(word);
    if (bytes > sizeof text - length) {
        ledger_fail("the chains do not fit");
    }
    memcpy(text + length, word, bytes);
    length += bytes;
}

static void write_chains(void)
{
    put("{\"chains\":[");
    for (int i = 0; i < chain_count; i++) {
        put(i > 0 ? ",\n[\"" : "\n[\"");
        for (int k = chains[i].depth - 1; k >= 0; k--) {
            put(chains[i].names[k]);
            put(k > 0 ? "\",\"" : "\"]");
        }
    }
    put("],\n\"notes\":{");
    for (int i = 0; i < NOTES && notes[i].name; i++) {
        char number[80];
        snprintf(number, sizeof number, "%s\"%s\":%ld", i > 0 ? "," : "", notes[i].name,
                 notes[i].number);
        put(number);
    }
    put("}}\n");
    int file = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, text, length) != (ssize_t)length || close(file) != 0) {
        ledger_fail("the chains could not be written");
    }
}

void chain_start(int argc, char **argv)
{
    if (argc < 2) {
        ledger_fail("usage: PROGRAM CHAINS [MORE]...");
    }
    output = argv[1];
    witness_output = argc > 2 ? argv[2] : "";
    ledger_start();
    if (chain_witness_begin) {
        chain_witness_begin();
    }
}

void chain_finish(void)
{
    if (chain_witness_end) {
        chain_witness_end(witness_output);
    }
    write_chains();
    ledger_finish();
}
