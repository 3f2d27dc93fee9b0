/* The chain of callers of each allocation, as the program itself knows it.
 *
 * Each thread keeps the names of the functions it is in. A block that is entered with chain_take
 * goes to the ledger under the chain of that moment, "#" and a number; chain_finish writes the
 * chains to the file that is the program's first argument:
 *
 *     {"chains":[["site_b","hop_a","main"]],"notes":{"what":1}}
 *
 * innermost first, "#0" is the first chain. A name is what a symbolizer says, with marks before it:
 *
 *     ^   a library function called this function: its frames are between it and the next
 *     ?   one may have, unless the compiler made it a part of the next
 *     >   this function called the allocator through the library
 *
 * Names begin with site_, hop_ or chain, so that no library function is taken for one of the
 * program's. Never allocates. The subset of C that is C++ too.
 */
#ifndef CHAIN_SHADOW_H
#define CHAIN_SHADOW_H

#include "ledger.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Into the function of this name, and out of the innermost one. The text must stay until then. */
int chain_enter(const char *name);
void chain_leave(const int *mark);

/* The functions that the thread is in; and out of those entered since: for longjmp, and for code
 * that goes from one stack to another. */
int chain_depth(void);
void chain_return_to(int depth);

/* The functions from here on run on a stack of their own, whose outermost function is entered
 * next. Ended by chain_return_to. */
void chain_new_stack(void);

/* A block was taken by the innermost function. */
void chain_take(void *block, size_t size);

/* A number beside the chains; the same name again adds to it. */
void chain_note(const char *name, long number);

/* Like ledger_start and ledger_finish. With chain_witness.c, the second argument is its file. */
void chain_start(int argc, char **argv);
void chain_finish(void) __attribute__((noreturn));

/* chain_witness.c, when it is there. */
void chain_witness_begin(void) __attribute__((weak));
void chain_witness_end(const char *path) __attribute__((weak));

#ifdef __cplusplus
}
#endif

/* In a function of this name, up to the end of the block. */
#define CHAIN_IN(name) \
    int chain_mark __attribute__((cleanup(chain_leave), unused)) = chain_enter(name)

/* The block of SIZE bytes that CALL, a call of the function NAME, takes and returns. The function
 * itself has nothing in it but what it does. */
#define CHAIN_CALL(name, size, call)                  \
    (__extension__({                                  \
        CHAIN_IN(name);                               \
        void *chain_block = (call);                   \
        if (!chain_block) {                           \
            ledger_fail("no block: " #call);          \
        }                                             \
        chain_take(chain_block, size);                \
        chain_block;                                  \
    }))

/* The same for a function that takes only the size. */
#define CHAIN_TAKE(site, size) CHAIN_CALL(#site, size, site(size))

/* What the pointer points to has to be in memory at this point. */
#define CHAIN_HOLD(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

/* A function that is a frame of its own, and whose symbol has the name that its source has. */
#define CHAIN_FUNCTION LEDGER_FUNCTION

/* A function that evaluates CALL, an allocation, and does nothing else. */
#define CHAIN_SITE(name, parameters, call) \
    CHAIN_FUNCTION void *name parameters   \
    {                                      \
        void *block = (call);              \
        LEDGER_KEEP(block);                \
        return block;                      \
    }

#endif
