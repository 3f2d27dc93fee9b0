/* Two million live blocks over twenty thousand distinct stacks: one for each path through a
 * binary tree of calls. An argument says how many of each stack there are. */
#include "ledger.h"

#include <stdlib.h>

enum { STACKS = 20000, LEVELS = 15, BLOCKS = 100 };

ALLOC_SITE(leaf, (size_t n), (n), n, malloc(n))

LEDGER_FUNCTION void branch_0(unsigned path, unsigned level, size_t size);
LEDGER_FUNCTION void branch_1(unsigned path, unsigned level, size_t size);

static inline void descend(unsigned path, unsigned level, size_t size)
{
    if (level == 0) {
        if (!site_leaf(size)) {
            ledger_fail("malloc failed");
        }
    } else if (path & 1) {
        branch_1(path >> 1, level - 1, size);
    } else {
        branch_0(path >> 1, level - 1, size);
    }
    __asm__ volatile("");
}

LEDGER_FUNCTION void branch_0(unsigned path, unsigned level, size_t size)
{
    descend(path, level, size);
}

LEDGER_FUNCTION void branch_1(unsigned path, unsigned level, size_t size)
{
    descend(path, level, size);
}

int main(int count, char **arguments)
{
    size_t blocks = count > 1 ? strtoul(arguments[1], NULL, 10) : BLOCKS;
    ledger_start();
    for (size_t round = 0; round < blocks; round++) {
        for (unsigned path = 0; path < STACKS; path++) {
            descend(path, LEVELS, 17 + (path + round) % 37);
        }
    }
    ledger_finish();
}
