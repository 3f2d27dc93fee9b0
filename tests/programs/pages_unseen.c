/* Memory that becomes resident although no thread of the process takes a page fault: by the kernel, or by
 * another process. Nobody is seen to touch it, so it is to be unexplained, and in no stack. What a child
 * touches that has the process's memory until it has some of its own (vfork) is seen, but for what the kernel
 * touches for such a child. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "pages.h"

/* include/uapi/linux/io_uring.h: parameters of a ring, of which none matters here, and an operation. */
struct parameters {
    unsigned words[30];
};
#define REGISTER_BUFFERS 0

static long anonymous;

WAY site_touches_some(char *at, long pages) { write_pages(at, pages); }
WAY site_is_late(char *at, long pages) { write_pages(at, pages); }
WAY site_before_exec(char *at, long pages) { write_pages(at, pages); }
WAY site_before_exit(char *at, long pages) { write_pages(at, pages); }
WAY site_in_child(char *at, long pages) { write_pages(at, pages); }
WAY site_in_parent(char *at, long pages) { write_pages(at, pages); }

/* Counts what is there now of memory that nobody has touched. */
static void unseen(const char *at, long pages, long expected)
{
    long found = resident(at, pages);
    if (found != expected) {
        fprintf(stderr, "%ld pages are resident instead of %ld\n", found, expected);
        exit(1);
    }
    anonymous += found;
}

static int has_populate_write(char *at, long pages)
{
    if (madvise(at, pages * PAGE, MADV_POPULATE_WRITE) == 0) {
        return 1;
    }
    if (errno != EINVAL) {
        fail("MADV_POPULATE_WRITE");
    }
    return 0;
}

/* Buffers that are registered with io_uring are brought in and pinned. */
static int has_io_uring(char *at, long pages)
{
    struct parameters parameters = {0};
    struct iovec buffer = {at, pages * PAGE};
    long ring = syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring < 0) {
        return 0; /* not built in, or forbidden */
    }
    if (syscall(SYS_io_uring_register, ring, REGISTER_BUFFERS, &buffer, 1) < 0) {
        fail("IORING_REGISTER_BUFFERS");
    }
    close(ring);
    return 1;
}

static void join(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fail("a child");
    }
}

/* Another process writes into our memory: its fault, our page. */
static void written_by_another(char *at, long pages)
{
    static char page[PAGE] = {1};
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        for (long i = 0; i < pages; i++) {
            struct iovec from = {page, PAGE}, to = {at + i * PAGE, PAGE};
            if (process_vm_writev(parent, &from, 1, &to, 1, 0) != PAGE) {
                _exit(1);
            }
        }
        _exit(0);
    }
    join(child);
}

/* The child's memory is ours until it has a program of its own, or ends. */
static void with_vfork(char *executes, char *exits, char *reads, long pages)
{
    static char *arguments[] = {"pages_unseen", "end", NULL}, *environment[] = {NULL};
    pid_t child = vfork();
    if (child == 0) {
        int zeros = open("/dev/zero", O_RDONLY);
        if (read(zeros, reads, pages * PAGE) != pages * PAGE) {
            _exit(1);
        }
        site_before_exec(executes, pages);
        execve("/proc/self/exe", arguments, environment);
        _exit(1);
    }
    join(child);
    child = vfork();
    if (child == 0) {
        site_before_exit(exits, pages);
        _exit(0);
    }
    join(child);
}

/* A forked child's memory is its own. */
static void with_fork(char *at, long pages)
{
    pid_t child = fork();
    if (child == 0) {
        site_in_child(at, pages);
        _exit(0);
    }
    join(child);
    site_in_parent(at, pages / 2);
}

int main(int count, char **arguments)
{
    (void)arguments;
    if (count > 1) {
        return 0;
    }
    char *populated = memory(17, 0), *ring = memory(12, 0), *written = memory(9, 0);
    char *executes = memory(20, 0), *exits = memory(20, 0), *reads = memory(20, 0), *ours = memory(40, 0), *locked = memory(43, 0);
    /* What these need once, of the stack, too, is there when the recording begins. */
    with_vfork(memory(1, 0), memory(1, 0), memory(1, 0), 1);
    with_fork(memory(2, 0), 2);
    written_by_another(memory(1, 0), 1);
    resident(populated, 17);
    say("ready\n");
    wait_for_line();

    unseen(memory(25, MAP_POPULATE), 25, 25);
    site_touches_some(locked, 10);
    if (mlock(locked, 43 * PAGE)) {
        fail("mlock");
    }
    unseen(locked + 10 * PAGE, 33, 33);
    site_is_late(locked + 10 * PAGE, 33);
    int populates = has_populate_write(populated, 17);
    unseen(populated, 17, populates ? 17 : 0);
    int rings = has_io_uring(ring, 12);
    unseen(ring, 12, rings ? 12 : 0);
    written_by_another(written, 9);
    unseen(written, 9, 9);
    with_vfork(executes, exits, reads, 20);
    unseen(reads, 20, 20);
    with_fork(ours, 40);
    int shared = memfd_create("pages", 0);
    if (shared < 0 || ftruncate(shared, 11 * PAGE) ||
        mmap(NULL, 11 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, shared, 0) == MAP_FAILED) {
        fail("shared memory");
    }

    ledger_open("pages");
    ledger_add("site_touches_some", 10);
    ledger_add("site_in_parent", 20);
    ledger_add("site_before_exec", 20);
    ledger_add("site_before_exit", 20);
    ledger_open("unexplained");
    ledger_add("anonymous", anonymous);
    ledger_add("shmem", 11);
    ledger_open("lacks");
    if (!populates) {
        ledger_add("MADV_POPULATE_WRITE", 1);
    }
    if (!rings) {
        ledger_add("io_uring", 1);
    }
    ledger_say();
    wait_for_line();
    return 0;
}
