/* An allocator of only two functions, beside the C library's. */
#include "ledger.h"

#include <stdlib.h>

static char arena[1 << 22];
static size_t used;

LEDGER_FUNCTION void *zz_malloc(size_t size)
{
    size_t start = (used + 15) & ~(size_t)15;
    if (size > sizeof arena - start) {
        return NULL;
    }
    used = start + size;
    return arena + start;
}

LEDGER_FUNCTION void zz_free(void *block)
{
    if (block) {
        *(char *)block = 0;
    }
}

ALLOC_SITE(zz, (size_t n), (n), n, zz_malloc(n))
ALLOC_SITE(libc, (size_t n), (n), n, malloc(n))

int main(void)
{
    ledger_start();
    for (size_t i = 0; i < 300; i++) {
        void *ours = site_zz(401 + i);
        void *theirs = site_libc(601 + i);
        if (i % 3 == 0) {
            ledger_give(ours);
            zz_free(ours);
            ledger_give(theirs);
            free(theirs);
        }
    }
    ledger_finish();
}
