/* Executes a program under a seccomp filter: FILTER PROGRAM [ARGUMENT]..., where FILTER is a file of instructions. Sets
 * nothing else: whoever may not change his privileges in the end needs PR_SET_NO_NEW_PRIVS before. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static struct sock_filter filter[BPF_MAXINSNS];
    struct sock_fprog program = {0, filter};
    FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: filtered FILTER PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    program.len = (unsigned short)fread(filter, sizeof *filter, BPF_MAXINSNS, file);
    fclose(file);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("filtered: the filter");
        return 1;
    }
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
