/* Pages come and go at random, in all ways that leave no doubt whose they are. The first argument is the
 * seed, the second how many steps there are. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "pages.h"

#define SLOTS 48
#define SLOT 96L /* pages */
#define NOBODY 0

static volatile int sink;
static unsigned long state;

static long below(long limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (long)(state % (unsigned long)limit);
}

WAY site_write(char *at, long pages) { write_pages(at, pages); }
WAY site_memset(char *at, long pages) { memset(at, 7, pages * PAGE); }
WAY site_read(char *at, long pages) { sink = read_pages(at, pages, 1); }
WAY site_thread(char *at, long pages) { write_pages(at, pages); }
WAY site_copy(char *at, long pages) { write_pages(at, pages); }

WAY site_system_call(char *at, long pages)
{
    static int zero = -1;
    if (zero < 0) {
        zero = open("/dev/zero", O_RDONLY);
    }
    if (read(zero, at, pages * PAGE) != pages * PAGE) {
        fail("/dev/zero");
    }
}

static const struct {
    const char *name;
    void (*touch)(char *, long);
} ways[] = {
    {"nobody", NULL},
    {"site_write", site_write},
    {"site_memset", site_memset},
    {"site_system_call", site_system_call},
    {"site_thread", site_thread},
    {"site_copy", site_copy},
};
#define WAYS (long)(sizeof ways / sizeof *ways)
#define THREAD 4
#define COPY 5

/* Whose each page is. */
static struct {
    char *at;
    int populated, lazy;
    char owner[SLOT];
} slots[SLOTS];
static long given_back_lazily;

static void *thread(void *slot_and_range)
{
    long *of = slot_and_range;
    site_thread(slots[of[0]].at + of[1] * PAGE, of[2]);
    return NULL;
}

/* A touch by one of the functions; `first` and `count`: the pages. */
static void touch(long slot, int way, long first, long count)
{
    char *at = slots[slot].at + first * PAGE;
    if (way == THREAD) {
        long of[3] = {slot, first, count};
        pthread_t other;
        if (pthread_create(&other, NULL, thread, of) || pthread_join(other, NULL)) {
            fail("a thread");
        }
    } else if (way == COPY) {
        struct holder child = hold();
        site_copy(at, count);
        let_go(child);
    } else {
        ways[way].touch(at, count);
    }
    for (long i = first; i < first + count; i++) {
        if (slots[slot].owner[i] == NOBODY) {
            slots[slot].owner[i] = (char)way;
        }
    }
}

static void drop(long slot, long first, long count)
{
    char *at = slots[slot].at + first * PAGE;
    if (below(2)) {
        if (madvise(at, count * PAGE, MADV_DONTNEED)) {
            fail("MADV_DONTNEED");
        }
    } else if (mmap(at, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
               MAP_FAILED) {
        fail("mmap");
    }
    memset(slots[slot].owner + first, NOBODY, count);
}

static void step(void)
{
    long slot = below(SLOTS), first = below(SLOT), count = 1 + below(SLOT - first);
    if (slots[slot].lazy || slots[slot].populated) {
        return;
    }
    switch (below(12)) {
    case 0:
    case 1:
        drop(slot, first, count);
        break;
    case 2:
        site_read(slots[slot].at + first * PAGE, count);
        break;
    default:
        touch(slot, 1 + (int)below(WAYS - 1), first, count);
    }
}

/* Of what is written anew, all or a part is given back; nothing else happens there. */
static void free_lazily(long slot)
{
    long count = 1 + below(SLOT);
    drop(slot, 0, SLOT);
    touch(slot, 1 + (int)below(WAYS - 1), 0, SLOT);
    if (madvise(slots[slot].at, count * PAGE, MADV_FREE)) {
        fail("MADV_FREE");
    }
    memset(slots[slot].owner, NOBODY, count);
    slots[slot].lazy = 1;
    given_back_lazily += count;
}

int main(int arguments, char **argument)
{
    if (arguments != 3) {
        return 2;
    }
    state = 0x9e3779b97f4a7c15UL * (1 + strtoul(argument[1], NULL, 10));
    long steps = strtol(argument[2], NULL, 10), populated = 0;
    for (long i = 0; i < SLOTS; i++) {
        slots[i].at = memory(SLOT, 0);
        madvise(slots[i].at, SLOT * PAGE, MADV_NOHUGEPAGE);
    }
    resident(slots[0].at, SLOT);
    stay();
    say("ready\n");
    wait_for_line();

    /* One that is populated, where nothing was touched. */
    long first = below(SLOTS);
    slots[first].populated = 1;
    populated = 1 + below(8);
    if (mlock(slots[first].at, populated * PAGE)) {
        fail("mlock");
    }
    for (long i = 0; i < steps; i++) {
        step();
    }
    for (long i = 0; i < 4; i++) {
        long slot = below(SLOTS);
        if (!slots[slot].populated && !slots[slot].lazy) {
            free_lazily(slot);
        }
    }

    long pages[WAYS] = {0};
    for (long i = 0; i < SLOTS; i++) {
        for (long page = 0; page < SLOT; page++) {
            pages[(int)slots[i].owner[page]]++;
        }
    }
    ledger_open("pages");
    for (long i = 1; i < WAYS; i++) {
        ledger_add(ways[i].name, pages[i]);
    }
    ledger_open("unexplained");
    ledger_add("anonymous", populated);
    ledger_open("given_back_lazily");
    ledger_add("not_counted", given_back_lazily);
    ledger_add("counted", 0);
    ledger_add("of_before", 0);
    ledger_say();
    wait_for_line();
    return 0;
}
