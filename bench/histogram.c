#include "histogram.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

static size_t cell_of(uint64_t value)
{
	unsigned shift;

	if (value >> HISTOGRAM_VALUE_BITS)
		value = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;
	if (value >> (HISTOGRAM_LINEAR_BITS + 1) == 0)
		return value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_LINEAR_BITS;
	return ((size_t)shift << HISTOGRAM_LINEAR_BITS) + (size_t)(value >> shift);
}

/* The greatest value that falls into the cell. */
static int64_t cell_end(size_t cell)
{
	unsigned shift;

	if (cell >> (HISTOGRAM_LINEAR_BITS + 1) == 0)
		return (int64_t)cell;
	shift = (unsigned)(cell >> HISTOGRAM_LINEAR_BITS) - 1;
	return (int64_t)(((cell - ((size_t)shift << HISTOGRAM_LINEAR_BITS) + 1) << shift) - 1);
}

void histogram_add(struct histogram *h, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	h->cells[cell_of((uint64_t)ns)]++;
	h->count++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

int64_t histogram_quantile(const struct histogram *h, double fraction)
{
	double wanted = fraction * (double)h->count;
	uint64_t seen = 0;

	for (size_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		seen += h->cells[cell];
		if (seen > 0 && (double)seen >= wanted)
			return cell_end(cell) < h->max_ns ? cell_end(cell) : h->max_ns;
	}
	return h->max_ns;
}

static double quantile_us(const struct histogram *h, double fraction)
{
	return (double)histogram_quantile(h, fraction) / 1e3;
}

void histogram_print_json(const struct histogram *h)
{
	printf(",\"latency_us\":{\"count\":%" PRIu64 ",\"p50\":%.1f,\"p99\":%.1f,\"p99_9\":%.1f,"
	       "\"max\":%.1f}",
	       h->count, quantile_us(h, 0.5), quantile_us(h, 0.99), quantile_us(h, 0.999),
	       (double)h->max_ns / 1e3);
}
