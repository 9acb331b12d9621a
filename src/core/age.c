#include "core/age.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MARKS_FIRST = 2 };

void age_fini(struct age *a)
{
	free(a->marks);
	*a = (struct age){0};
}

/* Two neighbours become one, all over. */
static void thin(struct age *a)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i + 1 < a->count; i += 2) {
		struct age_mark m = a->marks[i + 1];

		if (a->marks[i].born_ms > m.born_ms)
			m.born_ms = a->marks[i].born_ms;
		a->marks[kept++] = m;
	}
	a->count = kept;
}

/* False: none at all. */
static bool make_room(struct age *a)
{
	uint32_t cap = a->cap ? a->cap * 2 : MARKS_FIRST;
	struct age_mark *grown;

	if (a->count < a->cap)
		return true;
	if (a->cap < AGE_MARKS_MAX) {
		grown = reallocarray(a->marks, cap, sizeof(*a->marks));
		if (grown) {
			a->marks = grown;
			a->cap = cap;
			return true;
		}
	}
	thin(a);
	return a->cap > 0;
}

/* Does what was born then go into the last mark? */
static bool is_near(const struct age *a, int64_t born_ms)
{
	int64_t step;

	if (a->count == 0)
		return false;
	step = (born_ms - a->marks[0].born_ms) / AGE_MARKS_MAX;
	if (step < AGE_STEP_MS_LEAST)
		step = AGE_STEP_MS_LEAST;
	return born_ms < a->opened_ms + step;
}

void age_note(struct age *a, int64_t end_offset, int64_t born_ms)
{
	struct age_mark *last;

	if (end_offset <= age_end(a))
		return;
	if (is_near(a, born_ms)) {
		last = &a->marks[a->count - 1];
		last->end_offset = end_offset;
		if (born_ms > last->born_ms)
			last->born_ms = born_ms;
		return;
	}
	if (!make_room(a))
		return; /* the next mark stands for this, too */
	a->marks[a->count++] = (struct age_mark){end_offset, born_ms};
	a->opened_ms = born_ms;
}

void age_trim(struct age *a, int64_t log_start)
{
	uint32_t gone = 0;

	while (gone < a->count && a->marks[gone].end_offset <= log_start)
		gone++;
	if (gone == 0)
		return;
	a->count -= gone;
	memmove(a->marks, a->marks + gone, a->count * sizeof(*a->marks));
}

int64_t age_end_before(const struct age *a, int64_t born_ms)
{
	int64_t end = -1;

	for (uint32_t i = 0; i < a->count && a->marks[i].born_ms < born_ms; i++)
		end = a->marks[i].end_offset;
	return end;
}

int64_t age_end(const struct age *a)
{
	return a->count > 0 ? a->marks[a->count - 1].end_offset : -1;
}

int64_t age_born(int64_t timestamp_ms, int64_t run_wall_ms, int64_t arrived_ms)
{
	const int64_t limit = INT64_MAX / 4; /* a timestamp may be any number */
	int64_t born;

	if (timestamp_ms > limit)
		timestamp_ms = limit;
	if (timestamp_ms < -limit)
		timestamp_ms = -limit;
	born = timestamp_ms - run_wall_ms;
	return born > arrived_ms ? born : arrived_ms;
}
