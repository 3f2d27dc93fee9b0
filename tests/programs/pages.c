/* Touches pages in every way there is, and says which of them it expects to be resident because of which
 * function: "pages", by function. What cannot be known by counting, because the kernel decides how much
 * comes along, is a range of addresses: "ranges", by function. Page faults are no calls, so each way has a
 * function of its own that no compiler may put into another. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "pages.h"

static volatile int sink;

WAY site_write(char *at, long pages) { write_pages(at, pages); }
WAY site_read_zeros(char *at, long pages) { sink = read_pages(at, pages, 1); }
WAY site_reads_first(char *at, long pages) { sink = read_pages(at, pages, 1); }
WAY site_writes_after(char *at, long pages) { write_pages(at, pages); }
WAY site_unmapped(char *at, long pages) { write_pages(at, pages); }
WAY site_dropped(char *at, long pages) { write_pages(at, pages); }
WAY site_touches_again(char *at, long pages) { write_pages(at, pages); }
WAY site_memset(char *at, long pages) { memset(at, 7, pages * PAGE); }
WAY site_break(char *at, long pages) { write_pages(at, pages); }
WAY site_before(char *at, long pages) { write_pages(at, pages); }
WAY site_copies(char *at, long pages) { write_pages(at, pages); }
WAY site_file(char *at, long pages) { sink = read_pages(at, pages, 16); }
WAY site_file_copy(char *at, long pages) { write_pages(at, pages); }
WAY site_shared(char *at, long pages) { write_pages(at, pages); }
WAY site_huge(char *at, long pages) { write_pages(at, pages); }
WAY site_thread(char *at, long pages) { write_pages(at, pages); }

/* The same instruction at the same depth, for two callers: only the words on the stack tell them apart. */
__attribute__((noipa)) static void touch(char *at) { *(volatile char *)at = 1; }
WAY site_left(char *at, long pages) { (void)pages; touch(at); }
WAY site_right(char *at, long pages) { (void)pages; touch(at); }

WAY site_system_call(char *at, long pages)
{
    int zero = open("/dev/zero", O_RDONLY);
    if (zero < 0 || read(zero, at, pages * PAGE) != pages * PAGE) {
        fail("/dev/zero");
    }
    close(zero);
}

static char *for_thread;

static void *thread(void *number)
{
    site_thread(for_thread + (long)number * 20 * PAGE, 20);
    return NULL;
}

static char *file(long pages, int shared)
{
    int fd = shared ? memfd_create("pages", 0) : temporary_file();
    if (fd < 0 || ftruncate(fd, pages * PAGE)) {
        fail("a file");
    }
    for (long i = 0; !shared && i < pages; i++) {
        if (pwrite(fd, "x", 1, i * PAGE) != 1) {
            fail("writing a file");
        }
    }
    char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
        fail("mmap of a file");
    }
    close(fd);
    return at;
}

int main(void)
{
    char *before = memory(80, 0);
    site_before(before, 80);
    char *plain = memory(300, 0), *zeros = memory(200, 0), *late = memory(100, 0), *system_call = memory(150, 0);
    char *unmapped = memory(120, 0), *dropped = memory(90, 0), *set = memory(64, 0);
    char *mapped = file(64, 0), *copied = file(10, 0), *shared = file(30, 1);
    for_thread = memory(80, 0);
    char *in_turn = memory(70, 0);
    char *huge = memory(1024, 0);
    huge += -(unsigned long)huge % (2 << 20);
    madvise(huge, 2 << 20, MADV_HUGEPAGE);
    /* Not by brk() and sbrk(), which musl does not have. */
    char *bottom = (char *)syscall(SYS_brk, 0);
    bottom += -(unsigned long)bottom % PAGE;
    syscall(SYS_brk, bottom);
    say("ready\n");
    wait_for_line();

    /* First: where something was unmapped it would look like what had been there. */
    memory(25, MAP_POPULATE);
    site_write(plain, 300);
    site_read_zeros(zeros, 200);
    site_reads_first(late, 100);
    site_writes_after(late, 100);
    site_system_call(system_call, 150);
    site_unmapped(unmapped, 120);
    munmap(unmapped + 50 * PAGE, 70 * PAGE);
    site_dropped(dropped, 90);
    madvise(dropped, 90 * PAGE, MADV_DONTNEED);
    site_touches_again(dropped + 10 * PAGE, 40);
    site_memset(set, 64);
    for (long i = 0; i < 70; i++) {
        (i % 7 < 3 ? site_left : site_right)(in_turn + i * PAGE, 1);
    }
    site_file(mapped, 64);
    site_file_copy(copied, 10);
    site_shared(shared, 30);
    site_huge(huge, 1);
    syscall(SYS_brk, bottom + 50 * PAGE);
    site_break(bottom, 50);
    syscall(SYS_brk, bottom + 30 * PAGE);
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, thread, (void *)i);
    }
    for (long i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    struct holder child = hold();
    site_copies(before, 80);
    let_go(child);

    ledger_open("pages");
    ledger_add("site_write", 300);
    ledger_add("site_writes_after", 100);
    ledger_add("site_system_call", 150);
    ledger_add("site_unmapped", 50);
    ledger_add("site_touches_again", 40);
    ledger_add("site_memset", 64);
    ledger_add("site_left", 30);
    ledger_add("site_right", 40);
    ledger_add("site_file_copy", 10);
    ledger_add("site_shared", 30);
    ledger_add("site_break", 30);
    ledger_add("site_thread", 80);
    ledger_open("ranges");
    ledger_add_range("site_file", mapped, 64);
    ledger_add_range("site_huge", huge, HUGE_PAGE / PAGE);
    ledger_open("unexplained");
    ledger_add("anonymous", 25);
    ledger_say();
    wait_for_line();
    return 0;
}
