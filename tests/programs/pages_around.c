/* Files' pages that the kernel maps around a fault (mm/memory.c, do_fault_around): 64 KiB from where an
 * aligned window of that size begins, or from where the mapping does; only what is in memory, so that
 * there may be gaps; and only around one that reads. */
#define _GNU_SOURCE
#include "pages.h"

#define WINDOW 16
/* Pages of a page table: nothing is mapped beyond its end. */
#define TABLE 512

static volatile int sink;

WAY site_file_gap(char *at, long pages) { sink = read_pages(at, pages, pages); }
WAY site_file_begins_within(char *at, long pages) { sink = read_pages(at, pages, pages); }
WAY site_file_ends_within(char *at, long pages) { sink = read_pages(at, pages, pages); }
WAY site_file_writes_first(char *at, long pages) { write_pages(at, pages); }
WAY site_file_reads_after(char *at, long pages) { sink = read_pages(at, pages, pages); }

/* A file of which all but one page are in memory, which was never written; at this page of a page table's
 * first window. */
static char *file(long at_page, long pages, long missing)
{
    int fd = temporary_file();
    for (long i = 0; i < pages; i++) {
        if (i != missing && pwrite(fd, "x", 1, i * PAGE) != 1) {
            fail("writing a file");
        }
    }
    char *at = memory(pages + TABLE + WINDOW, 0);
    at += -(unsigned long)at % (TABLE * PAGE) + at_page * PAGE;
    if (mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) != at) {
        fail("mmap of a file");
    }
    close(fd);
    return at;
}

int main(void)
{
    char *gap = file(0, WINDOW, 5), *begins = file(WINDOW - 4, 3 * WINDOW, -1), *ends = file(3, 5, -1);
    char *copied = file(0, WINDOW, -1);
    /* The program is a file, too: what these need of it is there before. */
    static char known[PAGE];
    site_file_gap(known, 1);
    site_file_begins_within(known, 1);
    site_file_ends_within(known, 1);
    site_file_writes_first(known, 1);
    site_file_reads_after(known, 1);
    say("ready\n");
    wait_for_line();
    site_file_gap(gap, WINDOW);
    site_file_begins_within(begins, 3 * WINDOW);
    site_file_ends_within(ends, 5);
    site_file_writes_first(copied + 3 * PAGE, 1);
    long written = resident(copied, WINDOW);
    site_file_reads_after(copied + 8 * PAGE, 1);
    /* Each of these is one fault's, whatever it mapped: the kernel leaves out a page that is locked at the moment, or
     * that it has dropped meanwhile. */
    long of_gap = resident(gap, WINDOW), of_begins = resident(begins, 3 * WINDOW), of_ends = resident(ends, 5);
    long of_reads = resident(copied, WINDOW) - written;
    if (resident(gap + 6 * PAGE, WINDOW - 6) == 0 || of_gap == WINDOW || resident(begins + 4 * PAGE, WINDOW) == 0 ||
        of_begins > WINDOW || of_ends < 2 || written != 1 || of_reads < 2) {
        fail("the kernel maps other pages around a fault");
    }
    ledger_open("pages");
    ledger_add("site_file_gap", of_gap);
    ledger_add("site_file_begins_within", of_begins);
    ledger_add("site_file_ends_within", of_ends);
    ledger_add("site_file_writes_first", 1);
    ledger_add("site_file_reads_after", of_reads);
    ledger_say();
    wait_for_line();
    return 0;
}
