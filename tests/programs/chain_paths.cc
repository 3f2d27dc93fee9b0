// Ways on which C++ comes to an allocator: recursion, virtual calls, callbacks of the standard
// library, exceptions on their way, threads. Compiled without frame pointers.
#include "chain_shadow.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <new>
#include <thread>

CHAIN_SITE(site_new, (std::size_t n), ::operator new(n))

namespace chain {

struct Shape {
    virtual void *take(std::size_t n) = 0;
    virtual void visit(int depth) = 0;
};

struct Round : Shape {
    void *take(std::size_t n) override;
    void visit(int depth) override;
};

// Reached through a thunk that moves the pointer to the object: no frame of its own.
struct Square : virtual Round {
    void visit(int depth) override;
    long side = 3;
};

__attribute__((noipa)) void *Round::take(std::size_t n)
{
    void *block = ::operator new(n);
    LEDGER_KEEP(block);
    return block;
}

__attribute__((noipa)) void Round::visit(int depth)
{
    CHAIN_IN("chain::Round::visit(int)");
    Shape *shape = this;
    CHAIN_CALL("chain::Round::take(unsigned long)", 41, shape->take(41));
    if (depth > 0) {
        shape->visit(depth - 1);
    }
}

__attribute__((noipa)) void Square::visit(int depth)
{
    CHAIN_IN("chain::Square::visit(int)");
    if (depth > 0) {
        Shape *shape = this;
        shape->visit(depth - 1);
    } else {
        CHAIN_TAKE(site_new, 43);
    }
}

// Takes a block while an exception passes.
struct Leaver {
    std::size_t size;
    ~Leaver();
};

__attribute__((noipa)) Leaver::~Leaver()
{
    CHAIN_IN("chain::Leaver::~Leaver()");
    CHAIN_TAKE(site_new, size);
}

struct Once {
    explicit Once(std::size_t n);
};

__attribute__((noipa)) Once::Once(std::size_t n)
{
    CHAIN_IN("chain::Once::Once(unsigned long)");
    CHAIN_TAKE(site_new, n);
}

struct Large {
    char bytes[1601];
};

} // namespace chain

using namespace chain;

CHAIN_FUNCTION void hop_virtual()
{
    CHAIN_IN("hop_virtual");
    Round round;
    Square square;
    Shape *shapes[] = {&round, &square};
    for (Shape *shape : shapes) {
        LEDGER_KEEP(shape);
        shape->visit(4);
    }
}

// Returns another type than it is called for, so that the library's call of it is no jump.
CHAIN_FUNCTION int hop_called(std::size_t n)
{
    CHAIN_IN("^hop_called");
    CHAIN_TAKE(site_new, n);
    return static_cast<int>(n);
}

CHAIN_FUNCTION bool hop_less(int a, int b)
{
    CHAIN_IN("?hop_less");
    CHAIN_TAKE(site_new, 61);
    return a < b;
}

CHAIN_FUNCTION void hop_algorithm()
{
    CHAIN_IN("hop_algorithm");
    std::array<int, 40> numbers;
    for (std::size_t i = 0; i < numbers.size(); i++) {
        numbers[i] = static_cast<int>(i * 7919 % 41);
    }
    bool (*volatile less)(int, int) = hop_less;
    std::sort(numbers.begin(), numbers.end(), less);
    int (*volatile called)(std::size_t) = hop_called;
    std::function<long(std::size_t)> function(called);
    CHAIN_HOLD(&function);
    function(67);
}

CHAIN_FUNCTION void hop_lambda()
{
    CHAIN_IN("hop_lambda");
    auto lambda = [](std::size_t n) __attribute__((noipa)) {
        CHAIN_IN("hop_lambda::{lambda(unsigned long)#1}::operator()(unsigned long) const");
        CHAIN_TAKE(site_new, n);
    };
    lambda(71);
}

CHAIN_FUNCTION void hop_once()
{
    static std::once_flag flag;
    CHAIN_IN("hop_once");
    std::call_once(flag, hop_called, 73);
}

CHAIN_FUNCTION void hop_static()
{
    CHAIN_IN("hop_static");
    static Once once(79);
}

// The exception itself is the block.
CHAIN_FUNCTION __attribute__((noreturn)) void site_throw()
{
    throw Large();
}

// Its call is its last instruction: the return address is the next function's.
CHAIN_FUNCTION __attribute__((noreturn)) void hop_throw()
{
    site_throw();
}

CHAIN_FUNCTION void hop_pass(std::size_t n)
{
    CHAIN_IN("hop_pass");
    Leaver leaver{n};
    LEDGER_KEEP(leaver.size);
    hop_throw();
}

// The runtime's own part of an exception, before the object: 128 bytes on 64-bit machines.
constexpr std::size_t HEADER = 128;

static std::exception_ptr kept[2];

CHAIN_FUNCTION void hop_catch()
{
    CHAIN_IN("hop_catch");
    try {
        hop_pass(83);
    } catch (const Large &large) {
        const void *object = &large;
        kept[0] = std::current_exception();
        int depth = chain_depth();
        chain_enter("hop_pass");
        chain_enter("hop_throw");
        chain_enter(">site_throw");
        chain_take(static_cast<char *>(const_cast<void *>(object)) - HEADER, sizeof(Large) + HEADER);
        chain_return_to(depth);
    }
}

// Takes its block where it has caught.
CHAIN_FUNCTION void *site_catch(std::size_t n)
{
    void *block = nullptr;
    try {
        throw 1;
    } catch (int) {
        block = std::malloc(n);
        LEDGER_KEEP(block);
    }
    return block;
}

CHAIN_FUNCTION void hop_rethrow()
{
    CHAIN_IN("hop_rethrow");
    try {
        Leaver leaver{89};
        LEDGER_KEEP(leaver.size);
        std::rethrow_exception(kept[0]);
    } catch (...) {
        CHAIN_CALL("site_catch", 97, site_catch(97));
    }
}

CHAIN_FUNCTION void hop_thread(std::size_t n)
{
    CHAIN_IN("hop_thread");
    CHAIN_TAKE(site_new, n);
    hop_lambda();
    hop_virtual();
}

int main(int argc, char **argv)
{
    // The first exception prepares what the runtime needs for all of them.
    site_catch(1);
    chain_start(argc, argv);
    CHAIN_IN("main");
    hop_virtual();
    hop_algorithm();
    hop_lambda();
    hop_once();
    hop_static();
    hop_catch();
    hop_rethrow();
    for (std::size_t i = 0; i < 3; i++) {
        std::thread(hop_thread, 101 + i).join();
    }
    std::async(std::launch::async, hop_thread, 107).get();
    chain_finish();
}
