// Every variant of operator new and delete, those that throw among them.
#include "ledger.h"

#include "zero.h"

#include <cstdint>
#include <map>
#include <new>
#include <string>
#include <vector>

static std::align_val_t aligned(std::size_t alignment)
{
    return static_cast<std::align_val_t>(alignment);
}

ALLOC_SITE(new, (size_t n), (n), asked_for(n), ::operator new(n))
ALLOC_SITE(new_array, (size_t n), (n), n, ::operator new[](n))
ALLOC_SITE(new_nothrow, (size_t n), (n), n, ::operator new(n, std::nothrow))
ALLOC_SITE(new_array_nothrow, (size_t n), (n), n, ::operator new[](n, std::nothrow))
ALLOC_SITE(new_aligned, (size_t n, size_t a), (n, a), n, ::operator new(n, aligned(a)))
ALLOC_SITE(new_array_aligned, (size_t n, size_t a), (n, a), n, ::operator new[](n, aligned(a)))
ALLOC_SITE(new_aligned_nothrow, (size_t n, size_t a), (n, a), n,
           ::operator new(n, aligned(a), std::nothrow))
ALLOC_SITE(new_array_aligned_nothrow, (size_t n, size_t a), (n, a), n,
           ::operator new[](n, aligned(a), std::nothrow))
ALLOC_SITE(after_throw, (size_t n), (n), n, ::operator new(n))
ALLOC_SITE(array_after_throw, (size_t n), (n), n, ::operator new[](n))
ALLOC_SITE(aligned_after_throw, (size_t n, size_t a), (n, a), n, ::operator new(n, aligned(a)))

// Calls that fail. Below them the C++ runtime takes and gives back its exception, which is none of
// this ledger's business; nothing may be left of it.
LEDGER_FUNCTION void *refused_new(size_t n)
{
    return ::operator new(n);
}

LEDGER_FUNCTION void *refused_new_array(size_t n)
{
    return ::operator new[](n);
}

LEDGER_FUNCTION void *refused_new_aligned(size_t n, size_t a)
{
    return ::operator new(n, aligned(a));
}

LEDGER_FUNCTION void *refused_new_nothrow(size_t n)
{
    return ::operator new(n, std::nothrow);
}

// What a container asks of its allocator, taken at the site the container is used in.
template <typename T> struct Counting {
    using value_type = T;
    struct ledger_site *site;
    explicit Counting(struct ledger_site *at) : site(at) {}
    template <typename U> Counting(const Counting<U> &other) : site(other.site) {}
    __attribute__((noinline)) T *allocate(std::size_t n)
    {
        void *block = ::operator new(n * sizeof(T));
        LEDGER_KEEP(block);
        ledger_take(site, block, n * sizeof(T));
        return static_cast<T *>(block);
    }
    void deallocate(T *block, std::size_t n)
    {
        ledger_give(block);
        ::operator delete(block, n * sizeof(T));
    }
    bool operator==(const Counting &) const { return true; }
    bool operator!=(const Counting &) const { return false; }
};

using Vector = std::vector<int, Counting<int>>;
using Text = std::basic_string<char, std::char_traits<char>, Counting<char>>;
using Tree = std::map<int, int, std::less<int>, Counting<std::pair<const int, int>>>;

static Vector *vector;
static Tree *tree;
static Text *text;
alignas(16) static char room[3][128];

LEDGER_FUNCTION void site_vector()
{
    for (int i = 0; i < 5000; i++) {
        vector->push_back(i);
    }
    vector->shrink_to_fit();
}

LEDGER_FUNCTION void site_map()
{
    for (int i = 0; i < 700; i++) {
        (*tree)[i * 7919 % 1009] = i;
    }
    for (int i = 0; i < 300; i++) {
        tree->erase(i);
    }
}

LEDGER_FUNCTION void site_string()
{
    for (int i = 0; i < 999; i++) {
        text->push_back('x');
    }
}

static void containers()
{
    vector = new (room[0]) Vector(Counting<int>(ledger_site("site_vector")));
    tree = new (room[1]) Tree(Counting<std::pair<const int, int>>(ledger_site("site_map")));
    text = new (room[2]) Text(Counting<char>(ledger_site("site_string")));
    site_vector();
    site_map();
    site_string();
}

// mimalloc built as C, as Debian does, sees no new handler and aborts where it had to throw.
extern "C" int mi_version(void) __attribute__((weak));

struct Refused {};

static void refuse()
{
    throw Refused();
}

// Whether the call throws E. The size is no constant: the compiler must not know the outcome.
template <typename E, typename F> static void expect(F call)
{
    if (mi_version) {
        return;
    }
    try {
        call();
    } catch (const E &) {
        return;
    }
    ledger_fail("operator new returned although it had to throw");
}

static void exceptions()
{
    std::size_t huge = PTRDIFF_MAX - 4096;
    LEDGER_KEEP(huge);
    for (int i = 0; i < 1000; i++) {
        expect<std::bad_alloc>([&] { refused_new(huge); });
        void *block = site_after_throw(31 + i);
        expect<std::bad_alloc>([&] { refused_new_array(huge); });
        void *array = site_array_after_throw(33 + i);
        expect<std::bad_alloc>([&] { refused_new_aligned(huge, 64); });
        void *aligned_block = site_aligned_after_throw(35 + i, 64);
        if (refused_new_nothrow(huge)) {
            ledger_fail("operator new(nothrow) accepted a size that cannot be");
        }
        if (i >= 3) {
            ledger_give(block);
            ::operator delete(block);
        }
        if (i >= 5) {
            ledger_give(array);
            ::operator delete[](array);
        }
        if (i >= 7) {
            ledger_give(aligned_block);
            ::operator delete(aligned_block, aligned(64));
        }
    }
    std::set_new_handler(refuse);
    for (int i = 0; i < 1000; i++) {
        expect<Refused>([&] { refused_new(huge); });
        void *block = site_after_throw(37);
        ledger_give(block);
        ::operator delete(block);
    }
    std::set_new_handler(nullptr);
}

// Evaluates ALLOCATION `times` times and gives back all but the first `keep` blocks.
#define ROUND(times, keep, ALLOCATION, RELEASE)      \
    for (long i = 0; i < (times); i++) {             \
        std::size_t size = 0;                        \
        void *block = (ALLOCATION);                  \
        if (!block) {                                \
            ledger_fail("failed: " #ALLOCATION);     \
        }                                            \
        if (i >= (keep)) {                           \
            ledger_give(block);                      \
            RELEASE;                                 \
        }                                            \
        (void)size;                                  \
    }

int main()
{
    // The first exception prepares what the runtime needs for all of them.
    expect<Refused>([] { refuse(); });
    ledger_start();
    ROUND(200, 3, site_new(size = 1 + 37 * i), ::operator delete(block));
    ROUND(200, 4, site_new(size = 1 + 41 * i), ::operator delete(block, size));
    ROUND(20, 2, site_new(0), ::operator delete(block));
    ROUND(200, 5, site_new_array(size = 1 + 43 * i), ::operator delete[](block));
    ROUND(200, 6, site_new_array(size = 1 + 47 * i), ::operator delete[](block, size));
    ROUND(200, 7, site_new_nothrow(53 + i), ::operator delete(block, std::nothrow));
    ROUND(200, 8, site_new_array_nothrow(59 + i), ::operator delete[](block, std::nothrow));
    ROUND(200, 9, site_new_aligned(64 * (1 + i), 64), ::operator delete(block, aligned(64)));
    ROUND(200, 10, site_new_aligned(size = 1 + 61 * i, 128),
          ::operator delete(block, size, aligned(128)));
    ROUND(200, 0, site_new_array_aligned(67 + i, 64), ::operator delete[](block, aligned(64)));
    ROUND(200, 11, site_new_array_aligned(size = 71 + i, 4096),
          ::operator delete[](block, size, aligned(4096)));
    ROUND(200, 12, site_new_aligned_nothrow(73 + i, 32),
          ::operator delete(block, aligned(32), std::nothrow));
    ROUND(200, 13, site_new_array_aligned_nothrow(79 + i, 256),
          ::operator delete[](block, aligned(256), std::nothrow));
    containers();
    exceptions();
    ledger_finish();
}
