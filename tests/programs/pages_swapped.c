/* Pages that are swapped out are not resident; who touches them again brings them back. The ledger says
 * what became of it: where there is no swap space, nothing is swapped. */
#define _GNU_SOURCE
#include "pages.h"

/* Since Linux 5.4. */
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static volatile int sink;

WAY site_old(char *at, long pages) { write_pages(at, pages); }
WAY site_new(char *at, long pages) { write_pages(at, pages); }
WAY site_reads_back(char *at, long pages) { sink = read_pages(at, pages, 1); }
WAY site_writes_back(char *at, long pages) { write_pages(at, pages); }

/* Advice, which the kernel follows page by page: one that it has in its hands at that moment stays. Tells
 * how many are left, after as many as a hundred tries. */
static long out(char *at, long pages)
{
    long left = pages;
    for (int tries = 0; left && tries < 100; tries++) {
        if (tries) {
            usleep(10000);
        }
        if (madvise(at, pages * PAGE, MADV_PAGEOUT)) {
            fail("MADV_PAGEOUT");
        }
        left = resident(at, pages);
    }
    return left;
}

int main(void)
{
    stay();
    char *old = memory(100, 0), *new = memory(200, 0);
    site_old(old, 100);
    sink = 1;
    resident(old, 100);
    say("ready\n");
    wait_for_line();

    site_new(new, 200);
    long left = out(old, 80) + out(new, 150);
    site_reads_back(new + 20 * PAGE, 50);
    site_writes_back(old + 10 * PAGE, 30);

    ledger_open("pages");
    ledger_add("site_new", resident(new, 20) + resident(new + 70 * PAGE, 130));
    ledger_add("site_reads_back", 50);
    ledger_add("site_writes_back", 30);
    ledger_open("unexplained");
    ledger_open("swapped");
    ledger_add("left", left);
    ledger_add("out", 80 + 150 - 50 - 30);
    ledger_say();
    wait_for_line();
    return 0;
}
