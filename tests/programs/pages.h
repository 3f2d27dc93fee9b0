/* What the programs of the pages view share: memory to touch, a function for each way to touch it, and a
 * ledger. Page faults are no calls, so each way has a function of its own that no compiler may put into
 * another. */
#ifndef PAGES_H
#define PAGES_H

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096L
#define HUGE_PAGE (2L << 20)
#define WAY __attribute__((noipa)) static void

/* Since Linux 5.14, and since 6.1; older headers do not have them. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Memory between pages that nobody may touch, so that no two mappings become one. */
__attribute__((unused)) static char *memory(long pages, int flags)
{
    char *all = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) {
        fail("mmap");
    }
    char *middle = mmap(all + PAGE, pages * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
    if (middle == MAP_FAILED) {
        fail("mmap");
    }
    return middle;
}

/* A file without a name, of no pages yet. */
__attribute__((unused)) static int temporary_file(void)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) {
        fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    }
    if (fd < 0) {
        fail("a file");
    }
    return fd;
}

__attribute__((unused)) static void write_pages(char *from, long pages)
{
    for (long i = 0; i < pages; i++) {
        ((volatile char *)from)[i * PAGE] = 1;
    }
}

__attribute__((unused)) static int read_pages(char *from, long pages, long step)
{
    int sum = 0;
    for (long i = 0; i < pages; i += step) {
        sum += ((volatile char *)from)[i * PAGE];
    }
    return sum;
}

/* How many pages of a range are present, by the kernel's word, whoever may read which frames they are. */
__attribute__((unused)) static long resident(const char *from, long pages)
{
    static unsigned long words[1 << 12];
    int pagemap = open("/proc/self/pagemap", O_RDONLY);
    long found = 0;
    if (pagemap < 0 || pages > (long)(sizeof words / sizeof *words) ||
        pread(pagemap, words, pages * 8, (unsigned long)from / PAGE * 8) != pages * 8) {
        fail("/proc/self/pagemap");
    }
    for (long i = 0; i < pages; i++) {
        found += words[i] >> 63;
    }
    close(pagemap);
    return found;
}

/* On the processor where it is. A page that another one has made a moment ago is not yet where MADV_FREE
 * and MADV_PAGEOUT find it (mm/swap.c, folio_mark_lazyfree, and mm/vmscan.c, folio_isolate_lru: pages in a
 * processor's own list are passed over), and is in use as if nothing had been said. */
__attribute__((unused)) static void stay(void)
{
    unsigned cpu;
    cpu_set_t only;
    CPU_ZERO(&only);
    if (syscall(SYS_getcpu, &cpu, NULL, NULL)) {
        fail("getcpu");
    }
    CPU_SET(cpu, &only);
    if (sched_setaffinity(0, sizeof only, &only)) {
        fail("sched_setaffinity");
    }
}

__attribute__((unused)) static void wait_for_line(void)
{
    char c;
    do {
        if (read(0, &c, 1) != 1) {
            exit(1);
        }
    } while (c != '\n');
}

__attribute__((unused)) static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0) {
        exit(1);
    }
}

/* A child that holds on to every page of ours, so that what is written is copied. */
struct holder {
    pid_t child;
    int go;
};

__attribute__((unused)) static struct holder hold(void)
{
    int go[2];
    if (pipe(go)) {
        fail("pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        char c;
        close(go[1]);
        _exit(read(go[0], &c, 1) != 0);
    }
    close(go[0]);
    return (struct holder){child, go[1]};
}

__attribute__((unused)) static void let_go(struct holder holder)
{
    close(holder.go);
    waitpid(holder.child, NULL, 0);
}

/* The ledger, a line of JSON: objects of numbers. Not on the stack: a small one is walked by other means
 * than a large one. */
static char ledger_text[8000];
static int ledger_length, ledger_entries;

__attribute__((unused)) static void ledger_open(const char *object)
{
    ledger_length += snprintf(ledger_text + ledger_length, sizeof ledger_text - ledger_length, "%s\"%s\": {",
                              ledger_length ? "}, " : "{", object);
    ledger_entries = 0;
}

__attribute__((unused)) static void ledger_add(const char *name, long number)
{
    ledger_length += snprintf(ledger_text + ledger_length, sizeof ledger_text - ledger_length,
                              "%s\"%s\": %ld", ledger_entries++ ? ", " : "", name, number);
}

__attribute__((unused)) static void ledger_add_range(const char *name, const char *from, long pages)
{
    ledger_length += snprintf(ledger_text + ledger_length, sizeof ledger_text - ledger_length,
                              "%s\"%s\": [%lu, %lu]", ledger_entries++ ? ", " : "", name,
                              (unsigned long)from, (unsigned long)(from + pages * PAGE));
}

__attribute__((unused)) static void ledger_say(void)
{
    ledger_length += snprintf(ledger_text + ledger_length, sizeof ledger_text - ledger_length, "}}\n");
    if ((unsigned long)ledger_length >= sizeof ledger_text) {
        fail("the ledger is full");
    }
    say(ledger_text);
}

#endif
