// Takes blocks before main: in a global object's constructor, in an early one, and in a library's
// when it is linked to mod_constructing.c.
#include "mod_talk.h"

#include <cstdlib>

namespace {

template <typename Take> APART void *site_object(Take take)
{
    void *block = take();
    KEEP(block);
    return block;
}

struct Global {
    Global()
    {
        for (int i = 0; i < 70; i++) {
            site_object([] { return static_cast<void *>(new char[1009]); });
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
