/* Both formats: what is written is read again, whatever is in it, wherever it was cut. */
#include "cli/moving/dump_file.h"

#include "base/check.h"
#include "base/test.h"
#include "record/batch.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LIMIT = 8 << 20 };

static const struct dump_format *const both[] = {&dump_lines, &dump_frames};

struct dump {
	struct dump_writer writer;
	struct dump_reader reader;
	struct dump_topic *topic;
	struct buf batch;
	struct buf headers;
	int fd;
};

static void dump_open(struct dump *d, const struct dump_format *format)
{
	static const char description[] =
		"{\"topic\":\"t\",\"uuid\":\"u\",\"settings\":{\"retention.ms\":7},\"partitions\":"
		"[{\"earliest\":0,\"high_watermark\":9},{\"earliest\":3,\"high_watermark\":3}]}";

	*d = (struct dump){.batch = BUF_INIT(LIMIT), .headers = BUF_INIT(LIMIT)};
	d->fd = memfd_create("dump", MFD_CLOEXEC);
	assert_true(d->fd >= 0);
	d->topic = dump_topic_new();
	assert_int_equal(dump_topic_parse(slice_str(description), "topic", d->topic, NULL), OK);
	dump_writer_init(&d->writer, format, d->fd, "d");
	assert_int_equal(dump_write_begin(&d->writer, 1, NULL), OK);
	assert_int_equal(dump_write_topic(&d->writer, d->topic, 0, NULL), OK);
}

static void dump_close(struct dump *d)
{
	dump_writer_fini(&d->writer);
	dump_reader_fini(&d->reader);
	dump_topic_free(d->topic);
	buf_fini(&d->batch);
	buf_fini(&d->headers);
	close(d->fd);
}

/* A batch at offset 5 of `records`, each an offset apart more than the one before. */
static void write_records(struct dump *d, const struct record *records, uint32_t count)
{
	struct batch_builder b;

	buf_clear(&d->batch);
	batch_begin(&b, &d->batch);
	for (uint32_t i = 0; i < count; i++) {
		batch_skip(&b, i);
		batch_add(&b, &records[i]);
	}
	assert_non_null(batch_finish(&b).ptr);
	batch_assign(d->batch.ptr, 5, 0);
	assert_int_equal(dump_write_batches(&d->writer, 1, buf_slice(&d->batch), NULL), OK);
}

static void read_from_front(struct dump *d)
{
	assert_true(lseek(d->fd, 0, SEEK_SET) == 0);
	dump_reader_fini(&d->reader);
	d->reader = (struct dump_reader){0};
	dump_reader_init(&d->reader, d->fd, "d");
}

static enum dump_item_kind read_item(struct dump *d, struct dump_item *item)
{
	assert_int_equal(dump_read(&d->reader, item, NULL), OK);
	return item->kind;
}

static void assert_same(struct slice a, struct slice b)
{
	assert_int_equal(!a.ptr, !b.ptr);
	assert_true(slice_eq(a, b));
}

static void assert_records(struct slice batch, const struct record *records, uint32_t count)
{
	struct batch_iter it;
	struct batch b;
	struct record r;
	bool corrupt;
	int64_t offset = 5;

	assert_int_equal(batch_validate_sparse(batch, &b, NULL), OK);
	batch_iter_init(&it, &b);
	for (uint32_t i = 0; i < count; i++, offset++) {
		offset += i;
		assert_true(batch_iter_next(&it, &r, &corrupt));
		assert_int_equal(r.offset, offset);
		assert_int_equal(r.timestamp, records[i].timestamp);
		assert_int_equal(r.header_count, records[i].header_count);
		assert_same(r.key, records[i].key);
		assert_same(r.value, records[i].value);
		assert_true(slice_eq(r.headers, records[i].headers));
	}
	assert_false(batch_iter_next(&it, &r, &corrupt));
}

/* Each its own: header_append into the same buf, which has room. */
static struct slice headers(struct dump *d, const char *name, struct slice value, const char *name2,
                            struct slice value2)
{
	size_t start = d->headers.len;

	assert_true(buf_reserve(&d->headers, 4096));
	header_append(&d->headers, slice_str(name), value);
	header_append(&d->headers, slice_str(name2), value2);
	return slice_of(d->headers.ptr + start, d->headers.len - start);
}

TEST(dump__strange_records_come_back_as_they_were)
{
	for (size_t i = 0; i < ARRAY_COUNT(both); i++) {
		struct slice json = SLICE_LIT("application/json"), odd = SLICE_LIT("\xff");
		struct dump_item item;
		struct dump d;
		struct record records[] = {
			{.timestamp = -1, .value = SLICE_LIT("")},
			{.timestamp = INT64_MAX, .key = SLICE_LIT("")},
			{.timestamp = INT64_MIN, .key = odd, .value = SLICE_LIT("\0\x1f\"\\\x7f")},
			{.value = SLICE_LIT("{\"a\" : 1}"), .header_count = 2},
			{.value = SLICE_LIT(" 1 "), .header_count = 2},
			{.value = SLICE_LIT("[1,\n2]"), .header_count = 2},
			{.value = SLICE_LIT("\"\\ud800\""), .header_count = 2},
			{.value = odd, .header_count = 2},
			{.value = SLICE_LIT("2"), .header_count = 2},
			{.key = SLICE_LIT("\xe2\x80\xa8"), .header_count = 2},
		};

		dump_open(&d, both[i]);
		assert_true(buf_reserve(&d.headers, 1 << 16));
		for (size_t k = 3; k < 7; k++)
			records[k].headers = headers(&d, "a", SLICE_NONE, "content-type", json);
		records[7].headers = headers(&d, "content-type", json, "content-type", odd);
		records[8].headers = headers(&d, "content-type", json, "\xff", odd);
		records[9].headers = headers(&d, "\xff", SLICE_LIT(""), "content-type", SLICE_NONE);
		write_records(&d, records, ARRAY_COUNT(records));
		assert_int_equal(dump_write_end(&d.writer, NULL), OK);
		read_from_front(&d);
		assert_int_equal(read_item(&d, &item), DUMP_TOPIC);
		assert_string_equal(d.reader.topics[0]->name, "t");
		assert_int_equal(d.reader.topics[0]->spans[1].earliest, 3);
		assert_int_equal(dump_topic_setting(d.reader.topics[0], "retention.ms", 0), 7);
		assert_int_equal(read_item(&d, &item), DUMP_BATCHES);
		assert_int_equal(item.partition, 1);
		assert_int_equal(item.event_count, ARRAY_COUNT(records));
		assert_records(item.batches, records, ARRAY_COUNT(records));
		assert_int_equal(read_item(&d, &item), DUMP_END);
		assert_true(dump_has_end(d.fd));
		dump_close(&d);
	}
}

/* Cut at every byte: what comes is a first part, and good_at where it ends. */
TEST(dump__cut_anywhere_it_can_be_gone_on_with)
{
	const struct record record = {.timestamp = 1, .value = SLICE_LIT("value")};

	for (size_t i = 0; i < ARRAY_COUNT(both); i++) {
		struct dump_item item;
		struct dump d;
		off_t size;

		dump_open(&d, both[i]);
		write_records(&d, &record, 1);
		assert_int_equal(dump_write_flush(&d.writer, NULL), OK);
		assert_int_equal(dump_write_end(&d.writer, NULL), OK);
		size = lseek(d.fd, 0, SEEK_END);
		while (--size > 0) {
			int64_t count = 0;

			assert_int_equal(ftruncate(d.fd, size), 0);
			read_from_front(&d);
			while (read_item(&d, &item) != DUMP_CUT)
				count += item.kind == DUMP_BATCHES;
			assert_true(d.reader.good_at <= size);
			assert_true(count <= 1);
			assert_false(dump_has_end(d.fd));
			assert_true(dump_is_one(d.fd));
		}
		dump_close(&d);
	}
}

TEST(dump__every_flipped_bit_is_found)
{
	const struct record record = {.timestamp = 1, .value = SLICE_LIT("value")};

	for (size_t i = 0; i < ARRAY_COUNT(both); i++) {
		struct dump_item item;
		struct dump d;
		off_t size;

		dump_open(&d, both[i]);
		write_records(&d, &record, 1);
		assert_int_equal(dump_write_end(&d.writer, NULL), OK);
		size = lseek(d.fd, 0, SEEK_END);
		for (off_t bit = 0; bit < 8 * size; bit++) {
			enum err err = OK;
			uint8_t byte, flipped;

			assert_int_equal(pread(d.fd, &byte, 1, bit / 8), 1);
			flipped = byte ^ (uint8_t)(1 << bit % 8);
			assert_int_equal(pwrite(d.fd, &flipped, 1, bit / 8), 1);
			read_from_front(&d);
			do
				err = dump_read(&d.reader, &item, NULL);
			while (!err && item.kind != DUMP_END && item.kind != DUMP_CUT);
			assert_true(err == ERR_INPUT || (!err && item.kind == DUMP_CUT));
			assert_int_equal(pwrite(d.fd, &byte, 1, bit / 8), 1);
		}
		dump_close(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dump__strange_records_come_back_as_they_were),
		cmocka_unit_test(dump__cut_anywhere_it_can_be_gone_on_with),
		cmocka_unit_test(dump__every_flipped_bit_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
