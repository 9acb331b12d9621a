/* What is the engine's own: what a killed process leaves, damage in RocksDB's files, a full disk,
 * retention, times. The contract it shares with all others is contract_test.c's. */
#include "store/rocksdb/engine.h"

#include "base/test.h"
#include "io/disk.h"
#include "store/chunklog/engine.h"
#include "store/rocksdb/rocks.h"
#include "store/rocksdb/sampler.h"
#include "store/testing/store_rig.h"
#include "store/verify/verify.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BATCH_LIMIT = 4 << 20,
	PATH_BYTES = 256,
	LARGE = 4000, /* records: a batch of some 64 KiB */
	HOUR_MS = 3600000,
	DAY_MS = 24 * HOUR_MS,
	TURNS = 200,
};

/* The system's disk with as much space as is said, and its clock so much ahead: other threads
 * ask. */
struct fixture {
	struct store_rig rig;
	struct disk disk;
	struct disk_ops ops;
	_Atomic int64_t space; /* -1: as much as there is */
	struct clock clock;
	_Atomic int64_t ahead_ms;
};

static struct fixture *of_disk(struct disk *d)
{
	return CONTAINER_OF(d, struct fixture, disk);
}

static int64_t space(struct disk *d, const char *path)
{
	int64_t said = of_disk(d)->space;

	return said < 0 ? disk_real()->ops->space(disk_real(), path) : said;
}

static struct now now(struct clock *c)
{
	struct fixture *x = CONTAINER_OF(c, struct fixture, clock);
	struct now at = clock_system()->now(clock_system());
	int64_t ahead_ms = x->ahead_ms;

	at.wall_ms += ahead_ms;
	at.mono_us += ahead_ms * 1000;
	return at;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->space = -1;
	x->ops = *disk_real()->ops;
	x->ops.space = space;
	x->disk.ops = &x->ops;
	x->clock.now = now;
	rig_open(&x->rig, &store_rocksdb, 2, false, 7);
	rig_shut(&x->rig);
	x->rig.disk = &x->disk;
	x->rig.clock = &x->clock;
	log_set_level(x->rig.log, LOG_OFF);
	rig_reopen(&x->rig);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	rig_close(&x->rig);
	free(x);
	return 0;
}

static struct store_partition *partition(struct fixture *x, const char *topic)
{
	const struct store_topic *t = rig_find(&x->rig, topic);

	assert_non_null(t);
	return t->partitions[0];
}

static enum err append_at(struct fixture *x, struct store_partition *p, uint32_t count,
                          int64_t timestamp_ms)
{
	struct buf batch = BUF_INIT(BATCH_LIMIT);
	int64_t *times = calloc(count, sizeof(*times));
	enum err err;

	for (uint32_t i = 0; i < count; i++)
		times[i] = timestamp_ms;
	err = rig_append(&x->rig, p, rig_batch(&batch, "v", times, count), NULL);
	free(times);
	buf_fini(&batch);
	return err;
}

static enum err append(struct fixture *x, struct store_partition *p, uint32_t count)
{
	return append_at(x, p, count, 0);
}

/* How far a reader gets from `from`; why it stopped there. */
static int64_t read_through(struct fixture *x, struct store_partition *p, int64_t from,
                            enum err *why)
{
	for (;;) {
		struct slice batches;
		struct shared *holder;

		*why = rig_read(&x->rig, p, from, 1 << 20, &batches, &holder);
		if (*why || !holder)
			return from;
		while (batches.len > 0) {
			struct batch b;

			assert_int_equal(batch_parse(batches, &b, NULL), OK);
			assert_true(batch_crc_ok(&b));
			assert_true(b.base_offset <= from);
			from = b.last_offset + 1;
			batches = slice_of(batches.ptr + b.bytes.len, batches.len - b.bytes.len);
		}
		shared_put(holder);
	}
}

/* --- a process that was killed --------------------------------------------------------------- */

static void kill_and_restart(struct fixture *x)
{
	rig_kill(&x->rig);
	rig_reopen(&x->rig);
}

TEST(kill__loses_nothing_and_begins_an_epoch)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "t", 1)->partitions[0];
	int32_t epoch = p->state.leader_epoch;
	enum err why;

	for (int i = 0; i < 10; i++)
		assert_int_equal(append(x, p, 3), OK);
	kill_and_restart(x);
	p = partition(x, "t");
	assert_int_equal(p->state.high_watermark, 30);
	assert_int_equal(p->state.leader_epoch, epoch + 1);
	assert_int_equal(append(x, p, 2), OK);
	kill_and_restart(x);
	p = partition(x, "t");
	assert_int_equal(read_through(x, p, 0, &why), 32);
	assert_int_equal(x->rig.ops->epoch_end(p, epoch), 30);
	assert_int_equal(x->rig.ops->epoch_end(p, epoch + 1), 32);
	rig_reopen(&x->rig); /* closed well: the epoch stays */
	assert_int_equal(partition(x, "t")->state.leader_epoch, epoch + 2);
}

TEST(kill__a_deleted_topic_stays_deleted)
{
	struct fixture *x = *state;
	const struct store_topic *t = rig_topic(&x->rig, "t", 2);

	assert_int_equal(append(x, t->partitions[1], 3), OK);
	assert_int_equal(rig_delete(&x->rig, t, NULL), OK);
	kill_and_restart(x);
	assert_null(rig_find(&x->rig, "t"));
	assert_int_equal(append(x, rig_topic(&x->rig, "t", 2)->partitions[1], 3), OK);
}

TEST(trim__stays_after_a_kill_and_bytes_are_exact)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "t", 1)->partitions[0];
	int64_t bytes;
	enum err why;

	for (int i = 0; i < 10; i++)
		assert_int_equal(append(x, p, 3), OK);
	bytes = p->state.bytes;
	assert_int_equal(rig_trim(&x->rig, p, 16), OK); /* in the batch that begins at 15 */
	assert_int_equal(p->state.bytes, bytes / 2);
	kill_and_restart(x);
	p = partition(x, "t");
	assert_int_equal(p->state.log_start, 16);
	assert_int_equal(p->state.bytes, bytes / 2);
	assert_int_equal(read_through(x, p, 16, &why), 30);
	assert_int_equal(rig_trim(&x->rig, p, -1), OK);
	kill_and_restart(x);
	p = partition(x, "t");
	assert_int_equal(p->state.log_end, 30);
	assert_int_equal(p->state.bytes, 0);
	assert_int_equal(append(x, p, 1), OK);
	assert_int_equal(p->state.log_end, 31);
}

/* --- reads beside trims ---------------------------------------------------------------------- */

enum { RACERS = 4, RACES = 60 };

struct race {
	struct store_partition *p;
	struct store_trim trim;
	bool trimmed;
	struct racer {
		struct store_read read;
		struct race *race;
	} racers[RACERS];
	unsigned running;
	bool over;
};

static void racer_read(struct racer *r)
{
	r->read = (struct store_read){.partition = r->race->p,
	                              .offset = r->race->p->state.log_start,
	                              .bytes_max = 1000,
	                              .done = r->read.done};
	r->race->p->store->ops->read(&r->read);
}

/* As long as the trim is under way, from the log start on. */
static void racer_has_read(struct store_read *read)
{
	struct racer *r = CONTAINER_OF(read, struct racer, read);

	assert_true(read->fault.code == OK || read->fault.code == ERR_TRIMMED);
	if (read->holder)
		shared_put(read->holder);
	if (!r->race->trimmed)
		racer_read(r);
	else
		r->race->over = --r->race->running == 0;
}

static void race_trimmed(struct store_trim *t)
{
	assert_int_equal(t->fault.code, OK);
	CONTAINER_OF(t, struct race, trim)->trimmed = true;
}

/* Rows go before the log start has moved: who finds them gone then was trimmed past, not
 * damaged. */
TEST(trim__passes_readers_that_are_under_way)
{
	struct fixture *x = *state;

	rig_topic(&x->rig, "t", 1);
	x->rig.memory_bytes = 1;
	rig_reopen(&x->rig);
	for (int i = 0; i < RACES; i++) {
		struct race race = {.p = partition(x, "t"), .running = RACERS};

		for (int j = 0; j < 3; j++)
			assert_int_equal(append(x, race.p, 3), OK);
		for (int j = 0; j < RACERS; j++) {
			race.racers[j].race = &race;
			race.racers[j].read.done = racer_has_read;
			racer_read(&race.racers[j]);
		}
		race.trim = (struct store_trim){.partition = race.p,
		                                .upto = race.p->state.log_start + 6,
		                                .done = race_trimmed};
		x->rig.ops->trim(&race.trim);
		assert_true(rig_run(&x->rig, &race.over));
		assert_int_equal(race.p->state.fenced.code, OK);
	}
}

/* --- damage ---------------------------------------------------------------------------------- */

static void flip_byte(const char *path, int64_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x20;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* The largest of RocksDB's files of that kind, and its size. */
static int64_t largest_file(struct fixture *x, const char *kind, char path[PATH_BYTES])
{
	char dir[RIG_DIR_BYTES_MAX + 16];
	int64_t largest = -1;
	struct dirent *entry;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/rocksdb", x->rig.dir);
	d = opendir(dir);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL) {
		char candidate[PATH_BYTES];
		int fd;

		if (!strstr(entry->d_name, kind))
			continue;
		snprintf(candidate, sizeof(candidate), "%s/%.64s", dir, entry->d_name);
		fd = open(candidate, O_RDONLY);
		if (lseek(fd, 0, SEEK_END) > largest) {
			largest = lseek(fd, 0, SEEK_END);
			memcpy(path, candidate, PATH_BYTES);
		}
		close(fd);
	}
	closedir(d);
	assert_true(largest > 0);
	return largest;
}

TEST(damage__fences_its_partition_and_no_other)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "hit", 1)->partitions[0];
	struct store_partition *spared = rig_topic(&x->rig, "spared", 1)->partitions[0];
	char path[PATH_BYTES];
	int64_t end, from, to, size;
	enum err why;

	for (int i = 0; i < 40; i++)
		assert_int_equal(append(x, p, LARGE), OK);
	assert_int_equal(append(x, spared, 5), OK);
	rig_shut(&x->rig);
	size = largest_file(x, ".sst", path);
	flip_byte(path, size / 2);
	rig_reopen(&x->rig);

	p = partition(x, "hit");
	spared = partition(x, "spared");
	end = p->state.high_watermark;
	assert_int_equal(end, 40 * LARGE);
	from = read_through(x, p, 0, &why);
	assert_int_equal(why, ERR_CORRUPT);
	assert_true(from > 0 && from < end);
	assert_int_equal(p->state.fenced.code, ERR_FENCED);
	assert_non_null(strstr(p->state.fenced.where, "hit/0 is damaged at offset"));
	assert_int_equal(append(x, p, 1), ERR_FENCED);
	assert_int_equal(read_through(x, spared, 0, &why), 5);
	assert_int_equal(append(x, spared, 1), OK);

	rig_reopen(&x->rig); /* it is not forgotten */
	p = partition(x, "hit");
	assert_int_equal(p->state.fenced.code, ERR_FENCED);
	to = rocks_partition_of(p)->damage_to;
	assert_true(to > from && to < end);
	assert_int_equal(read_through(x, p, to, &why), end);
	assert_int_equal(rig_trim(&x->rig, p, to), OK);
	assert_int_equal(p->state.fenced.code, OK);
	assert_int_equal(append(x, p, 1), OK);
	assert_int_equal(read_through(x, p, to, &why), end + 1);
}

/* Where the start looks, too. */
TEST(damage__at_the_front_fences_its_partition_and_can_be_trimmed)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "t", 1)->partitions[0];
	char path[PATH_BYTES];
	int64_t to;
	enum err why;

	for (int i = 0; i < 40; i++)
		assert_int_equal(append(x, p, LARGE), OK);
	rig_shut(&x->rig);
	largest_file(x, ".sst", path);
	flip_byte(path, 100);
	rig_reopen(&x->rig);

	p = partition(x, "t");
	to = rocks_partition_of(p)->damage_to;
	assert_int_equal(p->state.high_watermark, 40 * LARGE);
	assert_int_equal(p->state.fenced.code, ERR_FENCED);
	assert_int_equal(rocks_partition_of(p)->damage_from, 0);
	assert_in_range(to, LARGE, 4 * LARGE);
	assert_int_equal(read_through(x, p, to, &why), 40 * LARGE);
	assert_int_equal(rig_trim(&x->rig, p, to), OK);
	assert_int_equal(p->state.fenced.code, OK);
	assert_int_equal(append(x, p, 1), OK);
}

/* --- a WAL with a hole ----------------------------------------------------------------------- */

enum { HOLE_BATCHES = 40, HOLE_BYTES = 64 << 10, HOLE_ALIGNMENT = 4096 };

/* One topic of that class, and then a kill and zeros in the middle of RocksDB's WAL. */
static void make_hole(struct fixture *x, enum durability durability)
{
	static const uint8_t zeros[HOLE_BYTES];
	struct topic_spec spec = rig_spec(&x->rig, "t", 1);
	const struct store_topic *topic;
	char path[PATH_BYTES];
	int64_t at;
	int fd;

	spec.settings.durability = durability;
	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	for (int i = 0; i < HOLE_BATCHES; i++)
		assert_int_equal(append(x, topic->partitions[0], LARGE), OK);
	x->ahead_ms += 1000;
	assert_int_equal(append(x, topic->partitions[0], 1), OK); /* says what was flushed before */
	rig_kill(&x->rig);
	at = largest_file(x, ".log", path) / 2 / HOLE_ALIGNMENT * HOLE_ALIGNMENT;
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
	close(fd);
}

/* A power cut: the device has later blocks, and earlier ones not. */
TEST(hole__in_what_was_never_flushed_ends_the_log_there)
{
	struct fixture *x = *state;
	struct store_partition *p;
	int64_t end;
	enum err why;

	make_hole(x, DURABILITY_OS);
	rig_reopen(&x->rig);
	p = partition(x, "t");
	end = p->state.high_watermark;
	assert_true(end > 0 && end < HOLE_BATCHES * LARGE);
	assert_int_equal(read_through(x, p, 0, &why), end);
	assert_int_equal(why, OK);
	assert_int_equal(append(x, p, 3), OK);
	kill_and_restart(x);
	p = partition(x, "t");
	assert_int_equal(read_through(x, p, 0, &why), end + 3);
	assert_int_equal(why, OK);
}

TEST(hole__in_what_was_flushed_refuses_the_start)
{
	struct fixture *x = *state;
	struct fault f = {0};

	make_hole(x, DURABILITY_COMMIT);
	for (int i = 0; i < 2; i++) { /* and modifies nothing */
		assert_int_equal(rig_try_open(&x->rig, &f), ERR_CORRUPT);
		assert_non_null(strstr(f.where, "its WAL is damaged"));
	}
}

/* RocksDB takes it for a record that was not written to its end. */
TEST(hole__a_length_that_reaches_beyond_the_file_refuses_the_start)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "t", 1)->partitions[0];
	char path[PATH_BYTES];
	struct fault f = {0};
	int64_t at;

	assert_int_equal(append(x, p, 3), OK);
	at = largest_file(x, ".log", path);
	for (int i = 0; i < 3; i++) {
		x->ahead_ms += 1000; /* each says what was flushed before */
		assert_int_equal(append(x, p, 3), OK);
	}
	rig_kill(&x->rig);
	flip_byte(path, at + 5);
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CORRUPT);
	assert_non_null(strstr(f.where, "its WAL is damaged"));
	flip_byte(path, at + 5);
	rig_reopen(&x->rig);
}

/* --- a WAL that was cut off ------------------------------------------------------------------ */

enum { TAIL_BATCHES = 6, TAIL_EVENTS = 3, TAILS = 30, TAIL_BYTES = 300 };

/* The WAL is `at` bytes long, and then comes nothing, zeros or garbage. Returns where it begins to
 * differ: it may have held zeros itself. */
static int64_t cut_off(struct fixture *x, int64_t at, int how)
{
	uint8_t behind[TAIL_BYTES] = {0}, was[TAIL_BYTES];
	char path[PATH_BYTES];
	ssize_t same = 0, held;
	int fd;

	largest_file(x, ".log", path);
	fd = open(path, O_RDWR);
	held = pread(fd, was, sizeof(was), at);
	assert_int_equal(ftruncate(fd, at), 0);
	if (how == 2)
		x->rig.dice.base.fill(&x->rig.dice.base, behind, sizeof(behind));
	if (how > 0)
		assert_int_equal(pwrite(fd, behind, sizeof(behind), at), sizeof(behind));
	close(fd);
	while (how > 0 && same < held && was[same] == behind[same])
		same++;
	return at + same;
}

/* At every place of the last three writes; in short, at some. */
TEST(tail__ends_at_the_last_whole_write)
{
	struct fixture *x = *state;
	struct topic_spec spec = rig_spec(&x->rig, "t", 1);
	const struct store_topic *topic;
	char golden[RIG_DIR_BYTES_MAX + 8], path[PATH_BYTES];
	int64_t sizes[TAIL_BATCHES + 1], from, step;

	spec.settings.durability = DURABILITY_OS;
	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	sizes[0] = largest_file(x, ".log", path);
	for (int i = 1; i <= TAIL_BATCHES; i++) {
		assert_int_equal(append(x, topic->partitions[0], TAIL_EVENTS), OK);
		sizes[i] = largest_file(x, ".log", path);
	}
	rig_kill(&x->rig);
	snprintf(golden, sizeof(golden), "%s.gold", x->rig.dir);
	rig_copy_dir(x->rig.dir, golden);
	from = sizes[TAIL_BATCHES - 3];
	step = getenv("BOURN_LONG") ? 1 : (sizes[TAIL_BATCHES] - from) / (TAILS / 3) + 1;
	for (int64_t at = from; at <= sizes[TAIL_BATCHES]; at += step)
		for (int how = 0; how < 3; how++) {
			int whole = TAIL_BATCHES - 3;
			int64_t end;
			enum err why;

			rig_remove_dir(x->rig.dir);
			rig_copy_dir(golden, x->rig.dir);
			end = cut_off(x, at, how);
			while (whole < TAIL_BATCHES && sizes[whole + 1] <= end)
				whole++;
			rig_reopen(&x->rig);
			assert_int_equal(read_through(x, partition(x, "t"), 0, &why),
			                 whole * TAIL_EVENTS);
			assert_int_equal(why, OK);
			rig_shut(&x->rig);
		}
	rig_remove_dir(golden);
	rig_reopen(&x->rig);
}

/* --- flipped bits ---------------------------------------------------------------------------- */

enum { FLIP_TOPICS = 3, FLIP_BATCHES = 12, FLIPS = 60, FLIPS_LONG = 10000, FILES_MAX = 64 };

/* "LAST" is the last to be written to: what its last write leaves looks like one that never
 * ended. */
static const char *const flip_topics[FLIP_TOPICS] = {"a", "b", "LAST"};

static void write_golden(struct fixture *x)
{
	for (int t = 0; t < FLIP_TOPICS; t++)
		rig_topic(&x->rig, flip_topics[t], 1);
	for (int i = 0; i < FLIP_BATCHES; i++) {
		for (int t = 0; t < FLIP_TOPICS; t++) {
			x->ahead_ms += 1000; /* each says what was flushed before */
			assert_int_equal(append(x, partition(x, flip_topics[t]), 50), OK);
		}
		if (i == 3 || i == 7)
			assert_int_equal(rig_checkpoint(&x->rig), OK);
	}
}

/* One bit of one of RocksDB's files; which, is in `path`. */
static void flip_some_bit(struct fixture *x, char path[PATH_BYTES])
{
	char dir[RIG_DIR_BYTES_MAX + 16];
	char names[FILES_MAX][64];
	uint32_t random[2];
	struct dirent *entry;
	size_t count = 0;
	struct stat st;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/rocksdb", x->rig.dir);
	d = opendir(dir);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL && count < FILES_MAX) {
		snprintf(names[count], sizeof(names[count]), "%.63s", entry->d_name);
		snprintf(path, PATH_BYTES, "%s/%s", dir, names[count]);
		count += stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
	}
	closedir(d);
	assert_true(count > 0);
	x->rig.dice.base.fill(&x->rig.dice.base, random, sizeof(random));
	snprintf(path, PATH_BYTES, "%s/%s", dir, names[random[0] % count]);
	assert_int_equal(stat(path, &st), 0);
	flip_byte(path, random[1] % st.st_size);
}

static void found(void *arg, const struct verify_finding *finding)
{
	struct fixture *x = arg;

	assert_true(finding->is_damage);
	assert_non_null(strstr(finding->file, x->rig.dir));
}

static bool goes_on(void *arg, int64_t done_bytes, int64_t all_bytes)
{
	(void)arg;
	(void)done_bytes;
	(void)all_bytes;
	return true;
}

/* How much damage `bourn verify` finds in what nobody has open. */
static uint64_t verified_damages(struct fixture *x)
{
	const struct verify_config config = {.path = x->rig.dir,
	                                     .disk = &x->disk,
	                                     .clock = &x->clock,
	                                     .found = found,
	                                     .progress = goes_on,
	                                     .arg = x};
	struct verify_totals totals;
	struct fault f;

	assert_int_equal(verify_run(&config, &totals, &f), OK);
	return totals.damages;
}

/* What is served is what was sent; what is not, is told, or was the last write. Was any of it
 * lost? */
static bool check_flipped(struct fixture *x, const char *path)
{
	bool is_damaged = false;

	for (int t = 0; t < FLIP_TOPICS; t++) {
		struct store_partition *p = partition(x, flip_topics[t]);
		bool may_lack = t == FLIP_TOPICS - 1 && strstr(path, ".log");
		enum err why;
		int64_t end = read_through(x, p, 0, &why);

		if (why)
			assert_int_equal(why, ERR_CORRUPT);
		if (why || p->state.fenced.code)
			assert_int_equal(p->state.fenced.code, ERR_FENCED);
		else if (end < (FLIP_BATCHES - may_lack) * 50)
			fail_msg("%s: %s ends at %lld, and nobody says why", path, flip_topics[t],
			         (long long)end);
		is_damaged = is_damaged || why || p->state.fenced.code;
	}
	return is_damaged;
}

TEST(flips__nothing_wrong_is_served_and_nothing_hidden)
{
	struct fixture *x = *state;
	int flips = getenv("BOURN_LONG") ? FLIPS_LONG : FLIPS;
	char golden[RIG_DIR_BYTES_MAX + 8];
	int refused = 0, fenced = 0;

	write_golden(x);
	snprintf(golden, sizeof(golden), "%s.gold", x->rig.dir);
	rig_copy_dir(x->rig.dir, golden);
	for (int i = 0; i < flips; i++) {
		struct fault f = {0};
		char path[PATH_BYTES];
		bool is_known, is_lost;

		rig_shut(&x->rig);
		rig_remove_dir(x->rig.dir);
		rig_copy_dir(golden, x->rig.dir);
		if (i == 0)
			assert_int_equal(verified_damages(x), 0);
		flip_some_bit(x, path);
		is_known = verified_damages(x) > 0;
		if (!rig_try_open(&x->rig, &f)) {
			is_lost = check_flipped(x, path);
			fenced += is_lost;
			if (is_lost && !is_known)
				fail_msg("%s is damaged, and verify does not know it", path);
			continue;
		}
		refused++;
		assert_true(is_known);
		assert_true(f.code == ERR_CORRUPT || f.code == ERR_IO || f.code == ERR_CONFIG);
		assert_true(strstr(path, "MANIFEST") || strstr(path, "CURRENT") ||
		            strstr(path, ".log") || strstr(path, ".sst"));
	}
	rig_remove_dir(golden);
	printf("{\"test\":\"F5 flipped bits, rocksdb\",\"n\":%d,\"fenced\":%d,\"refused\":%d,"
	       "\"harmless\":%d,\"verdict\":\"passed\"}\n",
	       flips, fenced, refused, flips - fenced - refused);
	assert_true(refused > 0 && refused < flips);
}

/* --- whose directory is it? ------------------------------------------------------------------ */

TEST(open__a_catalog_that_lost_a_topic_is_refused)
{
	struct fixture *x = *state;
	char path[RIG_DIR_BYTES_MAX + 16];
	struct fault f = {0};

	assert_int_equal(append(x, rig_topic(&x->rig, "t", 1)->partitions[0], 3), OK);
	rig_shut(&x->rig);
	snprintf(path, sizeof(path), "%s/catalog", x->rig.dir);
	rig_remove_dir(path);
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CORRUPT);
	assert_non_null(strstr(f.where, "restore catalog/ from a backup"));
}

TEST(open__a_directory_of_another_engine_is_refused_with_the_remedy)
{
	struct fixture *x = *state;
	struct fault f = {0};

	rig_shut(&x->rig);
	x->rig.ops = &store_log;
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CONFIG);
	assert_non_null(strstr(f.where, "kept by engine \"rocksdb\", not \"log\""));
	assert_non_null(strstr(f.where, "dump"));
	rig_close(&x->rig);
	rig_open(&x->rig, &store_memory, 1, false, 7);
	rig_shut(&x->rig);
	x->rig.ops = &store_rocksdb;
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CONFIG);
	assert_non_null(strstr(f.where, "kept by engine \"memory\", not \"rocksdb\""));
}

TEST(open__rows_of_a_later_version_are_refused)
{
	struct fixture *x = *state;
	const struct store_config config = {.disk = &x->disk, .log = x->rig.log};
	struct row_store row = {.leader_epoch = 1};
	uint8_t value[ROW_STORE_BYTES];
	char path[RIG_DIR_BYTES_MAX + 16];
	struct database d;
	struct fault f = {0};

	rig_shut(&x->rig);
	snprintf(path, sizeof(path), "%s/rocksdb", x->rig.dir);
	assert_int_equal(database_open(&d, path, &row.id, &config, &f), OK);
	row_store_encode(&row, value);
	value[0]++;
	assert_int_equal(database_put(&d, ROW_STORE_KEY, slice_of(value, sizeof(value)), &f), OK);
	database_close(&d);
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_DIR_NEWER);
	assert_non_null(strstr(f.where, "use a newer bourn"));
}

/* --- a full disk ----------------------------------------------------------------------------- */

TEST(full__refuses_appends_lets_trims_through_and_goes_on_by_itself)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "t", 1)->partitions[0];
	enum err why, err;
	int tries = 0;

	assert_int_equal(append(x, p, 5), OK);
	x->space = 1 << 20;
	while ((err = append(x, p, 5)) == OK && tries++ < 1000000)
		; /* it looks at the disk now and then */
	assert_int_equal(err, ERR_DISK_FULL);
	assert_int_equal(p->state.fenced.code, OK);
	assert_int_equal(p->state.log_end, p->state.high_watermark);
	assert_int_equal(rig_trim(&x->rig, p, 3), OK);
	assert_int_equal(p->state.log_start, 3);
	x->space = -1;
	while ((err = append(x, p, 5)) == ERR_DISK_FULL)
		;
	assert_int_equal(err, OK);
	assert_int_equal(read_through(x, p, 3, &why), p->state.high_watermark);
	assert_int_equal(why, OK);
}

/* --- times ----------------------------------------------------------------------------------- */

static int64_t lookup(struct fixture *x, struct store_partition *p, int64_t time_ms)
{
	int64_t offset;

	assert_int_equal(rig_lookup(&x->rig, p, time_ms, &offset), OK);
	return offset;
}

/* More than a few stretches, over a restart, with a batch of late records among them. */
TEST(lookup_time__is_exact_with_marks_and_without)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "t", 1)->partitions[0];
	enum { BATCHES = 300, LATE = 120 };

	for (int i = 0; i < BATCHES; i++) {
		if (i == BATCHES / 2) {
			rig_reopen(&x->rig);
			p = partition(x, "t");
		}
		assert_int_equal(append_at(x, p, LARGE, i == LATE ? 5000 : i * 10), OK);
	}
	assert_int_equal(lookup(x, p, 0), 0);
	assert_int_equal(lookup(x, p, 55), 6 * LARGE);
	assert_int_equal(lookup(x, p, LATE * 10 - 5), LATE * LARGE);
	assert_int_equal(lookup(x, p, (BATCHES - 1) * 10), LATE * LARGE);
	assert_int_equal(rig_trim(&x->rig, p, (LATE + 1) * LARGE), OK);
	assert_int_equal(lookup(x, p, 0), (LATE + 1) * LARGE);
	assert_int_equal(lookup(x, p, (BATCHES - 1) * 10), (BATCHES - 1) * LARGE);
	assert_int_equal(lookup(x, p, 2000), 200 * LARGE);
	assert_int_equal(lookup(x, p, 5000), p->state.high_watermark);
}

static void turn_until(struct fixture *x, struct store_partition *p, int64_t log_start)
{
	const bool never = false;

	for (int i = 0; i < TURNS && p->state.log_start < log_start; i++) {
		x->ahead_ms += 50; /* the look of each second */
		for (unsigned s = 0; s < x->rig.shard_count; s++)
			loop_run_until(x->rig.loops[s], &never, 10);
	}
}

TEST(retention_ms__takes_what_is_old_also_after_a_restart)
{
	struct fixture *x = *state;
	struct topic_spec spec = rig_spec(&x->rig, "t", 1);
	const struct store_topic *topic;
	struct store_partition *p;
	int64_t wall_ms = now(&x->clock).wall_ms;
	enum { BATCHES = 150 };

	spec.settings.retention_ms = HOUR_MS;
	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	p = topic->partitions[0];
	for (int i = 0; i < BATCHES; i++)
		assert_int_equal(append_at(x, p, LARGE, wall_ms), OK);
	x->ahead_ms += HOUR_MS / 2;
	turn_until(x, p, 1);
	assert_int_equal(p->state.log_start, 0);
	rig_shut(&x->rig);
	x->ahead_ms += DAY_MS;
	rig_reopen(&x->rig);
	p = partition(x, "t");
	turn_until(x, p, BATCHES / 3 * LARGE);
	/* What marks tell of is gone; the rest counts as born when the run began. */
	assert_true(p->state.log_start >= BATCHES / 3 * LARGE);
	assert_true(p->state.log_start < p->state.high_watermark);
	x->ahead_ms += HOUR_MS;
	turn_until(x, p, p->state.high_watermark);
	assert_int_equal(p->state.log_start, p->state.high_watermark);
}

TEST(retention_bytes__is_exact_after_the_look_of_a_second)
{
	struct fixture *x = *state;
	struct topic_spec spec = rig_spec(&x->rig, "t", 1);
	const struct store_topic *topic;
	struct store_partition *p;
	enum err why;

	spec.settings.retention_bytes = 1 << 20;
	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	p = topic->partitions[0];
	for (int i = 0; i < 50; i++)
		assert_int_equal(append(x, p, LARGE), OK);
	turn_until(x, p, INT64_MAX);
	assert_true(p->state.bytes <= 1 << 20);
	assert_true(p->state.bytes > (1 << 20) - (128 << 10));
	assert_int_equal(p->state.log_start % LARGE, 0);
	assert_int_equal(read_through(x, p, p->state.log_start, &why), 50 * LARGE);
}

/* --- statistics ------------------------------------------------------------------------------ */

TEST(sampler_ticker__finds_its_line)
{
	struct slice text = SLICE_LIT("rocksdb.block.cache.miss COUNT : 7\n"
	                              "rocksdb.block.cache.miss.more COUNT : 8\n"
	                              "rocksdb.db.get.micros P50 : 0.000000 P95 : 0.000000\n"
	                              "rocksdb.stall.micros COUNT : 12345678901\n");

	(void)state;
	assert_int_equal(sampler_ticker(text, "rocksdb.block.cache.miss"), 7);
	assert_int_equal(sampler_ticker(text, "rocksdb.stall.micros"), 12345678901);
	assert_int_equal(sampler_ticker(text, "rocksdb.db.get.micros"), 0);
	assert_int_equal(sampler_ticker(text, "rocksdb.block"), 0);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_STORE(kill__loses_nothing_and_begins_an_epoch),
		WITH_STORE(kill__a_deleted_topic_stays_deleted),
		WITH_STORE(trim__stays_after_a_kill_and_bytes_are_exact),
		WITH_STORE(trim__passes_readers_that_are_under_way),
		WITH_STORE(damage__fences_its_partition_and_no_other),
		WITH_STORE(damage__at_the_front_fences_its_partition_and_can_be_trimmed),
		WITH_STORE(hole__in_what_was_never_flushed_ends_the_log_there),
		WITH_STORE(hole__in_what_was_flushed_refuses_the_start),
		WITH_STORE(hole__a_length_that_reaches_beyond_the_file_refuses_the_start),
		WITH_STORE(tail__ends_at_the_last_whole_write),
		WITH_STORE(flips__nothing_wrong_is_served_and_nothing_hidden),
		WITH_STORE(open__a_catalog_that_lost_a_topic_is_refused),
		WITH_STORE(open__a_directory_of_another_engine_is_refused_with_the_remedy),
		WITH_STORE(open__rows_of_a_later_version_are_refused),
		WITH_STORE(full__refuses_appends_lets_trims_through_and_goes_on_by_itself),
		WITH_STORE(lookup_time__is_exact_with_marks_and_without),
		WITH_STORE(retention_ms__takes_what_is_old_also_after_a_restart),
		WITH_STORE(retention_bytes__is_exact_after_the_look_of_a_second),
		cmocka_unit_test(sampler_ticker__finds_its_line),
	};
#undef WITH_STORE

	if (!rig_has_engine(&store_rocksdb))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
