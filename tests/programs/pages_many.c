/* Four million pages: most of them are given back again, and stay known all the same; a million stay. */
#define _GNU_SOURCE
#include "pages.h"

#define MANY 4000000L
#define KEPT 1000000L
#define AT_ONCE 8192L

WAY site_keeps(char *at, long pages) { write_pages(at, pages); }
WAY site_drops(char *at, long pages) { write_pages(at, pages); }

int main(void)
{
    char *all = memory(MANY, MAP_NORESERVE);
    if (madvise(all, MANY * PAGE, MADV_NOHUGEPAGE)) {
        fail("madvise");
    }
    say("ready\n");
    wait_for_line();
    site_keeps(all, KEPT);
    for (long from = KEPT; from < MANY; from += AT_ONCE) {
        long pages = MANY - from < AT_ONCE ? MANY - from : AT_ONCE;
        site_drops(all + from * PAGE, pages);
        if (madvise(all + from * PAGE, pages * PAGE, MADV_DONTNEED)) {
            fail("madvise");
        }
    }
    ledger_open("pages");
    ledger_add("site_keeps", KEPT);
    ledger_open("unexplained");
    ledger_say();
    wait_for_line();
    return 0;
}
