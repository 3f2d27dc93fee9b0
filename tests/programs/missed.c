/* Its allocator has a function of its own by which blocks are given back, which no tracer knows: the next ones at their
 * addresses are all that is to be seen of that. 100 blocks are given back like this, half of them where another one had
 * been given back by free before; and as many again after many others have been. */
#include "own_allocator.h"

#include "ledger.h"

#include <stdlib.h>

enum { BLOCKS = 50, OTHERS = 50000 };

ALLOC_SITE(missed, (size_t n), (n), n, malloc(n))
ALLOC_SITE(kept, (size_t n), (n), n, malloc(n))
ALLOC_SITE(other, (size_t n), (n), n, malloc(n))

static void *others[OTHERS];

__attribute__((noipa)) static void recycle(void *block)
{
    struct header *header = (struct header *)block - 1;
    unsigned class = class_of(header->capacity);
    ledger_give(block);
    header->next_free = free_lists[class];
    free_lists[class] = header;
}

static void give_back(void *block)
{
    ledger_give(block);
    free(block);
}

static void miss(size_t size)
{
    void *block = site_missed(size);
    recycle(block);
    if (site_kept(size + 1) != block) {
        ledger_fail("another address");
    }
}

static void miss_some(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        miss(301 + i);
        give_back(site_missed(1201 + i));
        miss(1101 + i);
    }
}

int main(void)
{
    ledger_start();
    miss_some();
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = site_other(20);
    }
    for (size_t i = 0; i < OTHERS; i++) {
        give_back(others[i]);
    }
    miss_some();
    ledger_finish();
}
