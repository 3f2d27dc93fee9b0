// Functions whose names need demangling.
#include "mod_talk.h"

#include <cstdlib>

namespace names {

template <typename First, int Second> struct Pair {
    template <typename Third> APART static void *fill(Third)
    {
        void *block = std::malloc(101);
        KEEP(block);
        return block;
    }

    APART void *operator<<(const First &) const
    {
        void *block = std::malloc(103);
        KEEP(block);
        return block;
    }

    APART void *operator()(int) const
    {
        void *block = std::malloc(107);
        KEEP(block);
        return block;
    }

    APART explicit operator void *() const
    {
        void *block = std::malloc(109);
        KEEP(block);
        return block;
    }
};

namespace {
APART void *hidden(const char *, unsigned long)
{
    void *block = std::malloc(113);
    KEEP(block);
    return block;
}
} // namespace

APART void *run()
{
    auto lambda = [](int) APART {
        void *block = std::malloc(127);
        KEEP(block);
        return block;
    };
    void *block = lambda(1);
    KEEP(block);
    return block;
}

} // namespace names

int main()
{
    say("ready\n");
    wait_for_line();
    names::Pair<long, 7> pair;
    names::Pair<long, 7>::fill<char>('c');
    pair << 1L;
    pair(1);
    static_cast<void *>(pair);
    names::hidden("", 1);
    names::run();
    say("done\n");
    wait_for_line();
    return 0;
}
