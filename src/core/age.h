/* age: how old the parts of a log are, in little memory; for retention by age. Pure.
 *
 *   marks:  | end 40, born 3000 | end 95, born 3600 | end 97, born 3610 |
 *
 * A mark stands for the records from the end before it up to its own; `born` is that of its
 * youngest, so what is said to be old is. At most AGE_MARKS_MAX of them: a new one is begun when so
 * large a part of the whole span has passed, and neighbours are put together when there is no room.
 * So a record is found to be old up to a fifteenth of the limit too late, never too early.
 *
 * When a record is born. The wall clock may jump, and nothing may be deleted for that; but after a
 * restart only timestamps tell. So ages are counted on one clock, of the run:
 *
 *     clock of the run  = time that has passed since it began, by the monotonic clock
 *     born by timestamp = timestamp - wall clock when the run began
 *     born              = the later of that and of its arrival on the clock of the run, if it came
 *                         in this run
 *
 * A clock that jumps makes records younger at most. */
#ifndef BOURN_CORE_AGE_H
#define BOURN_CORE_AGE_H

#include <stdint.h>

enum {
	AGE_MARKS_MAX = 64,
	AGE_STEP_MS_LEAST = 4,
};

struct age_mark {
	int64_t end_offset; /* behind its last record */
	int64_t born_ms;    /* of its youngest */
};

/* Zeroed: empty. */
struct age {
	struct age_mark *marks; /* owned; rising by offset */
	uint32_t count;
	uint32_t cap;
	int64_t opened_ms; /* the first `born` of the last mark */
};

void age_fini(struct age *a);

/* The records up to `end_offset` were born at `born_ms`, at the latest. Nothing happens when the
 * last mark ends there or behind. */
void age_note(struct age *a, int64_t end_offset, int64_t born_ms);

/* All below is gone. */
void age_trim(struct age *a, int64_t log_start);

/* Where the records end that were all born before `born_ms`; -1: there are none. */
int64_t age_end_before(const struct age *a, int64_t born_ms);

/* The end of the last mark; -1: there is none. */
int64_t age_end(const struct age *a);

/* On the clock of the run. `arrived_ms`: on that clock; INT64_MIN: before the run. */
int64_t age_born(int64_t timestamp_ms, int64_t run_wall_ms, int64_t arrived_ms);

#endif
