// Takes blocks before main: in a global object's constructor, in an early one, and in a library's
// when it is linked to mod_constructing.c.
#include "mod_talk.h"

#include <cstdlib>

extern "C" {
// Two functions, because a stack read by frame pointers misses the direct caller of `operator new`,
// which has no frame of its own.
APART void *site_object_inner(void)
{
    void *block = new char[1009];
    KEEP(block);
    return block;
}

APART void *site_object(void)
{
    void *block = site_object_inner();
    KEEP(block);
    return block;
}
}

namespace {

struct Global {
    Global()
    {
        for (int i = 0; i < 70; i++) {
            site_object();
        }
    }
};

Global global;

} // namespace

extern "C" {

APART void *site_early(void)
{
    void *block = malloc(701);
    KEEP(block);
    return block;
}

__attribute__((constructor(101))) void early(void)
{
    for (int i = 0; i < 30; i++) {
        site_early();
    }
}

APART void *site_main(void)
{
    void *block = malloc(503);
    KEEP(block);
    return block;
}
}

int main()
{
    site_main();
    return 5;
}
