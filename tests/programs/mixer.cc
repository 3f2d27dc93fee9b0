// A seeded mix of everything: 200,000 operations on four threads whose blocks wander from thread
// to thread, with exceptions, signal handlers, forks and short-lived threads in between. Each
// thread draws from its own generator, so every run does the same.
#include "ledger.h"
#include "zero.h"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int THREADS = 4, PHASES = 50, OPERATIONS = 1000, SLOTS = 300;

enum Kind { EMPTY, PLAIN, NEW, NEW_ARRAY, NEW_ALIGNED };

struct Slot {
    void *block;
    size_t size;
    Kind kind;
};

struct Random {
    uint64_t state;
    uint64_t next()
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state * 0x2545F4914F6CDD1Du >> 11;
    }
    size_t below(size_t limit) { return next() % limit; }
    // Mostly small, sometimes a few pages, rarely a mapping of its own.
    size_t size()
    {
        switch (below(50)) {
        case 0: return 150001 + below(100000);
        case 1: case 2: case 3: return 4099 + below(20000);
        case 4: return below(4);
        default: return 5 + below(900);
        }
    }
};

// mimalloc built as C, as Debian does, aborts where operator new had to throw.
extern "C" int mi_version(void) __attribute__((weak));

Slot slots[THREADS][SLOTS];
pthread_barrier_t barrier;
volatile size_t handled;

void *posix_block(size_t alignment, size_t size)
{
    void *out = nullptr;
    return posix_memalign(&out, alignment, size) == 0 ? out : nullptr;
}

std::align_val_t aligned(size_t alignment)
{
    return static_cast<std::align_val_t>(alignment);
}

} // namespace

ALLOC_SITE(malloc, (size_t n), (n), n, malloc(n))
ALLOC_SITE(calloc, (size_t n, size_t s), (n, s), ledger_product(n, s), calloc(n, s))
ALLOC_SITE(posix_memalign, (size_t a, size_t n), (a, n), n, posix_block(a, n))
ALLOC_SITE(aligned_alloc, (size_t a, size_t n), (a, n), n, aligned_alloc(a, n))
ALLOC_SITE(new, (size_t n), (n), asked_for(n), ::operator new(n))
ALLOC_SITE(new_nothrow, (size_t n), (n), asked_for(n), ::operator new(n, std::nothrow))
ALLOC_SITE(new_array, (size_t n), (n), asked_for(n), ::operator new[](n))
ALLOC_SITE(new_aligned, (size_t n, size_t a), (n, a), n, ::operator new(n, aligned(a)))
ALLOC_SITE(handler, (size_t n), (n), n, malloc(n))
ALLOC_SITE(visitor, (size_t n), (n), n, malloc(n))
ALLOC_SITE(child, (size_t n), (n), n, malloc(n))

// Fails. The C++ runtime takes and gives back its exception below it.
LEDGER_FUNCTION void *refused_new(size_t n)
{
    return ::operator new(n);
}

REALLOC_SITE(realloc, (void *p, size_t n), (p, n), p, n, realloc(p, n))
REALLOC_SITE(reallocarray, (void *p, size_t n, size_t s), (p, n, s), p, ledger_product(n, s),
             reallocarray(p, n, s))

namespace {

void release(Slot &slot, Random &random)
{
    ledger_give(slot.block);
    bool sized = random.below(2) == 0;
    switch (slot.kind) {
    case EMPTY: break;
    case PLAIN: free(slot.block); break;
    case NEW: sized ? ::operator delete(slot.block, slot.size) : ::operator delete(slot.block); break;
    case NEW_ARRAY: ::operator delete[](slot.block); break;
    case NEW_ALIGNED:
        sized ? ::operator delete(slot.block, slot.size, aligned(64))
              : ::operator delete(slot.block, aligned(64));
        break;
    }
    slot = Slot{nullptr, 0, EMPTY};
}

void fill(Slot &slot, Random &random)
{
    size_t size = random.size();
    slot.size = size;
    slot.kind = PLAIN;
    switch (random.below(11)) {
    case 0: slot.block = site_calloc(3, size); break;
    case 1: slot.block = site_posix_memalign(64, size); break;
    case 2: slot.block = site_aligned_alloc(128, size); break;
    case 3: slot = Slot{site_new(size), size, NEW}; break;
    case 4: slot = Slot{site_new_nothrow(size), size, NEW}; break;
    case 5: slot = Slot{site_new_array(size), size, NEW_ARRAY}; break;
    case 6:
        // Not 0: jemalloc 5.3's sized, aligned delete then takes a wrong size class.
        size += size == 0;
        slot.size = size;
        slot.kind = NEW_ALIGNED;
        slot.block = site_new_aligned(size, 64);
        break;
    case 7: slot.block = site_realloc(nullptr, size); break;
    default: slot.block = site_malloc(size); break;
    }
    if (!slot.block) {
        ledger_fail("an allocation failed");
    }
}

void resize(Slot &slot, Random &random)
{
    size_t size = random.size();
    if (random.below(20) == 0) {
        size = 0;
    }
    void *block = random.below(3) ? site_realloc(slot.block, size)
                                  : site_reallocarray(slot.block, size, 3);
    if (!block && size != 0) {
        ledger_fail("realloc failed");
    }
    slot = Slot{block, size, block ? PLAIN : EMPTY};
}

void refuse()
{
    throw 1;
}

void fail(Slot &slot, Random &random)
{
    size_t huge = PTRDIFF_MAX - 4096 - random.below(1000);
    void *block = nullptr;
    switch (random.below(3)) {
    case 0: block = site_malloc(huge); break;
    case 1: block = slot.kind == PLAIN ? site_realloc(slot.block, huge) : nullptr; break;
    default:
        try {
            block = mi_version ? nullptr : refused_new(huge);
        } catch (int) {
        }
    }
    if (block) {
        ledger_fail("a size that cannot be was accepted");
    }
}

void on_signal(int)
{
    void *block = site_handler(61);
    if (__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED) % 40 != 0) {
        ledger_give(block);
        free(block);
    }
}

void operate(Slot *mine, Random &random)
{
    Slot &slot = mine[random.below(SLOTS)];
    size_t what = random.below(100);
    if (what == 0) {
        raise(SIGUSR1);
    } else if (what < 4) {
        fail(slot, random);
    } else if (slot.kind == EMPTY) {
        fill(slot, random);
    } else if (slot.kind == PLAIN && what < 40) {
        resize(slot, random);
    } else {
        release(slot, random);
    }
}

void *visit(void *argument)
{
    size_t phase = reinterpret_cast<uintptr_t>(argument);
    void *block = site_visitor(1009 + phase);
    for (int i = 0; i < 30; i++) {
        void *other = site_visitor(31);
        ledger_give(other);
        free(other);
    }
    if (phase % 10 != 0) {
        ledger_give(block);
        free(block);
    }
    return nullptr;
}

void fork_child()
{
    pid_t child = fork();
    if (child == 0) {
        Random random{99};
        for (Slot &slot : slots[0]) {
            if (slot.kind != EMPTY) {
                release(slot, random);
            }
            site_child(71);
        }
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        ledger_fail("a child failed");
    }
}

// The other threads wait at the barrier meanwhile.
void between_phases(size_t phase)
{
    if (phase % 10 == 5) {
        fork_child();
    }
    pthread_t visitor;
    if (pthread_create(&visitor, nullptr, visit, reinterpret_cast<void *>(phase)) != 0) {
        ledger_fail("pthread_create failed");
    }
    pthread_join(visitor, nullptr);
}

void *worker(void *argument)
{
    size_t self = reinterpret_cast<uintptr_t>(argument);
    Random random{0x9E3779B97F4A7C15u * (self + 1)};
    for (size_t phase = 0; phase < PHASES; phase++) {
        Slot *mine = slots[(self + phase) % THREADS];
        for (int i = 0; i < OPERATIONS; i++) {
            operate(mine, random);
        }
        pthread_barrier_wait(&barrier);
        if (self == 0) {
            between_phases(phase);
        }
        pthread_barrier_wait(&barrier);
    }
    return nullptr;
}

} // namespace

int main()
{
    struct sigaction action = {};
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, nullptr);
    std::set_new_handler(refuse);
    // The first exception prepares what the runtime needs for all of them.
    try {
        refuse();
    } catch (int) {
    }
    pthread_barrier_init(&barrier, nullptr, THREADS);

    ledger_start();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], nullptr, worker, reinterpret_cast<void *>(i)) != 0) {
            ledger_fail("pthread_create failed");
        }
    }
    for (pthread_t thread : threads) {
        pthread_join(thread, nullptr);
    }
    ledger_finish();
}
