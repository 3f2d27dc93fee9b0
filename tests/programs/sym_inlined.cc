// Three functions that the compiler puts into the one that calls them. The test finds the lines by
// the words behind `at`.
#include "mod_talk.h"

#include <cstdlib>

namespace deep {

__attribute__((always_inline)) static inline void *innermost(std::size_t size)
{
    void *block = std::malloc(size); // at innermost
    KEEP(block);
    return block;
}

__attribute__((always_inline)) static inline void *middle(std::size_t size)
{
    void *block = innermost(size + 1); // at middle
    KEEP(block);
    return block;
}

__attribute__((always_inline)) static inline void *outermost(std::size_t size)
{
    void *block = middle(size + 1); // at outermost
    KEEP(block);
    return block;
}

APART void *holder()
{
    void *block = outermost(1997); // at holder
    KEEP(block);
    return block;
}

} // namespace deep

int main()
{
    say("ready\n");
    wait_for_line();
    for (int i = 0; i < 300; i++) {
        deep::holder(); // at main
    }
    say("done\n");
    wait_for_line();
    return 0;
}
