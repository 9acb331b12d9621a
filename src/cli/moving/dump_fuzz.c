/* Any bytes as a dump, checked and unchecked: what is handed out are batches in their bounds, of
 * topics that came before; and what is written from them, in either format, reads the same
 * again. */
#include "cli/moving/dump_file.h"

#include "base/check.h"
#include "record/batch.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { INPUT_BYTES_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static int file_of(const uint8_t *bytes, size_t len)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(write(fd, bytes, len) == (ssize_t)len);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* Everything but offsets of batches: records may come in other batches. */
static void note(struct buf *notes, const struct dump_reader *r, const struct dump_item *item)
{
	struct slice rest = item->batches;
	struct batch_iter it;
	struct batch b;
	struct record record;
	bool corrupt;

	CHECK(item->topic < r->topic_count);
	CHECK(item->partition < r->topics[item->topic]->partition_count);
	for (; rest.len > 0; rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len)) {
		CHECK(batch_validate_sparse(rest, &b, NULL) == OK);
		batch_iter_init(&it, &b);
		while (batch_iter_next(&it, &record, &corrupt)) {
			buf_printf(notes, "%u %u %lld %lld %d %d:", item->topic, item->partition,
			           (long long)record.offset, (long long)record.timestamp,
			           record.key.ptr != NULL, record.value.ptr != NULL);
			buf_append_slice(notes, record.key);
			buf_append_slice(notes, record.value);
			buf_append_slice(notes, record.headers);
		}
		CHECK(!corrupt);
	}
}

/* Reads all; with `w`, writes it again. Returns whether it was whole. */
static bool read_all(int fd, bool unchecked, struct buf *notes, struct dump_writer *w)
{
	struct dump_reader r = {0};
	struct dump_item item = {0};
	struct fault f;
	enum err err = OK;

	dump_reader_init(&r, fd, "fuzz");
	r.unchecked = unchecked;
	if (w)
		CHECK(dump_write_begin(w, 1, &f) == OK);
	while (!err && item.kind != DUMP_END && item.kind != DUMP_CUT) {
		err = dump_read(&r, &item, &f);
		CHECK(!err || err == ERR_INPUT);
		if (err)
			break;
		if (item.kind == DUMP_BATCHES)
			note(notes, &r, &item);
		if (w && (item.kind == DUMP_TOPIC || item.kind == DUMP_BATCHES))
			CHECK(dump_write_topic(w, r.topics[item.topic], item.topic, &f) == OK);
		if (w && item.kind == DUMP_BATCHES)
			CHECK(dump_write_batches(w, item.partition, item.batches, &f) == OK);
	}
	if (w)
		CHECK(dump_write_end(w, &f) == OK);
	dump_reader_fini(&r);
	return !err && item.kind == DUMP_END;
}

static void check_again(int fd, bool unchecked, const struct dump_format *format)
{
	struct buf notes = BUF_INIT(64 << 20), again = BUF_INIT(64 << 20);
	struct dump_writer w = {0};
	int copy = file_of(NULL, 0);

	dump_writer_init(&w, format, copy, "copy");
	(void)read_all(fd, unchecked, &notes, &w);
	CHECK(dump_has_end(copy));
	CHECK(lseek(copy, 0, SEEK_SET) == 0);
	CHECK(read_all(copy, false, &again, NULL));
	CHECK(slice_eq(buf_slice(&notes), buf_slice(&again)));
	dump_writer_fini(&w);
	buf_fini(&notes);
	buf_fini(&again);
	close(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	int fd;

	if (len > INPUT_BYTES_MAX)
		return 0;
	fd = file_of(input, len);
	(void)dump_has_end(fd);
	(void)dump_is_one(fd);
	for (int i = 0; i < 4; i++) {
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		check_again(fd, i & 1, i & 2 ? &dump_frames : &dump_lines);
	}
	close(fd);
	return 0;
}
