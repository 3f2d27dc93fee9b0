/* Memory that is given back with MADV_FREE stays until the kernel needs it; what is written to again is in
 * use again, without any page fault. */
#define _GNU_SOURCE
#include "pages.h"

WAY site_gives_back(char *at, long pages) { write_pages(at, pages); }
WAY site_writes_again(char *at, long pages) { write_pages(at, pages); }
WAY site_again(char *at, long pages) { write_pages(at, pages); }
WAY site_one(char *at, long pages) { write_pages(at, pages); }
WAY site_other(char *at, long pages) { write_pages(at, pages); }
WAY site_both(char *at, long pages) { write_pages(at, pages); }
WAY site_before(char *at, long pages) { write_pages(at, pages); }
WAY site_huge(char *at, long pages) { write_pages(at, pages); }
WAY site_keeps(char *at, long pages) { write_pages(at, pages); }

static void give_back(char *at, long pages)
{
    if (madvise(at, pages * PAGE, MADV_FREE)) {
        fail("MADV_FREE");
    }
}

/* With an argument: no two functions share a mapping. */
int main(int count, char **arguments)
{
    (void)arguments;
    char *before = memory(50, 0), *given = memory(200, 0), *again = memory(60, 0), *shared = memory(120, 0);
    char *apart = memory(80, 0);
    char *huge = memory(2 * HUGE_PAGE / PAGE, 0);
    huge += -(unsigned long)huge % HUGE_PAGE;
    madvise(huge, HUGE_PAGE, MADV_HUGEPAGE);
    site_before(before, 50);
    resident(given, 200);
    stay();
    say("ready\n");
    wait_for_line();

    give_back(before, 45);
    site_gives_back(given, 200);
    give_back(given + 30 * PAGE, 120);
    site_writes_again(again, 60);
    give_back(again, 60);
    site_again(again + 20 * PAGE, 25);
    /* Of two functions, all of it given back, and nothing written again: known. */
    site_one(apart, 40);
    site_other(apart + 40 * PAGE, 40);
    give_back(apart + 10 * PAGE, 60);
    char *populated = memory(10, MAP_POPULATE);
    give_back(populated, 10);
    site_huge(huge, 1);
    long of_huge = resident(huge, HUGE_PAGE / PAGE);
    give_back(huge, HUGE_PAGE / PAGE);
    long unknown = 0;
    if (count == 1) {
        /* Written again by one of three: whose pages they are cannot be known. */
        site_keeps(shared, 40);
        site_both(shared + 40 * PAGE, 80);
        give_back(shared, 120);
        site_again(shared + 35 * PAGE, 10);
        unknown = 110;
    }

    ledger_open("pages");
    ledger_add("site_gives_back", 80);
    ledger_add("site_writes_again", 25);
    ledger_add("site_one", 10);
    ledger_add("site_other", 10);
    if (count == 1) {
        ledger_add("site_keeps", 40);
        ledger_add("site_both", 80);
    }
    ledger_open("unexplained");
    ledger_open("given_back_lazily");
    ledger_add("not_counted", 120 + 35 + 60 + 10 + of_huge);
    ledger_add("counted", unknown);
    ledger_add("of_before", 45);
    ledger_say();
    wait_for_line();
    return 0;
}
