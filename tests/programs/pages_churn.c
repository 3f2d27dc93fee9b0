/* A program that takes memory for each piece of its work and gives it back, and keeps a little of it each
 * time: far more page faults than pages that stay. */
#define _GNU_SOURCE
#include "pages.h"

#define ROUNDS 2500L
#define WORK 64L
#define KEPT 2L

WAY site_works(char *at, long pages) { write_pages(at, pages); }
WAY site_keeps(char *at, long pages) { write_pages(at, pages); }

int main(void)
{
    int how = MAP_PRIVATE | MAP_ANONYMOUS;
    char *kept = memory(ROUNDS * KEPT, 0);
    if (madvise(kept, ROUNDS * KEPT * PAGE, MADV_NOHUGEPAGE)) {
        fail("madvise");
    }
    say("ready\n");
    wait_for_line();
    for (long i = 0; i < ROUNDS; i++) {
        char *work = mmap(NULL, WORK * PAGE, PROT_READ | PROT_WRITE, how, -1, 0);
        if (work == MAP_FAILED) {
            fail("mmap");
        }
        site_works(work, WORK);
        site_keeps(kept + i * KEPT * PAGE, KEPT);
        if (munmap(work, WORK * PAGE)) {
            fail("munmap");
        }
    }
    ledger_open("pages");
    ledger_add("site_keeps", ROUNDS * KEPT);
    ledger_open("unexplained");
    ledger_say();
    wait_for_line();
    return 0;
}
