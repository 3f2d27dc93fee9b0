/* Huge pages: made by a touch, made of small pages, and cut. */
#define _GNU_SOURCE
#include <errno.h>

#include "pages.h"

#define ALL (HUGE_PAGE / PAGE)

static int lacks_collapse;

WAY site_whole(char *at, long pages) { write_pages(at, pages); }
WAY site_collapsed(char *at, long pages) { write_pages(at, pages); }
WAY site_left(char *at, long pages) { write_pages(at, pages); }
WAY site_right(char *at, long pages) { write_pages(at, pages); }
WAY site_cut(char *at, long pages) { write_pages(at, pages); }
WAY site_dropped(char *at, long pages) { write_pages(at, pages); }
WAY site_dropped_again(char *at, long pages) { write_pages(at, pages); }

/* Where one huge page fits, and nothing else. */
static char *huge_memory(void)
{
    char *at = memory(2 * ALL, 0);
    char *aligned = at + -(unsigned long)at % HUGE_PAGE;
    munmap(aligned + HUGE_PAGE, at + 2 * HUGE_PAGE - (aligned + HUGE_PAGE));
    munmap(at, aligned - at);
    return aligned;
}

static void collapse(char *at)
{
    if (madvise(at, HUGE_PAGE, MADV_COLLAPSE)) {
        lacks_collapse = 1;
        if (errno != EINVAL) {
            perror("MADV_COLLAPSE");
        }
    }
}

int main(void)
{
    char *whole = huge_memory(), *collapsed = huge_memory(), *two = huge_memory();
    char *cut = huge_memory(), *dropped = huge_memory();
    madvise(whole, HUGE_PAGE, MADV_HUGEPAGE);
    madvise(cut, HUGE_PAGE, MADV_HUGEPAGE);
    madvise(dropped, HUGE_PAGE, MADV_HUGEPAGE);
    resident(whole, ALL);
    say("ready\n");
    wait_for_line();

    site_whole(whole + 77 * PAGE, 1);
    site_collapsed(collapsed + 5 * PAGE, 1);
    collapse(collapsed);
    site_left(two + 200 * PAGE, 10);
    site_right(two, 20);
    /* Where huge pages come unasked the first touch has brought all of it. */
    long right = resident(two, ALL) == 30 ? 20 : 0;
    collapse(two);
    site_cut(cut, 1);
    munmap(cut + 100 * PAGE, 200 * PAGE);
    site_dropped(dropped + 7 * PAGE, 1);
    madvise(dropped, 50 * PAGE, MADV_DONTNEED);
    long before = resident(dropped, ALL);
    madvise(dropped, HUGE_PAGE, MADV_NOHUGEPAGE);
    site_dropped_again(dropped + 10 * PAGE, 10);

    ledger_open("pages");
    ledger_add("site_whole", resident(whole, ALL));
    ledger_add("site_collapsed", resident(collapsed, ALL));
    ledger_add("site_left", resident(two, ALL) - right);
    ledger_add("site_right", right);
    ledger_add("site_cut", resident(cut, 100) + resident(cut + 300 * PAGE, ALL - 300));
    ledger_add("site_dropped", before);
    ledger_add("site_dropped_again", 10);
    ledger_open("unexplained");
    ledger_open("lacks");
    if (lacks_collapse) {
        ledger_add("MADV_COLLAPSE", 1);
    }
    if (resident(whole, ALL) != ALL) {
        ledger_add("huge pages", 1);
    }
    ledger_say();
    wait_for_line();
    return 0;
}
