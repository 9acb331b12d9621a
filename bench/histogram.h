/* histogram: how often each latency was seen, to three significant digits, in memory that does not
 * grow. Not a clock: it is told what was measured.
 *
 * Log-linear: values below 2,048 ns have a cell each; above, every doubling has 1,024 cells, so a
 * cell is never wider than 0.1 % of what it holds.
 *
 *	0 1 2 … 2047 | 2048 2050 … 4094 | 4096 4100 … 8188 | …
 *	  1 ns wide       2 ns wide          4 ns wide                                              */
#ifndef BOURN_BENCH_HISTOGRAM_H
#define BOURN_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_LINEAR_BITS = 10,
	HISTOGRAM_VALUE_BITS = 40, /* 18 minutes in ns; what is more counts as that */
	HISTOGRAM_CELLS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_LINEAR_BITS + 1)
	                  << HISTOGRAM_LINEAR_BITS,
};

/* Zeroed: empty. */
struct histogram {
	uint64_t count;
	int64_t max_ns; /* exact */
	uint64_t cells[HISTOGRAM_CELLS];
};

/* Below 0 counts as 0. */
void histogram_add(struct histogram *h, int64_t ns);

/* The least value that `fraction` (0 to 1) of all are not above, rounded up to its cell's end but
 * never beyond max_ns. 0 when empty. */
int64_t histogram_quantile(const struct histogram *h, double fraction);

/* A member `latency_us` of a JSON object, with a comma before it, on stdout. */
void histogram_print_json(const struct histogram *h);

#endif
