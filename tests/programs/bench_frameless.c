/* The same, compiled without frame pointers. */
#include "bench_pairs.c"
