/* The ledger of a test program: what each call site took and gave back, by requested size.
 *
 * It never allocates, so that a tracer sees only what the sites do. Threads may use it at the same
 * time; signal handlers may only while the code they interrupt does not. The subset of C that is
 * C++ too.
 *
 * Talks on stdin and stdout: ledger_start prints "ready" and waits for a line; ledger_finish prints
 * one line of JSON and waits for a line or the end of input.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ledger_site;

/* A block taken out of the ledger while realloc decides about it. */
struct ledger_aside {
    void *block;
    struct ledger_site *site;
    size_t size;
};

/* The site of this name; the same name is the same site. The name is copied. */
struct ledger_site *ledger_site(const char *name);

/* A block was taken. Blocks taken before ledger_start are not recorded. */
void ledger_take(struct ledger_site *site, void *block, size_t size);

/* A block is about to be given back: called before free, because another thread may be given the
 * same address right after it. Blocks that are not in the ledger are ignored. */
void ledger_give(void *block);

/* realloc is about to be called, then it has failed, or it has ended the block. */
struct ledger_aside ledger_set_aside(void *block);
void ledger_put_back(const struct ledger_aside *aside);
void ledger_end(const struct ledger_aside *aside);

/* n * size, or SIZE_MAX when that overflows. */
size_t ledger_product(size_t n, size_t size);

/* Prints "ready" and waits for the line that starts the workload. */
void ledger_start(void);

/* Prints the ledger, waits for a line or the end of input, and exits with 0. */
void ledger_finish(void) __attribute__((noreturn));

/* Ends the program with 1 and a message on stderr. */
void ledger_fail(const char *message) __attribute__((noreturn));

#ifdef __cplusplus
}
#define LEDGER_FUNCTION extern "C" __attribute__((noipa, used))
#else
#define LEDGER_FUNCTION __attribute__((noipa, used))
#endif

/* The compiler must not see what becomes of the value, so that it removes no allocation. */
#define LEDGER_KEEP(value) __asm__ volatile("" : "+r"(value) : : "memory")

#define LEDGER_SITE(name)                        \
    (__extension__({                             \
        static struct ledger_site *ledger_entry; \
        if (!ledger_entry) {                     \
            ledger_entry = ledger_site(name);    \
        }                                        \
        ledger_entry;                            \
    }))

/* Defines site_NAME, the only caller of site_NAME_inner, which evaluates CALL, the allocation of
 * SIZE bytes. Two functions, because a stack read by frame pointers can miss the direct caller of
 * a function that has no frame of its own. NULL is a failure and is not recorded. */
#define ALLOC_SITE(NAME, PARAMETERS, ARGUMENTS, SIZE, CALL)                 \
    LEDGER_FUNCTION void *site_##NAME##_inner PARAMETERS                    \
    {                                                                       \
        void *block = (CALL);                                               \
        LEDGER_KEEP(block);                                                 \
        return block;                                                       \
    }                                                                       \
    LEDGER_FUNCTION void *site_##NAME PARAMETERS                            \
    {                                                                       \
        void *block = site_##NAME##_inner ARGUMENTS;                        \
        LEDGER_KEEP(block);                                                 \
        if (block) {                                                        \
            ledger_take(LEDGER_SITE("site_" #NAME), block, SIZE);           \
        }                                                                   \
        return block;                                                       \
    }

/* The same for a function that ends the block OLD and begins one of SIZE bytes. NULL is a failure
 * that leaves OLD alone, except for size 0: then OLD is freed. */
#define REALLOC_SITE(NAME, PARAMETERS, ARGUMENTS, OLD, SIZE, CALL)          \
    LEDGER_FUNCTION void *site_##NAME##_inner PARAMETERS                    \
    {                                                                       \
        void *block = (CALL);                                               \
        LEDGER_KEEP(block);                                                 \
        return block;                                                       \
    }                                                                       \
    LEDGER_FUNCTION void *site_##NAME PARAMETERS                            \
    {                                                                       \
        struct ledger_aside aside = ledger_set_aside(OLD);                  \
        void *block = site_##NAME##_inner ARGUMENTS;                        \
        LEDGER_KEEP(block);                                                 \
        if (!block && (SIZE) != 0) {                                        \
            ledger_put_back(&aside);                                        \
            return NULL;                                                    \
        }                                                                   \
        ledger_end(&aside);                                                 \
        if (block) {                                                        \
            ledger_take(LEDGER_SITE("site_" #NAME), block, SIZE);           \
        }                                                                   \
        return block;                                                       \
    }

#endif
