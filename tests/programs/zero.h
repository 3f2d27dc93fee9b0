// The size that operator new(n) asks the allocator for.
#ifndef ZERO_H
#define ZERO_H

#include <cstddef>
#include <cstdlib>
#include <dlfcn.h>
#include <new>

// libstdc++'s operator new is no allocator: it calls malloc, for 1 byte when it is asked for none.
// That call is what is recorded. An allocator with an operator new of its own is asked itself.
static inline bool operator_new_calls_malloc()
{
#ifdef LEDGER_STATIC
    return true;
#else
    static int answer = -1;
    if (answer < 0) {
        Dl_info ours, theirs;
        void *(*plain_new)(std::size_t) = ::operator new;
        answer = dladdr(reinterpret_cast<void *>(plain_new), &ours) != 0 &&
                 dladdr(reinterpret_cast<void *>(std::malloc), &theirs) != 0 &&
                 ours.dli_fbase != theirs.dli_fbase;
    }
    return answer != 0;
#endif
}

static inline std::size_t asked_for(std::size_t n)
{
    return n == 0 && operator_new_calls_malloc() ? 1 : n;
}

#endif
