// Functions of C++ that keep what they take, each the direct caller of operator new or of the part
// of the standard library that grows. Compiled without frame pointers, which neither the library
// has: the stack pointer alone tells who called.
#include "chain_shadow.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace chain {

// What never ends: nothing of it is given back.
template <typename T> struct alignas(T) Room {
    unsigned char bytes[sizeof(T)];
    T *get() { return reinterpret_cast<T *>(bytes); }
};

struct Thing {
    explicit Thing(std::size_t n);
    virtual ~Thing() = default;
    void *block;
    char more[77];
};

// Takes a block while its own is being made.
__attribute__((noipa)) Thing::Thing(std::size_t n) : block(std::malloc(n)), more()
{
    LEDGER_KEEP(block);
}

template <typename T> struct Stack {
    static void *push(std::size_t n);
};

template <typename T> __attribute__((noipa)) void *Stack<T>::push(std::size_t n)
{
    void *block = new T[n];
    LEDGER_KEEP(block);
    return block;
}

struct Large {
    char bytes[1501];
};

} // namespace chain

using namespace chain;

static std::align_val_t aligned(std::size_t alignment)
{
    return static_cast<std::align_val_t>(alignment);
}

CHAIN_SITE(site_new, (std::size_t n), ::operator new(n))
CHAIN_SITE(site_new_array, (std::size_t n), ::operator new[](n))
CHAIN_SITE(site_new_nothrow, (std::size_t n), ::operator new(n, std::nothrow))
CHAIN_SITE(site_new_aligned, (std::size_t n), ::operator new(n, aligned(64)))
CHAIN_SITE(site_new_object, (), new Large)
CHAIN_SITE(site_new_thing, (std::size_t n), new Thing(n))
CHAIN_SITE(site_malloc, (std::size_t n), std::malloc(n))

CHAIN_FUNCTION void hop_operators()
{
    CHAIN_IN("hop_operators");
    for (std::size_t i = 0; i < 20; i++) {
        CHAIN_TAKE(site_new, 31 + i);
        CHAIN_TAKE(site_new_array, 1031 + i);
        CHAIN_TAKE(site_new_nothrow, 57 + i);
        CHAIN_TAKE(site_new_aligned, 64 * (i + 1));
        CHAIN_CALL("site_new_object", sizeof(Large), site_new_object());
        CHAIN_CALL("chain::Stack<short>::push(unsigned long)", 2 * (i + 9), Stack<short>::push(i + 9));
        CHAIN_CALL("chain::Stack<chain::Large>::push(unsigned long)", 1501 * (i + 1),
                   Stack<Large>::push(i + 1));
        CHAIN_IN("site_new_thing");
        auto *thing = static_cast<Thing *>(site_new_thing(501 + i));
        chain_take(thing, sizeof(Thing));
        int made = chain_enter("chain::Thing::Thing(unsigned long)");
        chain_take(thing->block, 501 + i);
        chain_leave(&made);
    }
}

// Grow from empty to a size at which they have asked for exactly one block more than they keep.
CHAIN_FUNCTION void *site_vector(std::vector<long> *vector, std::size_t n)
{
    for (std::size_t i = 0; i < n; i++) {
        vector->push_back(static_cast<long>(i));
    }
    return vector->data();
}

CHAIN_FUNCTION void *site_reserve(std::vector<int> *vector, std::size_t n)
{
    vector->reserve(n);
    return vector->data();
}

CHAIN_FUNCTION void *site_append(std::string *text, std::size_t n)
{
    text->append(n, 'x');
    return text->data();
}

CHAIN_FUNCTION void *site_push_back(std::string *text, std::size_t n)
{
    for (std::size_t i = 0; i < n; i++) {
        text->push_back('x');
    }
    return text->data();
}

using Tree = std::map<int, long>;
using Node = std::_Rb_tree_node<Tree::value_type>;

CHAIN_FUNCTION void *site_map(Tree *tree, int key)
{
    // The value is the last member of its node.
    auto *value = &*tree->emplace(key, 1).first;
    return reinterpret_cast<char *>(value + 1) - sizeof(Node);
}

using Shared = std::shared_ptr<Large>;
constexpr std::size_t SHARED = 2 * sizeof(void *) + sizeof(Large) + 3;

CHAIN_FUNCTION void *site_make_shared(Shared *shared)
{
    new (shared) Shared(std::make_shared<Large>());
    // A table of functions and two counts are before it.
    return reinterpret_cast<char *>(shared->get()) - 2 * sizeof(void *);
}

CHAIN_FUNCTION void *site_make_unique(std::size_t n)
{
    return std::make_unique<char[]>(n).release();
}

using Function = std::function<std::size_t(std::size_t)>;

CHAIN_FUNCTION void *site_function(Function *function)
{
    Large large{};
    void *block;
    new (function) Function([large](std::size_t i) { return i + sizeof large; });
    std::memcpy(&block, static_cast<void *>(function), sizeof block);
    return block;
}

CHAIN_FUNCTION void hop_containers()
{
    CHAIN_IN("hop_containers");
    static Room<std::vector<long>> longs;
    static Room<std::vector<int>> ints;
    static Room<std::string> texts[2];
    static Room<Tree> trees;
    static Room<Shared> shareds;
    static Room<Function> functions;
    auto *vector = new (longs.bytes) std::vector<long>;
    CHAIN_CALL(">site_vector", 8192 * sizeof(long), site_vector(vector, 5000));
    auto *reserved = new (ints.bytes) std::vector<int>;
    CHAIN_CALL(">site_reserve", 777 * sizeof(int), site_reserve(reserved, 777));
    auto *appended = new (texts[0].bytes) std::string;
    CHAIN_CALL(">site_append", 3001, site_append(appended, 3000));
    auto *pushed = new (texts[1].bytes) std::string;
    CHAIN_CALL(">site_push_back", 1921, site_push_back(pushed, 1000));
    auto *tree = new (trees.bytes) Tree;
    for (int key = 0; key < 50; key++) {
        CHAIN_CALL(">site_map", sizeof(Node), site_map(tree, key * 7919 % 101));
    }
    CHAIN_CALL(">site_make_shared", SHARED, site_make_shared(shareds.get()));
    CHAIN_CALL("site_make_unique", 613, site_make_unique(613));
    CHAIN_CALL(">site_function", sizeof(Large), site_function(functions.get()));
}

// Everything below main, a few calls deeper, too.
CHAIN_FUNCTION void hop_deeper(int depth)
{
    CHAIN_IN("hop_deeper");
    if (depth > 0) {
        hop_deeper(depth - 1);
    } else {
        hop_operators();
        CHAIN_TAKE(site_malloc, 4001);
    }
}

int main(int argc, char **argv)
{
    chain_start(argc, argv);
    CHAIN_IN("main");
    hop_operators();
    hop_containers();
    hop_deeper(25);
    chain_finish();
}
