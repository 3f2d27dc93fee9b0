// What C++ programs are made of: maps, vectors and strings that come and go, which it times itself.
//
// For each line "HOW COUNT" on stdin it makes COUNT objects and lets them go, HOW of them at a time,
// and answers with the nanoseconds of CPU time that it took. Each line begins with the same seed.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

// Each its own function, of which no variant is made, called and not jumped to.
#define FUNCTION __attribute__((noipa))

namespace {

struct Random {
    uint64_t state = 0x9E3779B97F4A7C15u;
    uint64_t below(uint64_t limit)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (state * 0x2545F4914F6CDD1Du >> 11) % limit;
    }
};

struct Order {
    std::string customer;
    std::vector<uint32_t> items;
    std::shared_ptr<std::string> note;
};

using Orders = std::map<uint64_t, Order>;
using Totals = std::unordered_map<std::string, uint64_t>;

uint64_t now()
{
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1000000000 + static_cast<uint64_t>(time.tv_nsec);
}

// A quarter of the names is longer than what a string has room for in itself.
FUNCTION std::string name(Random &random)
{
    std::string name = "customer " + std::to_string(random.below(500));
    if (random.below(4) == 0) {
        name += " of a street with a long name";
    }
    return name;
}

FUNCTION Order order(Random &random)
{
    Order order{name(random), {}, nullptr};
    for (uint64_t i = random.below(20); i > 0; i--) {
        order.items.push_back(static_cast<uint32_t>(random.below(1000)));
    }
    if (random.below(3) == 0) {
        order.note = std::make_shared<std::string>(10 + random.below(80), '.');
    }
    return order;
}

FUNCTION Orders collect(Random &random, uint64_t count)
{
    Orders orders;
    for (uint64_t i = 0; i < count; i++) {
        orders.emplace(random.below(1000000), order(random));
    }
    return orders;
}

FUNCTION Totals totals(const Orders &orders)
{
    Totals totals;
    for (const auto &[number, order] : orders) {
        uint64_t sum = number;
        for (uint32_t item : order.items) {
            sum += item;
        }
        totals[order.customer] += sum;
    }
    return totals;
}

FUNCTION void remove_half(Orders &orders)
{
    for (auto it = orders.begin(); it != orders.end();) {
        it = it->first % 2 ? orders.erase(it) : std::next(it);
    }
}

FUNCTION uint64_t work(uint64_t at_a_time, uint64_t count)
{
    Random random;
    uint64_t result = 0;
    for (uint64_t done = 0; done < count; done += at_a_time) {
        Orders orders = collect(random, std::min(at_a_time, count - done));
        result += totals(orders).size();
        remove_half(orders);
        const Orders copy = orders;
        result += totals(copy).size();
    }
    return result;
}

} // namespace

int main()
{
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long at_a_time, count;
        if (sscanf(line, "%lu %lu", &at_a_time, &count) != 2 || at_a_time < 1) {
            fprintf(stderr, "not \"HOW COUNT\": %s", line);
            return 1;
        }
        uint64_t begin = now();
        volatile uint64_t result = work(at_a_time, count);
        (void)result;
        printf("%lu\n", static_cast<unsigned long>(now() - begin));
        fflush(stdout);
    }
}
