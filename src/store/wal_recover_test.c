/* Recovery, over files built byte by byte: what is torn, what is damaged, what is stale. */
#include "store/wal_recover.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/test.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/testing/wal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { IMAGE_BYTES_MAX = 64 << 10, FRAMES_MAX = 64 };

/* A WAL file in the making. */
struct image {
	uint8_t bytes[IMAGE_BYTES_MAX];
	size_t len;
	uint64_t number;
	uint64_t generation;
	size_t frame_at[FRAMES_MAX]; /* by sequence, as is the next */
	size_t frame_end[FRAMES_MAX];
};

/* A directory of them, and what recovery made of it. */
struct bench {
	struct disk_sim *sim;
	struct disk *disk;
	struct wal_config config;
	struct wal_found found;
	int64_t ids[FRAMES_MAX]; /* replayed */
	size_t id_count;
	bool wrong; /* a frame was replayed that is not what its id says */
};

static void bench_init(struct bench *b)
{
	*b = (struct bench){.sim = disk_sim_new(1, 64 << 20)};
	b->disk = disk_sim_disk(b->sim);
	b->config = (struct wal_config){
		.dir = "/wal",
		.kind = "data",
		.store_id = {{7}},
		.disk = b->disk,
		.clock = clock_system(),
		.entropy = entropy_system(),
		.log = log_new(2, LOG_OFF, false, clock_system()),
		.file_bytes = 64 << 10,
		.reserve_bytes = 8 << 10,
		.flush_ms = 20,
	};
	assert_int_equal(disk_make_dir(b->disk, "/wal", NULL), OK);
}

static void bench_fini(struct bench *b)
{
	wal_found_fini(&b->found);
	log_free(b->config.log);
	disk_sim_free(b->sim);
}

/* --- building ------------------------------------------------------------------------------ */

static struct image *image_begun(uint64_t number, uint64_t first_sequence, uint64_t durable_through)
{
	struct image *image = calloc(1, sizeof(*image));
	struct wal_file_header h = {
		.version = WAL_VERSION,
		.kind = "data",
		.number = number,
		.generation = 1000 + number,
		.first_sequence = first_sequence,
		.store_id = {{7}},
		.durable_through = durable_through,
	};

	assert_non_null(image);
	wal_file_header_encode(&h, image->bytes);
	image->len = WAL_BLOCK_BYTES;
	image->number = number;
	image->generation = h.generation;
	return image;
}

/* Begun when all before it was flushed. */
static struct image *image_new(uint64_t number, uint64_t first_sequence)
{
	return image_begun(number, first_sequence, first_sequence - 1);
}

static void image_put(struct image *image, struct wal_frame frame)
{
	uint8_t *at = image->bytes + image->len;

	assert_true(image->len + 4096 < IMAGE_BYTES_MAX);
	wal_frame_encode(&frame, image->generation, at);
	if (frame.payload.len)
		memcpy(at + WAL_FRAME_HEADER_BYTES, frame.payload.ptr, frame.payload.len);
	image->frame_at[frame.sequence] = image->len;
	image->frame_end[frame.sequence] = image->len + WAL_FRAME_HEADER_BYTES + frame.payload.len;
	image->len += (size_t)wal_frame_bytes(frame.payload.len);
}

/* The frame's id is its sequence. */
static void image_frame(struct image *image, uint64_t sequence, uint64_t durable_through)
{
	struct wal_frame frame = wal_fixture_frame((int64_t)sequence, DURABILITY_COMMIT);

	frame.sequence = sequence;
	frame.durable_through = durable_through;
	image_put(image, frame);
	free((void *)(uintptr_t)frame.payload.ptr);
}

static void image_mark(struct image *image, uint64_t sequence, uint64_t durable_through)
{
	image_put(image, (struct wal_frame){.type = WAL_MARK,
	                                    .sequence = sequence,
	                                    .durable_through = durable_through});
}

/* The next frame begins a group. */
static void image_align(struct image *image)
{
	image->len = (size_t)wal_block_round((int64_t)image->len);
}

static void save_bytes(struct bench *b, const uint8_t *bytes, uint64_t number, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	char name[WAL_NAME_BYTES_MAX];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/wal/%s", wal_name(number, name));
	assert_int_equal(disk_open(b->disk, path, O_RDWR | O_CREAT | O_TRUNC, &fd, NULL), OK);
	if (len)
		assert_int_equal(disk_write_all(b->disk, fd, &iov, 1, 0, path, NULL), OK);
	b->disk->ops->close(b->disk, fd);
}

static void save_as(struct bench *b, const struct image *image, uint64_t number, size_t len)
{
	save_bytes(b, image->bytes, number, len);
}

static void save(struct bench *b, const struct image *image)
{
	save_as(b, image, image->number, image->len);
}

/* --- recovering ---------------------------------------------------------------------------- */

static enum err collect(void *arg, const struct wal_frame *frame, struct fault *f)
{
	struct bench *b = arg;

	(void)f;
	assert_true(b->id_count < FRAMES_MAX);
	b->ids[b->id_count++] = frame->base_offset;
	if ((uint64_t)frame->base_offset != frame->sequence || !wal_fixture_frame_is_right(frame))
		b->wrong = true;
	return OK;
}

static enum err recover_fault(struct bench *b, struct fault *f)
{
	wal_found_fini(&b->found);
	b->id_count = 0;
	return wal_recover(&b->config, collect, b, &b->found, f);
}

static void recover(struct bench *b)
{
	assert_int_equal(recover_fault(b, NULL), OK);
	assert_false(b->wrong);
}

/* Replayed exactly the ids from..to but `but` (0: no exception). */
static void assert_ids(const struct bench *b, int64_t from, int64_t to, int64_t but)
{
	size_t i = 0;

	for (int64_t id = from; id <= to; id++)
		if (id != but)
			assert_int_equal(b->ids[i++], id);
	assert_int_equal(b->id_count, i);
}

static void assert_whole(const struct bench *b, int64_t to)
{
	assert_ids(b, 1, to, 0);
	assert_int_equal(b->found.report.damage_count, 0);
	assert_int_equal(b->found.report.last_sequence, to);
}

/* Two groups and a mark: 1 to 3, 4 to 6 (the first known flushed), 7 (all known flushed). */
static struct image *image_marked(void)
{
	struct image *image = image_new(1, 1);

	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(image, sequence, 0);
	image_align(image);
	for (uint64_t sequence = 4; sequence <= 6; sequence++)
		image_frame(image, sequence, 3);
	image_align(image);
	image_mark(image, 7, 6);
	image_align(image);
	return image;
}

/* --- torn tails (F4) ------------------------------------------------------------------------- */

static unsigned whole_frames(const struct image *image, unsigned last, size_t len)
{
	while (last && image->frame_end[last] > len)
		last--;
	return last;
}

/* Cut `image` at every byte of its frames `from` to `last`; what follows is `tail`. */
static void cut_everywhere(const struct image *image, unsigned from, unsigned last,
                           void (*tail)(struct image *cut, size_t len))
{
	struct image *cut = malloc(sizeof(*cut));
	struct bench b;

	assert_non_null(cut);
	for (size_t len = image->frame_at[from]; len <= image->frame_end[last]; len++) {
		unsigned whole = whole_frames(image, last, len);

		bench_init(&b);
		*cut = *image;
		tail(cut, len);
		save(&b, cut);
		recover(&b);
		/* A tail may happen to have the very bytes that were cut. */
		if (b.id_count != whole)
			assert_memory_equal(cut->bytes, image->bytes, image->frame_end[whole + 1]);
		else
			assert_whole(&b, whole);
		bench_fini(&b);
	}
	free(cut);
}

static void tail_none(struct image *cut, size_t len)
{
	cut->len = len;
}

static void tail_zeros(struct image *cut, size_t len)
{
	memset(cut->bytes + len, 0, IMAGE_BYTES_MAX - len);
	cut->len = IMAGE_BYTES_MAX;
}

static void tail_garbage(struct image *cut, size_t len)
{
	uint32_t x = (uint32_t)len;

	for (size_t i = len; i < IMAGE_BYTES_MAX; i++)
		cut->bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	cut->len = IMAGE_BYTES_MAX;
}

/* The frames of the same place in an older generation, as in a recycled file. */
static void tail_stale(struct image *cut, size_t len)
{
	struct image *old = image_new(1, 1);

	old->generation = 77;
	for (uint64_t sequence = 1; sequence <= 8; sequence++)
		image_frame(old, sequence, sequence - 1);
	memcpy(cut->bytes + len, old->bytes + len, IMAGE_BYTES_MAX - len);
	cut->len = IMAGE_BYTES_MAX;
	free(old);
}

TEST(wal_recover__a_cut_at_every_byte_leaves_the_whole_frames)
{
	static void (*const tails[])(struct image *, size_t) = {tail_none, tail_zeros, tail_garbage,
	                                                        tail_stale};
	struct image *image = image_new(1, 1);

	for (uint64_t sequence = 1; sequence <= 8; sequence++)
		image_frame(image, sequence, 0);
	for (size_t i = 0; i < ARRAY_COUNT(tails); i++)
		cut_everywhere(image, 6, 8, tails[i]);
	free(image);
}

TEST(wal_recover__a_cut_group_per_frame_leaves_the_whole_frames)
{
	struct image *image = image_new(1, 1);

	for (uint64_t sequence = 1; sequence <= 8; sequence++) {
		image_frame(image, sequence, sequence - 1);
		image_align(image);
	}
	cut_everywhere(image, 8, 8, tail_none);
	cut_everywhere(image, 8, 8, tail_zeros);
	cut_everywhere(image, 8, 8, tail_garbage);
	free(image);
}

/* A later frame of the torn group is whole; nothing says that the first was flushed. */
TEST(wal_recover__whole_frames_behind_a_torn_one_are_cut)
{
	struct image *image = image_new(1, 1);
	struct bench b;

	bench_init(&b);
	for (uint64_t sequence = 1; sequence <= 8; sequence++)
		image_frame(image, sequence, sequence > 3 ? 3 : 0);
	image->bytes[image->frame_at[5] + 3] ^= 1;
	save(&b, image);
	recover(&b);
	assert_whole(&b, 4);
	assert_int_equal(b.found.end_at, image->frame_at[5]);
	assert_int_equal(b.found.report.cut_bytes, image->len - image->frame_at[5]);
	free(image);
	bench_fini(&b);
}

TEST(wal_open__cuts_before_it_appends)
{
	struct image *image = image_new(1, 1);
	struct wal_fixture fx;
	struct bench b;

	for (uint64_t sequence = 1; sequence <= 8; sequence++)
		image_frame(image, sequence, 0);
	for (size_t len = image->frame_at[6]; len <= image->frame_end[8]; len++) {
		unsigned whole = whole_frames(image, 8, len);

		bench_init(&b);
		save_as(&b, image, 1, len);
		wal_fixture_init(&fx, b.disk, "/wal");
		assert_int_equal(wal_fixture_open(&fx, NULL), OK);
		assert_int_equal(fx.replayed_count, whole);
		wal_fixture_write(&fx, whole + 1, DURABILITY_COMMIT);
		assert_true(wal_fixture_wait(&fx));
		wal_fixture_close(&fx);
		assert_int_equal(wal_fixture_open(&fx, NULL), OK);
		assert_int_equal(fx.replayed_count, whole + 1);
		assert_int_equal(fx.report.damage_count, 0);
		assert_int_equal(fx.report.cut_bytes, 0);
		assert_false(fx.replayed_wrong);
		wal_fixture_fini(&fx);
		bench_fini(&b);
	}
	free(image);
}

/* --- flipped bits (F5) ------------------------------------------------------------------------ */

static void assert_one_damage(const struct bench *b, uint64_t sequence, bool partition_known)
{
	const struct wal_damage *d = b->found.report.damages;

	assert_int_equal(b->found.report.damage_count, 1);
	assert_int_equal(d->sequence, sequence);
	assert_int_equal(d->frame_count, 1);
	assert_int_equal(d->partition_known, partition_known);
	if (!partition_known)
		return;
	assert_int_equal(d->base_offset, sequence);
	assert_int_equal(d->log_end, sequence + 1);
	assert_int_equal(d->partition, sequence % 3);
}

/* One bit of each byte, another one from byte to byte. */
static void flip(struct image *image, size_t at)
{
	image->bytes[at] ^= (uint8_t)(1 << at % 8);
}

TEST(wal_recover__a_flipped_bit_in_a_flushed_frame_is_damage)
{
	struct image *image = image_marked();
	struct bench b;

	bench_init(&b);
	for (uint64_t sequence = 1; sequence <= 6; sequence++) {
		size_t payload_at = image->frame_at[sequence] + WAL_FRAME_HEADER_BYTES;

		for (size_t i = image->frame_at[sequence]; i < image->frame_end[sequence]; i++) {
			flip(image, i);
			save(&b, image);
			recover(&b);
			assert_ids(&b, 1, 6, (int64_t)sequence);
			assert_one_damage(&b, sequence, i >= payload_at);
			assert_int_equal(b.found.report.last_sequence, 7);
			flip(image, i);
		}
	}
	free(image);
	bench_fini(&b);
}

TEST(wal_recover__a_flipped_bit_elsewhere_does_no_harm)
{
	struct image *image = image_marked();
	struct bench b;

	bench_init(&b);
	for (size_t i = 0; i < image->len; i++) {
		if (i >= image->frame_at[1] && i < image->frame_end[6])
			continue;
		flip(image, i);
		save(&b, image);
		recover(&b);
		assert_ids(&b, 1, 6, 0);
		assert_int_equal(b.found.report.damage_count, 0);
		flip(image, i);
	}
	free(image);
	bench_fini(&b);
}

TEST(wal_recover__several_damages_are_told_apart)
{
	struct image *image = image_marked();
	struct bench b;

	bench_init(&b);
	image->bytes[image->frame_at[2] + 20] ^= 1;
	image->bytes[image->frame_at[3] + 20] ^= 1;
	image->bytes[image->frame_end[5] - 1] ^= 1;
	save(&b, image);
	recover(&b);
	assert_int_equal(b.id_count, 3);
	assert_int_equal(b.found.report.damage_count, 2);
	assert_int_equal(b.found.report.damages[0].sequence, 2);
	assert_int_equal(b.found.report.damages[0].frame_count, 2);
	assert_int_equal(b.found.report.damages[0].at, image->frame_at[2]);
	assert_int_equal(b.found.report.damages[1].sequence, 5);
	assert_true(b.found.report.damages[1].partition_known);
	assert_int_equal(b.found.report.damages[1].at, image->frame_at[5]);
	free(image);
	bench_fini(&b);
}

/* --- several files ---------------------------------------------------------------------------- */

static void save_three(struct bench *b)
{
	for (uint64_t number = 1; number <= 3; number++) {
		struct image *image = image_new(number, number * 3 - 2);

		for (uint64_t sequence = number * 3 - 2; sequence <= number * 3; sequence++)
			image_frame(image, sequence, number * 3 - 3);
		save(b, image);
		free(image);
	}
}

TEST(wal_recover__files_follow_each_other)
{
	struct bench b;

	bench_init(&b);
	save_three(&b);
	recover(&b);
	assert_whole(&b, 9);
	bench_fini(&b);
}

TEST(wal_recover__a_missing_file_is_damage)
{
	struct bench b;

	bench_init(&b);
	save_three(&b);
	b.disk->ops->unlink(b.disk, "/wal/2.wal");
	recover(&b);
	assert_int_equal(b.id_count, 6);
	assert_int_equal(b.found.report.damage_count, 1);
	assert_int_equal(b.found.report.damages[0].sequence, 4);
	assert_int_equal(b.found.report.damages[0].frame_count, 3);
	assert_false(b.found.report.damages[0].partition_known);
	bench_fini(&b);
}

TEST(wal_recover__a_missing_first_file_is_damage_unless_checkpointed)
{
	struct bench b;

	bench_init(&b);
	save_three(&b);
	b.disk->ops->unlink(b.disk, "/wal/1.wal");
	recover(&b);
	assert_int_equal(b.found.report.damage_count, 1);
	assert_int_equal(b.found.report.damages[0].frame_count, 3);
	b.config.checkpointed = 3;
	recover(&b);
	assert_ids(&b, 4, 9, 0);
	assert_int_equal(b.found.report.damage_count, 0);
	bench_fini(&b);
}

/* The next file was begun only when the last frames of this one had been flushed. */
TEST(wal_recover__a_newer_file_proves_the_end_of_an_older_one)
{
	struct image *image = image_new(1, 1);
	struct bench b;

	bench_init(&b);
	save_three(&b);
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(image, sequence, 0);
	save_as(&b, image, 1, image->frame_at[3] + 10);
	recover(&b);
	assert_ids(&b, 1, 9, 3);
	assert_one_damage(&b, 3, false);
	free(image);
	bench_fini(&b);
}

TEST(wal_recover__an_empty_newer_file_proves_it_as_well)
{
	struct image *image = image_new(1, 1);
	struct image *empty = image_new(2, 4);
	struct bench b;

	bench_init(&b);
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(image, sequence, 0);
	save_as(&b, image, 1, image->frame_at[3] + 10);
	save(&b, empty);
	recover(&b);
	assert_ids(&b, 1, 2, 0);
	assert_one_damage(&b, 3, false);
	assert_int_equal(b.found.report.last_sequence, 3);
	free(image);
	free(empty);
	bench_fini(&b);
}

/* Two files, in the first of which the power cut tore the third frame; the second one's header and
 * frames say what was flushed when they were written. */
static void save_torn(struct bench *b, uint64_t begun, uint64_t written)
{
	struct image *torn = image_new(1, 1);
	struct image *next = image_begun(2, 4, begun);

	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(torn, sequence, 0);
	save_as(b, torn, 1, torn->frame_at[3] + 10);
	image_frame(next, 4, begun);
	image_frame(next, 5, written);
	save(b, next);
	free(torn);
	free(next);
}

TEST(wal_recover__what_was_not_flushed_ends_at_its_first_hole)
{
	struct bench b;

	bench_init(&b);
	save_torn(&b, 2, 2);
	recover(&b);
	assert_whole(&b, 2);
	assert_int_equal(b.found.end_file, 0);
	assert_true(b.found.report.cut_bytes > 0);
	bench_fini(&b);
}

TEST(wal_recover__a_hole_is_damage_where_any_later_header_says_it_was_flushed)
{
	struct bench b;

	bench_init(&b);
	save_torn(&b, 2, 3);
	recover(&b);
	assert_ids(&b, 1, 5, 3);
	assert_one_damage(&b, 3, false);
	save_torn(&b, 3, 3);
	recover(&b);
	assert_ids(&b, 1, 5, 3);
	assert_one_damage(&b, 3, false);
	bench_fini(&b);
}

/* Version 1 began a file only when all before it was flushed, and did not say so. */
TEST(wal_recover__a_file_of_version_1_proves_all_before_it)
{
	struct image *torn = image_new(1, 1);
	struct image *old = image_begun(2, 4, 0);
	struct bench b;

	bench_init(&b);
	store_le32(old->bytes + 8, 1);
	store_le32(old->bytes + 56, crc32c(0, old->bytes, 56));
	memset(old->bytes + 60, 0, 12);
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(torn, sequence, 0);
	save_as(&b, torn, 1, torn->frame_at[3] + 10);
	image_frame(old, 4, 0);
	save(&b, old);
	recover(&b);
	assert_ids(&b, 1, 4, 3);
	assert_one_damage(&b, 3, false);
	free(torn);
	free(old);
	bench_fini(&b);
}

/* Recycled and written, and then the power cut forgot the new name: it comes before files that
 * count. */
TEST(wal_recover__a_file_whose_new_name_was_forgotten_is_nothing)
{
	struct image *image = image_begun(4, 10, 3);
	struct bench b;

	bench_init(&b);
	save_three(&b);
	image_frame(image, 10, 3);
	image_frame(image, 11, 3);
	save_as(&b, image, 1, image->len);
	b.config.checkpointed = 3;
	recover(&b);
	assert_ids(&b, 4, 9, 0);
	b.disk->ops->unlink(b.disk, "/wal/2.wal");
	b.disk->ops->unlink(b.disk, "/wal/3.wal");
	recover(&b);
	assert_int_equal(b.id_count, 0);
	assert_int_equal(b.found.report.damage_count, 0);
	assert_int_equal(b.found.report.last_sequence, 3);
	free(image);
	bench_fini(&b);
}

/* What is left of a torn end must not come back to life behind what is written later. */
TEST(wal_open__removes_what_lies_beyond_the_cut)
{
	struct image *image = image_new(1, 1);
	struct image *beyond = image_new(2, 9);
	struct wal_fixture fx;
	struct bench b;

	bench_init(&b);
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(image, sequence, 0);
	save(&b, image);
	image_frame(beyond, 9, 0);
	memset(beyond->bytes, 0, WAL_BLOCK_BYTES);
	save(&b, beyond);
	wal_fixture_init(&fx, b.disk, "/wal");
	assert_int_equal(wal_fixture_open(&fx, NULL), OK);
	assert_int_equal(fx.report.last_sequence, 3);
	for (int64_t id = 4; id <= 20; id++)
		wal_fixture_write(&fx, id, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	wal_fixture_close(&fx);
	assert_int_equal(wal_fixture_open(&fx, NULL), OK);
	assert_int_equal(fx.replayed_count, 20);
	assert_int_equal(fx.report.damage_count, 0);
	wal_fixture_fini(&fx);
	free(image);
	free(beyond);
	bench_fini(&b);
}

TEST(wal_recover__freed_files_are_not_read)
{
	struct image *image = image_new(1, 1);
	struct bench b;

	bench_init(&b);
	save_three(&b);
	image_frame(image, 40, 39);
	save(&b, image);
	b.config.checkpointed = 5;
	recover(&b);
	assert_ids(&b, 6, 9, 0);
	assert_int_equal(b.found.freed_count, 1);
	free(image);
	bench_fini(&b);
}

TEST(wal_recover__a_file_without_a_header_is_the_end)
{
	struct image *image = image_new(4, 10);
	struct bench b;

	bench_init(&b);
	save_three(&b);
	memset(image->bytes, 0, WAL_BLOCK_BYTES);
	save(&b, image);
	recover(&b);
	assert_whole(&b, 9);
	assert_int_equal(b.found.end_file, 2);
	save_as(&b, image, 4, 0);
	recover(&b);
	assert_whole(&b, 9);
	free(image);
	bench_fini(&b);
}

/* Renamed, and then the power went: still the old header, the old frames. */
TEST(wal_recover__a_recycled_file_with_its_old_header_is_empty)
{
	struct image *image = image_new(1, 1);
	struct bench b;

	bench_init(&b);
	save_three(&b);
	for (uint64_t sequence = 1; sequence <= 3; sequence++)
		image_frame(image, sequence, 0);
	b.disk->ops->unlink(b.disk, "/wal/1.wal");
	save_as(&b, image, 4, image->len);
	b.config.checkpointed = 3;
	recover(&b);
	assert_ids(&b, 4, 9, 0);
	assert_int_equal(b.found.report.damage_count, 0);
	assert_int_equal(b.found.end_file, 1);
	free(image);
	bench_fini(&b);
}

/* --- what is not ours ------------------------------------------------------------------------- */

static void assert_refused(struct bench *b, enum err code)
{
	struct fault f = {0};

	assert_int_equal(recover_fault(b, &f), code);
	assert_non_null(strstr(f.where, "/wal/1.wal"));
}

TEST(wal_recover__a_newer_format_is_refused)
{
	struct image *image = image_marked();
	struct wal_file_header h;
	struct bench b;

	bench_init(&b);
	assert_true(wal_file_header_decode(image->bytes, &h));
	h.version = WAL_VERSION + 1;
	wal_file_header_encode(&h, image->bytes);
	save(&b, image);
	assert_refused(&b, ERR_DIR_NEWER);
	free(image);
	bench_fini(&b);
}

TEST(wal_recover__an_unknown_frame_type_is_refused)
{
	struct image *image = image_new(1, 1);
	struct bench b;

	bench_init(&b);
	image_put(image, (struct wal_frame){.type = 9, .sequence = 1});
	save(&b, image);
	assert_refused(&b, ERR_DIR_NEWER);
	free(image);
	bench_fini(&b);
}

TEST(wal_recover__a_length_beyond_the_file_is_not_allocated)
{
	struct image *image = image_new(1, 1);
	struct bench b;

	bench_init(&b);
	image_frame(image, 1, 0);
	image_put(image,
	          (struct wal_frame){.type = WAL_BATCHES, .sequence = 2, .durable_through = 1});
	wal_frame_encode(&(struct wal_frame){.type = WAL_BATCHES,
	                                     .sequence = 2,
	                                     .durable_through = 1,
	                                     .payload = {image->bytes, 60000}},
	                 image->generation, image->bytes + image->frame_at[2]);
	save(&b, image);
	recover(&b);
	assert_whole(&b, 1);
	assert_int_equal(b.found.report.cut_bytes, WAL_FRAME_HEADER_BYTES);
	free(image);
	bench_fini(&b);
}

/* Three files: while one is checked the disk may fetch the next. */
TEST(wal_recover__asks_for_each_file_once_and_ahead)
{
	struct disk_fault *df;
	struct bench b;

	bench_init(&b);
	df = disk_fault_new(b.disk);
	b.config.disk = disk_fault_disk(df);
	save_three(&b);
	disk_fault_arm(df, DISK_PREAD, 4, EIO, 0, true); /* the first behind three headers */
	assert_int_equal(recover_fault(&b, NULL), ERR_IO);
	assert_int_equal(disk_fault_calls(df, DISK_WILL_READ), 2);
	disk_fault_disarm(df);
	recover(&b);
	assert_int_equal(disk_fault_calls(df, DISK_WILL_READ), 2 + 3);
	disk_fault_free(df);
	bench_fini(&b);
}

/* --- large frames ----------------------------------------------------------------------------- */

enum { LARGE_FRAMES = 40, LARGE_FILE_BYTES = 12 << 20 };

/* Most are smaller than what is read at once, one is larger. */
static size_t large_len(uint64_t sequence)
{
	return sequence == 10 ? 3 << 19 : sequence * sequence * 7919 % 400000;
}

static enum err count_large(void *arg, const struct wal_frame *frame, struct fault *f)
{
	uint64_t *seen = arg;
	const uint8_t *at = frame->payload.ptr;

	(void)f;
	assert_int_equal(frame->payload.len, large_len(frame->sequence));
	for (size_t i = 0; i < frame->payload.len; i++)
		assert_int_equal(at[i], (uint8_t)(frame->sequence + i / 1000));
	*seen |= UINT64_C(1) << frame->sequence;
	return OK;
}

static size_t put_large(uint8_t *file, size_t at, uint64_t sequence)
{
	uint8_t *payload = file + at + WAL_FRAME_HEADER_BYTES;
	struct wal_frame frame = {
		.type = WAL_BATCHES,
		.sequence = sequence,
		.durable_through = sequence - 1,
		.payload = slice_of(payload, large_len(sequence)),
	};

	for (size_t i = 0; i < frame.payload.len; i++)
		payload[i] = (uint8_t)(sequence + i / 1000);
	wal_frame_encode(&frame, 1001, file + at);
	return at + (size_t)wal_frame_bytes(frame.payload.len);
}

TEST(wal_recover__frames_lie_across_what_is_read_at_once)
{
	const uint64_t all = (UINT64_C(1) << (LARGE_FRAMES + 1)) - 2;
	struct image *head = image_new(1, 1);
	uint8_t *file = calloc(1, LARGE_FILE_BYTES);
	size_t at = WAL_BLOCK_BYTES, bad = 0;
	uint64_t seen = 0;
	struct bench b;

	bench_init(&b);
	memcpy(file, head->bytes, WAL_BLOCK_BYTES);
	for (uint64_t sequence = 1; sequence <= LARGE_FRAMES; sequence++) {
		if (sequence == 12)
			bad = at + WAL_FRAME_HEADER_BYTES + 100;
		at = put_large(file, at, sequence);
		assert_true(at < LARGE_FILE_BYTES);
	}
	save_bytes(&b, file, 1, LARGE_FILE_BYTES);
	assert_int_equal(wal_recover(&b.config, count_large, &seen, &b.found, NULL), OK);
	assert_int_equal(seen, all);
	assert_int_equal(b.found.end_at, at);
	wal_found_fini(&b.found);

	file[bad] ^= 1;
	seen = 0;
	save_bytes(&b, file, 1, LARGE_FILE_BYTES);
	assert_int_equal(wal_recover(&b.config, count_large, &seen, &b.found, NULL), OK);
	assert_int_equal(seen, all & ~(UINT64_C(1) << 12));
	assert_int_equal(b.found.report.damage_count, 1);
	free(file);
	free(head);
	bench_fini(&b);
}

TEST(wal_name_parse__takes_our_names_only)
{
	uint64_t number;

	assert_true(wal_name_parse("12.wal", &number));
	assert_int_equal(number, 12);
	assert_false(wal_name_parse("012.wal", &number));
	assert_false(wal_name_parse("0.wal", &number));
	assert_false(wal_name_parse("-1.wal", &number));
	assert_false(wal_name_parse("1.wal.tmp", &number));
	assert_false(wal_name_parse("1", &number));
	assert_false(wal_name_parse(".wal", &number));
	assert_false(wal_name_parse("99999999999999999999.wal", &number));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wal_recover__a_cut_at_every_byte_leaves_the_whole_frames),
		cmocka_unit_test(wal_recover__a_cut_group_per_frame_leaves_the_whole_frames),
		cmocka_unit_test(wal_recover__whole_frames_behind_a_torn_one_are_cut),
		cmocka_unit_test(wal_open__cuts_before_it_appends),
		cmocka_unit_test(wal_recover__a_flipped_bit_in_a_flushed_frame_is_damage),
		cmocka_unit_test(wal_recover__a_flipped_bit_elsewhere_does_no_harm),
		cmocka_unit_test(wal_recover__several_damages_are_told_apart),
		cmocka_unit_test(wal_recover__files_follow_each_other),
		cmocka_unit_test(wal_recover__a_missing_file_is_damage),
		cmocka_unit_test(wal_recover__a_missing_first_file_is_damage_unless_checkpointed),
		cmocka_unit_test(wal_recover__a_newer_file_proves_the_end_of_an_older_one),
		cmocka_unit_test(wal_recover__an_empty_newer_file_proves_it_as_well),
		cmocka_unit_test(wal_recover__what_was_not_flushed_ends_at_its_first_hole),
		cmocka_unit_test(
			wal_recover__a_hole_is_damage_where_any_later_header_says_it_was_flushed),
		cmocka_unit_test(wal_recover__a_file_of_version_1_proves_all_before_it),
		cmocka_unit_test(wal_recover__a_file_whose_new_name_was_forgotten_is_nothing),
		cmocka_unit_test(wal_open__removes_what_lies_beyond_the_cut),
		cmocka_unit_test(wal_recover__freed_files_are_not_read),
		cmocka_unit_test(wal_recover__a_file_without_a_header_is_the_end),
		cmocka_unit_test(wal_recover__a_recycled_file_with_its_old_header_is_empty),
		cmocka_unit_test(wal_recover__a_newer_format_is_refused),
		cmocka_unit_test(wal_recover__an_unknown_frame_type_is_refused),
		cmocka_unit_test(wal_recover__a_length_beyond_the_file_is_not_allocated),
		cmocka_unit_test(wal_recover__asks_for_each_file_once_and_ahead),
		cmocka_unit_test(wal_recover__frames_lie_across_what_is_read_at_once),
		cmocka_unit_test(wal_name_parse__takes_our_names_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
