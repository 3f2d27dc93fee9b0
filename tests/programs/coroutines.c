/* Allocations on stacks that end right above the callers, with nothing mapped beyond, in turn with others that are
 * made far down on the main stack. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "ledger.h"

#define COROUTINES 3
#define ROUNDS 400
#define KEPT_EACH 8
#define DEPTH 24
#define PAGE 4096UL
#define PAGES 8

static ucontext_t main_context, contexts[COROUTINES];

ALLOC_SITE(deep, (size_t size), (size), size, malloc(size))
ALLOC_SITE(at_the_end, (size_t size), (size), size, malloc(size))

/* Most blocks are given back at once. */
static void keep_or_give(void *block, unsigned long round)
{
    if (round % KEPT_EACH != 0) {
        ledger_give(block);
        free(block);
    }
}

LEDGER_FUNCTION void descend(int depth, unsigned long round)
{
    volatile char frame[64];
    frame[0] = 0;
    if (depth > 0) {
        descend(depth - 1, round);
    } else {
        keep_or_give(site_deep(100 + round % 50), round);
    }
    frame[1] = frame[0];
}

LEDGER_FUNCTION void work(unsigned index)
{
    for (unsigned long round = 0;; round++) {
        keep_or_give(site_at_the_end(20 + 7 * index + round % 9), round);
        swapcontext(&contexts[index], &main_context);
    }
}

/* A stack with nothing mapped below and above. */
static void *stack(void)
{
    char *all = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all + PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE) != 0) {
        ledger_fail("no memory for a stack");
    }
    return all + PAGE;
}

static void make(unsigned index)
{
    ucontext_t *context = &contexts[index];
    getcontext(context);
    context->uc_stack.ss_sp = stack();
    context->uc_stack.ss_size = PAGES * PAGE;
    makecontext(context, (void (*)(void))work, 1, index);
}

int main(void)
{
    for (unsigned index = 0; index < COROUTINES; index++) {
        make(index);
    }
    ledger_start();
    for (unsigned long round = 0; round < ROUNDS; round++) {
        descend(DEPTH, round);
        for (unsigned index = 0; index < COROUTINES; index++) {
            swapcontext(&main_context, &contexts[index]);
        }
    }
    ledger_finish();
}
