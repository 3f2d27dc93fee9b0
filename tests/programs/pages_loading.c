/* A program that loads nothing by itself; when it is told to, the C library loads a module for it. */
#define _GNU_SOURCE
#include <iconv.h>

#include "pages.h"

WAY site_before(char *at, long pages) { write_pages(at, pages); }
WAY site_after(char *at, long pages) { write_pages(at, pages); }

int main(void)
{
    char *at = memory(30, 0);
    if (madvise(at, 30 * PAGE, MADV_NOHUGEPAGE)) {
        fail("madvise");
    }
    say("ready\n");
    wait_for_line();
    site_before(at, 10);
    if (iconv_open("ISO-8859-15", "UTF-8") == (iconv_t)-1) {
        fail("iconv_open");
    }
    site_after(at + 10 * PAGE, 20);
    ledger_open("pages");
    ledger_add("site_before", 10);
    ledger_add("site_after", 20);
    ledger_say();
    wait_for_line();
    return 0;
}
