/* Memory that grows, comes and goes, at the same addresses, and under several hands. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "pages.h"

static volatile int sink;

WAY site_break(char *at, long pages) { write_pages(at, pages); }
WAY site_break_again(char *at, long pages) { write_pages(at, pages); }
WAY site_mapping(char *at, long pages) { write_pages(at, pages); }
WAY site_mapping_again(char *at, long pages) { write_pages(at, pages); }
WAY site_owner(char *at, long pages) { write_pages(at, pages); }
WAY site_copier(char *at, long pages) { write_pages(at, pages); }
WAY site_reader(char *at, long pages) { sink = read_pages(at, pages, 1); }
WAY site_writer(char *at, long pages) { write_pages(at, pages); }
WAY site_race(char *at, long pages) { write_pages(at, pages); }
WAY site_torn(char *at, long pages) { write_pages(at, pages); }

/* Each frame begins a page below the last one. */
__attribute__((noipa)) static void site_deep(long depth)
{
    volatile char frame[PAGE];
    frame[0] = 1;
    if (depth > 0) {
        site_deep(depth - 1);
    }
    sink += frame[0];
}

__attribute__((noipa)) static void site_deep_in_thread(long depth)
{
    volatile char frame[PAGE];
    frame[0] = 1;
    if (depth > 0) {
        site_deep_in_thread(depth - 1);
    }
    sink += frame[0];
}

/* Stacks are walked for 127 frames. */
#define DEPTH 100L

/* How many pages of the stack it brings. They end where this function's frame is: what is above was there. */
__attribute__((noipa)) static long grow(void (*deep)(long))
{
    char *top = (char *)__builtin_frame_address(0);
    top -= (unsigned long)top % PAGE;
    char *bottom = top - 2 * DEPTH * PAGE;
    long before = resident(bottom, 2 * DEPTH);
    deep(DEPTH);
    return resident(bottom, 2 * DEPTH) - before;
}

static void *deep_thread(void *grown)
{
    *(long *)grown = grow(site_deep_in_thread);
    return NULL;
}

#define RACERS 2
#define RACES 500L

static char *track;
static atomic_long arrived;

/* Both at the same page at once, again and again. */
static void *racer(void *unused)
{
    (void)unused;
    for (long i = 0; i < RACES; i++) {
        arrived++;
        while (arrived < RACERS * (i + 1)) {
        }
        site_race(track + i * PAGE, 1);
    }
    return NULL;
}

#define TORN 64L
static char *torn;
static atomic_int tearing = 1;

static void *tearer(void *unused)
{
    (void)unused;
    for (unsigned i = 0; tearing; i++) {
        madvise(torn + i * 7 % (TORN - 8) * PAGE, 8 * PAGE, MADV_DONTNEED);
    }
    return NULL;
}

static pthread_t begin(void *(*function)(void *), void *argument, char *stack, long pages)
{
    pthread_t thread;
    pthread_attr_t how;
    pthread_attr_init(&how);
    pthread_attr_setstack(&how, stack, pages * PAGE);
    if (pthread_create(&thread, &how, function, argument)) {
        fail("pthread_create");
    }
    return thread;
}

/* With a child that holds on to every page. */
static void copied(char *written, char *read_only, long pages)
{
    struct holder child = hold();
    site_copier(written, pages);
    site_writer(read_only, pages);
    let_go(child);
}

int main(void)
{
    char *mapping = memory(60, 0), *written = memory(40, 0), *read_only = memory(40, 0);
    char *stacks[4];
    for (int i = 0; i < 4; i++) {
        stacks[i] = memory(2 * DEPTH + 64, MAP_NORESERVE);
    }
    track = memory(RACES, 0);
    torn = memory(TORN, 0);
    char *bottom = (char *)syscall(SYS_brk, 0);
    bottom += -(unsigned long)bottom % PAGE;
    syscall(SYS_brk, bottom);
    resident(mapping, 60);
    say("ready\n");
    wait_for_line();

    syscall(SYS_brk, bottom + 50 * PAGE);
    site_break(bottom, 50);
    syscall(SYS_brk, bottom + 20 * PAGE);
    syscall(SYS_brk, bottom + 50 * PAGE);
    site_break_again(bottom + 10 * PAGE, 30);

    site_mapping(mapping, 60);
    munmap(mapping + 20 * PAGE, 20 * PAGE);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(mapping + 20 * PAGE, 20 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ||
        mmap(mapping + 50 * PAGE, 10 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) {
        fail("mmap");
    }
    site_mapping_again(mapping + 15 * PAGE, 15);
    site_mapping_again(mapping + 50 * PAGE, 5);

    site_owner(written, 40);
    site_reader(read_only, 40);
    copied(written, read_only, 40);

    long grown = grow(site_deep), grown_in_thread = 0;
    pthread_join(begin(deep_thread, &grown_in_thread, stacks[0], 2 * DEPTH + 64), NULL);

    pthread_t first = begin(racer, NULL, stacks[1], 64), second = begin(racer, NULL, stacks[2], 64);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    pthread_t tears = begin(tearer, NULL, stacks[3], 64);
    for (int i = 0; i < 2000; i++) {
        site_torn(torn, TORN);
    }
    tearing = 0;
    pthread_join(tears, NULL);

    ledger_open("pages");
    ledger_add("site_break", 20);
    ledger_add("site_break_again", 20);
    ledger_add("site_mapping", 30);
    ledger_add("site_mapping_again", 15);
    ledger_add("site_owner", 40);
    ledger_add("site_writer", 40);
    ledger_add("site_deep", grown);
    ledger_add("site_deep_in_thread", grown_in_thread);
    ledger_add("site_race", RACES);
    ledger_add("site_torn", resident(torn, TORN));
    ledger_open("unexplained");
    ledger_say();
    wait_for_line();
    return 0;
}
