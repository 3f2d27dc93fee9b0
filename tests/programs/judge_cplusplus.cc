// Templates, virtual functions, exceptions through frames with destructors, and the standard
// library: streams, regular expressions, containers.
#include "judge.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <numeric>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

unsigned long seed = 1;

JUDGE_NOINLINE unsigned long random_number()
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

struct Shape {
    virtual ~Shape() = default;
    virtual unsigned long measure(unsigned depth) const = 0;
};

template <unsigned N>
struct Nested : Shape {
    JUDGE_NOINLINE unsigned long measure(unsigned depth) const override
    {
        if (depth == 0) {
            return random_number() % (N + 1);
        }
        std::array<unsigned long, N + 3> sums{};
        std::iota(sums.begin(), sums.end(), depth);
        return Nested<N - 1>{}.measure(depth - 1) + std::accumulate(sums.begin(), sums.end(), 0ul);
    }
};

template <>
struct Nested<0> : Shape {
    JUDGE_NOINLINE unsigned long measure(unsigned depth) const override { return depth; }
};

struct Guard {
    explicit Guard(unsigned long &counter) : counter(counter) { ++counter; }
    JUDGE_NOINLINE ~Guard() { judge_use(--counter); }
    unsigned long &counter;
};

JUDGE_NOINLINE unsigned long throws(unsigned depth, unsigned long &guards)
{
    Guard guard(guards);
    if (depth == 0) {
        if (random_number() % 2) {
            throw std::out_of_range("depth");
        }
        throw 7;
    }
    try {
        return throws(depth - 1, guards) + 1;
    } catch (int value) {
        if (depth > 3) {
            throw;
        }
        throw std::runtime_error("again");
    }
}

JUDGE_NOINLINE unsigned long exceptions()
{
    unsigned long guards = 0;
    try {
        return throws(6, guards);
    } catch (const std::exception &error) {
        return static_cast<unsigned char>(error.what()[0]) + guards;
    }
}

template <typename Order>
JUDGE_NOINLINE unsigned long sorted(std::vector<unsigned> &numbers, Order order)
{
    std::generate(numbers.begin(), numbers.end(), [] { return unsigned(random_number()); });
    std::sort(numbers.begin(), numbers.end(), order);
    std::make_heap(numbers.begin(), numbers.end());
    return numbers.front();
}

JUDGE_NOINLINE unsigned long formatted(std::ostringstream &stream)
{
    stream.seekp(0);
    for (unsigned i = 0; i < 20; i++) {
        stream << random_number() << ' ' << double(i) / 3;
    }
    return static_cast<unsigned long>(stream.tellp());
}

} // namespace

int main()
{
    std::vector<unsigned> numbers(200);
    std::ostringstream stream;
    stream << std::string(4096, ' ');
    const std::regex pattern("(a|ab)*c[0-9]+");
    const std::function<unsigned long(unsigned)> called = [](unsigned depth) {
        const Nested<9> nested;
        const Shape &shape = nested;
        return shape.measure(depth);
    };
    judge_start();
    for (unsigned round = 0; !judge_over; round++) {
        for (unsigned depth = 1; depth < 10; depth++) {
            judge_use(called(depth));
        }
        judge_use(sorted(numbers, std::greater<>()));
        judge_use(sorted(numbers, [](unsigned a, unsigned b) { return a % 1000 < b % 1000; }));
        judge_use(formatted(stream));
        // What allocates is done seldom: its time would be that of the probes.
        if (round % 16 == 0) {
            judge_use(exceptions());
        }
        if (round % 256 == 0) {
            std::map<std::string, unsigned> names;
            for (unsigned i = 0; i < 8; i++) {
                names["name " + std::to_string(random_number())] = i;
            }
            judge_use(names.begin()->second + std::regex_match("aababc123", pattern));
        }
    }
}
