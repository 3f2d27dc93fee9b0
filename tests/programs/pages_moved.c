/* Memory that mremap moves with what is in it: its pages are their touchers' wherever they are. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <time.h>

#include "pages.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

WAY site_moved(char *at, long pages) { write_pages(at, pages); }
WAY site_extends(char *at, long pages) { write_pages(at, pages); }
WAY site_moved_on(char *at, long pages) { write_pages(at, pages); }
WAY site_below(char *at, long pages) { write_pages(at, pages); }
WAY site_cut(char *at, long pages) { write_pages(at, pages); }
WAY site_in_its_place(char *at, long pages) { write_pages(at, pages); }
WAY site_drops(char *at, long pages) { write_pages(at, pages); }
WAY site_left(char *at, long pages) { write_pages(at, pages); }
WAY site_before(char *at, long pages) { write_pages(at, pages); }

static char *move(char *from, long pages, long new_pages, char *to)
{
    char *moved = mremap(from, pages * PAGE, new_pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    if (moved != to) {
        fail("mremap");
    }
    return moved;
}

/* A move is heard of a moment later; what is touched where the memory was is touched after that. */
static void pause_a_moment(void)
{
    struct timespec moment = {0, 500000000};
    nanosleep(&moment, NULL);
}

/* A large block that grows, as an array does: the allocator has the kernel move it. The first page is
 * touched by the allocator, below this function. */
#define GROWN (8L << 20)
__attribute__((noipa)) static char *site_grows(void)
{
    char *block = NULL;
    long touched = 0;
    for (long size = 256 << 10; size <= GROWN; size *= 2) {
        block = realloc(block, size);
        if (!block) {
            fail("realloc");
        }
        for (; touched < size; touched += PAGE) {
            ((volatile char *)block)[touched] = 1;
        }
        /* So that it cannot grow where it is. */
        if (mmap(block - 16 + size + PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
            fail("mmap");
        }
    }
    return block;
}

int main(void)
{
    char *first = memory(60, 0), *second = memory(60, 0), *under = memory(60, 0);
    char *cut = memory(40, 0), *cut_to = memory(40, 0), *left = memory(30, 0), *left_to = memory(30, 0);
    char *old = memory(50, 0), *old_to = memory(50, 0);
    site_before(old, 50);
    /* What the allocator keeps for itself is there; and large blocks stay mappings of their own. */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    free(realloc(malloc(200 << 10), 400 << 10));
    resident(first, 60);
    say("ready\n");
    wait_for_line();

    site_moved(first, 40);
    move(first, 40, 60, second);
    site_extends(second + 40 * PAGE, 20);
    site_moved_on(second + 10 * PAGE, 5); /* there already: not its pages */
    /* On, over memory that somebody has touched; some of it was given back before. */
    site_below(under, 60);
    madvise(second + 30 * PAGE, 10 * PAGE, MADV_DONTNEED);
    move(second, 60, 60, under);
    site_moved_on(under + 30 * PAGE, 5);

    /* A part of it. */
    site_cut(cut, 40);
    move(cut, 40, 25, cut_to);

    /* Resident since before the recording, and only moved; some given back, and touched again. */
    site_drops(old, 50);
    move(old, 50, 50, old_to);
    madvise(old_to + 5 * PAGE, 20 * PAGE, MADV_DONTNEED);
    site_drops(old_to + 5 * PAGE, 10);

    /* Where it was is empty, and can be touched again. */
    site_left(left, 30);
    int leaves = mremap(left, 30 * PAGE, 30 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, left_to) ==
                 left_to;
    if (!leaves && errno != EINVAL) {
        fail("MREMAP_DONTUNMAP");
    }
    pause_a_moment();
    if (leaves) {
        site_in_its_place(left, 12);
    }
    if (mmap(first, 40 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != first) {
        fail("mmap");
    }
    site_in_its_place(first, 33);

    char *grown = site_grows();
    unsigned long page = (unsigned long)grown & -PAGE;

    ledger_open("pages");
    ledger_add("site_moved", 30);
    ledger_add("site_extends", 20);
    ledger_add("site_moved_on", 5);
    ledger_add("site_cut", 25);
    ledger_add("site_drops", 10);
    ledger_add("site_left", 30);
    ledger_add("site_in_its_place", 33 + (leaves ? 12 : 0));
    ledger_add("site_grows", resident((char *)page, GROWN / PAGE + 1));
    ledger_open("unexplained");
    ledger_open("lacks");
    if (!leaves) {
        ledger_add("MREMAP_DONTUNMAP", 1);
    }
    ledger_say();
    wait_for_line();
    return 0;
}
