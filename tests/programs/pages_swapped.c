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

static void out(char *at, long pages)
{
    if (madvise(at, pages * PAGE, MADV_PAGEOUT)) {
        fail("MADV_PAGEOUT");
    }
}

int main(void)
{
    char *old = memory(100, 0), *new = memory(200, 0);
    site_old(old, 100);
    sink = 1;
    resident(old, 100);
    say("ready\n");
    wait_for_line();

    site_new(new, 200);
    out(old, 80);
    out(new, 150);
    long old_left = resident(old, 80), new_left = resident(new, 150);
    site_reads_back(new + 20 * PAGE, 50);
    site_writes_back(old + 10 * PAGE, 30);

    ledger_open("pages");
    ledger_add("site_new", resident(new, 20) + resident(new + 70 * PAGE, 130));
    ledger_add("site_reads_back", 50);
    ledger_add("site_writes_back", 30);
    ledger_open("unexplained");
    ledger_open("swapped");
    ledger_add("left", old_left + new_left);
    ledger_add("out", 80 + 150 - 50 - 30);
    ledger_say();
    wait_for_line();
    return 0;
}
