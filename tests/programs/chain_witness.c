/* A second opinion, to be preloaded: an allocator that hands every call on to glibc's, after it has
 * asked libgcc's unwinder for the stack. Between chain_witness_begin and chain_witness_end (see
 * chain_shadow.c) it adds up what was taken on each stack; then it writes a file, one line a stack,
 * from the caller of the allocator outwards:
 *
 *     BYTES COUNT MODULE+0xOFFSET MODULE+0xOFFSET ...
 *
 * An offset is a return address as the module's file counts addresses. Never allocates, and has no thread-local data, which the
 * C library's own blocks would be larger for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

enum { FRAMES = 160, STACKS = 2048 };

struct stack {
    size_t bytes, count;
    int depth;
    uintptr_t frames[FRAMES];
};

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static struct stack stacks[STACKS];
static int stack_count;
static int active;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define PUBLIC __attribute__((noipa, visibility("default")))

static void fail(const char *message)
{
    if (write(STDERR_FILENO, message, strlen(message)) < 0) {
        _exit(2);
    }
    _exit(1);
}

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *argument)
{
    struct stack *stack = argument;
    int interrupted = 0;
    uintptr_t address = _Unwind_GetIPInfo(context, &interrupted);
    if (address == 0) {
        return _URC_END_OF_STACK;
    }
    if (stack->depth == FRAMES) {
        fail("a stack has too many frames for the witness\n");
    }
    stack->frames[stack->depth++] = address;
    return _URC_NO_REASON;
}

/* Called by the allocator's functions, before they do anything else. */
static __attribute__((noipa)) void witness(size_t bytes)
{
    if (!active) {
        return;
    }
    struct stack now = {.bytes = bytes, .count = 1};
    _Unwind_Backtrace(note, &now);
    /* This function and the allocator's. */
    int depth = now.depth - 2;
    size_t size = sizeof *now.frames * (size_t)depth;
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < stack_count &&
           (stacks[i].depth != depth || memcmp(stacks[i].frames, now.frames + 2, size) != 0)) {
        i++;
    }
    if (i == STACKS) {
        fail("there are too many stacks for the witness\n");
    }
    if (i == stack_count) {
        memcpy(stacks[i].frames, now.frames + 2, size);
        stacks[i].depth = depth;
        stack_count++;
    }
    stacks[i].bytes += bytes;
    stacks[i].count++;
    pthread_mutex_unlock(&lock);
}

/* Every call returns here, so that each is a frame. */
#define RESULT(call)                                   \
    void *block = (call);                              \
    __asm__ volatile("" : "+r"(block) : : "memory");   \
    return block

PUBLIC void *malloc(size_t size)
{
    witness(size);
    RESULT(__libc_malloc(size));
}

PUBLIC void *calloc(size_t n, size_t size)
{
    witness(n * size);
    RESULT(__libc_calloc(n, size));
}

PUBLIC void *realloc(void *old, size_t size)
{
    witness(size);
    RESULT(__libc_realloc(old, size));
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    witness(size);
    RESULT(__libc_memalign(alignment, size));
}

PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
    witness(size);
    void *block = __libc_memalign(alignment, size);
    if (!block) {
        return ENOMEM;
    }
    *out = block;
    return 0;
}

PUBLIC void free(void *block)
{
    __libc_free(block);
    __asm__ volatile("" : : : "memory");
}

PUBLIC void chain_witness_begin(void)
{
    /* What the unwinder prepares the first time is not for the middle of an allocation. */
    struct stack first = {0};
    _Unwind_Backtrace(note, &first);
    active = 1;
}

static void write_stack(FILE *file, const struct stack *stack)
{
    fprintf(file, "%zu %zu", stack->bytes, stack->count);
    for (int i = 0; i < stack->depth; i++) {
        Dl_info info;
        struct link_map *map;
        /* The instruction before: a call can be a function's last one. */
        if (dladdr1((void *)(stack->frames[i] - 1), &info, (void **)&map, RTLD_DL_LINKMAP) == 0) {
            fail("the witness was told of an address that is in no module\n");
        }
        const char *name = map->l_name[0] != '\0' ? map->l_name : info.dli_fname;
        fprintf(file, " %s+%#lx", name, (unsigned long)(stack->frames[i] - map->l_addr));
    }
    fputc('\n', file);
}

PUBLIC void chain_witness_end(const char *path)
{
    active = 0;
    FILE *file = fopen(path, "we");
    if (!file) {
        fail("the witness cannot write to the program's second argument\n");
    }
    for (int i = 0; i < stack_count; i++) {
        write_stack(file, &stacks[i]);
    }
    if (fclose(file) != 0) {
        fail("the witness could not write\n");
    }
}
