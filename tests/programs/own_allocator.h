/* An allocator that a program defines for itself and that replaces the C library's: size classes
 * of powers of two over one mapping. Not for threads. Its calloc and realloc call its malloc, and
 * a hook runs inside malloc, before the block is chosen: it may call malloc or leave by longjmp.
 */
#ifndef OWN_ALLOCATOR_H
#define OWN_ALLOCATOR_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Called by malloc once, then forgotten. */
static void (*volatile malloc_hook)(void);

enum { ARENA = 1 << 28, CLASSES = 48 };

struct header {
    size_t capacity;
    void *next_free;
};

static char *arena;
static size_t arena_used;
static struct header *free_lists[CLASSES];

#define OWN __attribute__((noipa, used, visibility("default")))

static unsigned class_of(size_t size)
{
    unsigned class = 4;
    while (((size_t)1 << class) < size) {
        class++;
    }
    return class;
}

/* The capacity behind an aligned block is unknown to free, so it goes to no list. */
static void *carve(size_t alignment, size_t size)
{
    if (!arena) {
        arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena == MAP_FAILED) {
            return NULL;
        }
    }
    size_t start = (arena_used + sizeof(struct header) + alignment - 1) & ~(alignment - 1);
    if (size > ARENA || start + size > ARENA) {
        errno = ENOMEM;
        return NULL;
    }
    arena_used = start + size;
    struct header *header = (struct header *)(arena + start) - 1;
    header->capacity = size;
    return header + 1;
}

OWN void *malloc(size_t size)
{
    void (*hook)(void) = malloc_hook;
    if (hook) {
        malloc_hook = NULL;
        hook();
    }
    if (size > ARENA) {
        errno = ENOMEM;
        return NULL;
    }
    unsigned class = class_of(size);
    struct header *header = free_lists[class];
    if (!header) {
        return carve(16, (size_t)1 << class);
    }
    free_lists[class] = (struct header *)header->next_free;
    return header + 1;
}

OWN void free(void *block)
{
    if (!block) {
        return;
    }
    struct header *header = (struct header *)block - 1;
    unsigned class = class_of(header->capacity);
    if (((size_t)1 << class) == header->capacity) {
        header->next_free = free_lists[class];
        free_lists[class] = header;
    }
}

OWN void *calloc(size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = malloc(total);
    return block ? memset(block, 0, total) : NULL;
}

OWN void *realloc(void *old, size_t size)
{
    if (!old) {
        return malloc(size);
    }
    size_t capacity = ((struct header *)old - 1)->capacity;
    if (size <= capacity) {
        return old;
    }
    void *block = malloc(size);
    if (block) {
        memcpy(block, old, capacity);
        free(old);
    }
    return block;
}

OWN void *aligned_alloc(size_t alignment, size_t size)
{
    return carve(alignment < 16 ? 16 : alignment, size + (size == 0));
}

OWN void *memalign(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

OWN int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *block = aligned_alloc(alignment, size);
    if (!block) {
        return ENOMEM;
    }
    *out = block;
    return 0;
}

#endif
