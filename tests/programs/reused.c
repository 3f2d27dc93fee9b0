/* Takes 1,000 blocks, gives all of them back, and again, larger ones each time, so that most addresses are new; and keeps
 * those of the last time. Never more than 1,000 are live. */
#include "ledger.h"

#include <stdlib.h>

enum { BLOCKS = 1000, ROUNDS = 40 };

ALLOC_SITE(round, (size_t n), (n), n, malloc(n))

static void *blocks[BLOCKS];

int main(void)
{
    ledger_start();
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            ledger_give(blocks[i]);
            free(blocks[i]);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = site_round(40 + 48 * round);
        }
    }
    ledger_finish();
}
