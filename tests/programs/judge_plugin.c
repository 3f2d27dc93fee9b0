/* See judge_dlopen.c. */
#define _GNU_SOURCE
#include "judge.h"

#include <search.h>
#include <stdlib.h>

typedef unsigned long callback(void *, unsigned long);

static _Thread_local unsigned long calls;

struct order {
    callback *callback;
    void *state;
    unsigned long found;
};

static int through_the_caller(const void *key, const void *number)
{
    const struct order *order = key;
    calls++;
    return order->callback(order->state, *(const unsigned *)number) != order->found;
}

__attribute__((visibility("default"))) unsigned long judge_plugin_run(callback *callback,
                                                                      void *state, unsigned depth)
{
    if (depth > 0) {
        return judge_plugin_run(callback, state, depth - 1) + callback(state, depth);
    }
    struct order order = {callback, state, 0};
    unsigned numbers[20];
    size_t count = sizeof numbers / sizeof *numbers;
    for (unsigned i = 0; i < count; i++) {
        numbers[i] = i * 2654435761u;
    }
    const unsigned *found = bsearch(&order, numbers, count, sizeof *numbers, through_the_caller);
    found = found ? found : lfind(&order, numbers, &count, sizeof *numbers, through_the_caller);
    return calls + (found ? *found : 0);
}
