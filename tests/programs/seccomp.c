/* Runs under a seccomp filter that kills the process at every system call but those that the allocator
 * and the ledger make: what a service is given that must not do anything else.
 *
 * With arguments it makes one system call instead, of the number that is the second: under the filter
 * when the first is `filtered`, without one when it is `unfiltered`. */
#define _GNU_SOURCE
#include "ledger.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROUNDS = 400, KEEP_EVERY = 7 };

ALLOC_SITE(malloc, (size_t n), (n), n, malloc(n))
ALLOC_SITE(malloc_large, (size_t n), (n), n, malloc(n))
ALLOC_SITE(calloc, (size_t n), (n), n, calloc(1, n))
REALLOC_SITE(realloc, (void *old, size_t n), (old, n), old, n, realloc(old, n))

#define ALLOW(call)                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1),         \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void allow_only_what_is_needed(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read),
        ALLOW(write),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(futex),
        ALLOW(getrandom),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        ledger_fail("no seccomp filter can be installed");
    }
}

static void end(void *block)
{
    ledger_give(block);
    free(block);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "filtered";
    if (strcmp(how, "unfiltered") != 0) {
        allow_only_what_is_needed();
    }
    if (argc > 2) {
        syscall(atol(argv[2]));
        _exit(0);
    }
    ledger_start();
    for (size_t i = 1; i <= ROUNDS; i++) {
        void *blocks[] = {
            site_malloc(i),
            site_malloc_large(200003 + i),
            site_calloc(3 * i),
            site_realloc(site_malloc(5 * i), 11 * i),
        };
        for (size_t j = 0; j < sizeof blocks / sizeof *blocks; j++) {
            if ((i + j) % KEEP_EVERY != 0) {
                end(blocks[j]);
            }
        }
    }
    ledger_finish();
}
