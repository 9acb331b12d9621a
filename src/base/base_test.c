/* The small things of base/: each test names what it promises. */
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/list.h"
#include "base/shared.h"
#include "base/test.h"
#include "base/uuid.h"
#include "base/varint.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(check__a_false_condition_aborts)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		fclose(stderr);
		CHECK(1 == 2);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

TEST(err__every_row_is_complete_and_its_slug_unique)
{
	for (enum err a = ERR_BAD_REQUEST; a < ERR_COUNT; a++) {
		assert_in_range(err_http_status(a), 400, 599);
		assert_true(strlen(err_text(a)) > 0);
		for (enum err b = ERR_BAD_REQUEST; b < a; b++)
			assert_string_not_equal(err_slug(a), err_slug(b));
	}
}

TEST(fault__says_what_where_and_why)
{
	struct fault f;
	char text[256];

	assert_int_equal(fault_set(&f, ERR_DISK_FULL, ENOSPC, "wal grow d/%d.wal", 3),
	                 ERR_DISK_FULL);
	assert_string_equal(fault_text(&f, text, sizeof(text)),
	                    "the disk is full: wal grow d/3.wal (No space left on device)");
}

TEST(slice__cut_leaves_the_rest_and_then_none)
{
	struct slice rest = SLICE_LIT("a=1&b");

	assert_true(slice_eq(slice_cut(&rest, '&'), SLICE_LIT("a=1")));
	assert_true(slice_eq(slice_cut(&rest, '&'), SLICE_LIT("b")));
	assert_null(rest.ptr);
}

TEST(slice__numbers_that_do_not_fit_are_refused)
{
	int64_t n = 7;

	assert_true(slice_to_int64(SLICE_LIT("9223372036854775807"), &n));
	assert_true(n == INT64_MAX);
	assert_true(slice_to_int64(SLICE_LIT("-9223372036854775808"), &n));
	assert_true(n == INT64_MIN);
	assert_false(slice_to_int64(SLICE_LIT("9223372036854775808"), &n));
	assert_false(slice_to_int64(SLICE_LIT(""), &n));
	assert_false(slice_to_int64(SLICE_LIT("-"), &n));
	assert_false(slice_to_int64(SLICE_LIT("1x"), &n));
}

TEST(slice__trim_and_case)
{
	assert_true(slice_eq(slice_trim(SLICE_LIT(" \t a b\t ")), SLICE_LIT("a b")));
	assert_true(slice_eq_nocase(SLICE_LIT("Content-TYPE"), SLICE_LIT("content-type")));
	assert_false(slice_eq_nocase(SLICE_LIT("a"), SLICE_LIT("b")));
}

TEST(buf__beyond_its_limit_it_fails_and_stays_failed)
{
	struct buf b = BUF_INIT(8);

	buf_append_lit(&b, "12345678");
	assert_false(b.failed);
	buf_append_lit(&b, "9");
	assert_true(b.failed);
	assert_int_equal(b.len, 8);
	buf_clear(&b);
	assert_false(b.failed);
	buf_fini(&b);
}

TEST(buf__numbers_print_as_printf_prints_them)
{
	static const int64_t numbers[] = {
		0, 7, -1, 10, -99, 100, 105, 1000, 99999, 1700000000123, INT64_MAX, INT64_MIN};

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		struct buf b = BUF_INIT(64);
		char text[32];

		snprintf(text, sizeof(text), "%lld", (long long)numbers[i]);
		buf_append_int64(&b, numbers[i]);
		assert_true(slice_eq(buf_slice(&b), slice_str(text)));
		buf_fini(&b);
	}
}

TEST(buf__consume_keeps_the_tail)
{
	struct buf b = BUF_INIT(64);

	buf_append_lit(&b, "headtail");
	buf_consume(&b, 4);
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("tail")));
	buf_fini(&b);
}

TEST(list__keeps_order_through_moves)
{
	struct item {
		struct list node;
		int number;
	} items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct list a, b;
	int expected = 0;

	list_init(&a);
	list_init(&b);
	list_append(&a, &items[0].node);
	list_append(&b, &items[1].node);
	list_append(&b, &items[2].node);
	list_move_all(&a, &b);
	assert_true(list_is_empty(&b));
	LIST_EACH (node, &a)
		assert_int_equal(LIST_ENTRY(node, struct item, node)->number, expected++);
	assert_int_equal(expected, 3);
	assert_ptr_equal(list_take_first(&a), &items[0].node);
	assert_false(list_is_linked(&items[0].node));
	list_prepend(&a, &items[0].node);
	assert_ptr_equal(a.next, &items[0].node);
	list_prepend(&b, list_take_first(&a));
	assert_ptr_equal(list_take_first(&b), &items[0].node);
	assert_true(list_is_empty(&b));
}

TEST(endian__bytes_are_where_the_format_says)
{
	uint8_t at[8];

	store_be32(at, 0x01020304);
	assert_int_equal(at[0], 1);
	assert_int_equal(load_be32(at), 0x01020304);
	store_le64(at, 0x0102030405060708);
	assert_int_equal(at[0], 8);
	assert_true(load_le64(at) == 0x0102030405060708);
}

TEST(varint__round_trips_at_every_size)
{
	for (unsigned shift = 0; shift < 64; shift++) {
		for (int sign = -1; sign <= 1; sign += 2) {
			int64_t value = (int64_t)(1ull << shift) * sign;
			uint8_t bytes[VARINT_BYTES_MAX];
			size_t len = varint_write(bytes, value);
			struct slice from = slice_of(bytes, len);
			struct slice cut = slice_of(bytes, len - 1);
			int64_t back;

			assert_int_equal(len, varint_size(value));
			assert_true(varint_read(&from, &back));
			assert_true(back == value);
			assert_int_equal(from.len, 0);
			assert_false(varint_read(&cut, &back));
		}
	}
}

TEST(varint__longer_than_64_bits_is_refused)
{
	static const uint8_t eleven[11] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1};
	static const uint8_t tenth_too_big[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 2};
	struct slice a = slice_of(eleven, sizeof(eleven));
	struct slice b = slice_of(tenth_too_big, sizeof(tenth_too_big));
	int64_t value;

	assert_false(varint_read(&a, &value));
	assert_false(varint_read(&b, &value));
}

TEST(crc32c__known_answers)
{
	static const uint8_t zeros[32];

	assert_int_equal(crc32c(0, "123456789", 9),
	                 0xe3069283); /* the check value of the catalogue */
	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa); /* RFC 3720, B.4 */
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* Every length up to several times what is summed in parallel, from every alignment. */
TEST(crc32c__joined_is_that_of_the_whole)
{
	uint8_t bytes[5000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t cut = 0; cut <= sizeof(bytes); cut += cut < 70 ? 1 : 307)
		assert_int_equal(crc32c_join(crc32c(0, bytes, cut),
		                             crc32c(0, bytes + cut, sizeof(bytes) - cut),
		                             sizeof(bytes) - cut),
		                 crc32c(0, bytes, sizeof(bytes)));
}

TEST(crc32c__joined_the_same_without_the_instruction)
{
	uint32_t first = 0xe3069283;

	for (unsigned bit = 0; bit < 32; bit++) {
		size_t len = (UINT64_C(1) << bit) + (first >> 7) % 4096;

		assert_int_equal(crc32c_join_portable(first, bit, len),
		                 crc32c_join(first, bit, len));
		first = crc32c_join(first, bit, len);
	}
}

TEST(crc32c__the_instruction_agrees_with_the_table)
{
	uint8_t bytes[2500];
	uint32_t random = 1;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		random = random * 1103515245 + 12345;
		bytes[i] = (uint8_t)(random >> 16);
	}
	for (size_t from = 0; from < 8; from++) {
		uint32_t before = (uint32_t)from * 0x01234567;
		uint32_t expected = before;

		for (size_t len = 0; from + len < sizeof(bytes); len++) {
			assert_int_equal(crc32c(before, bytes + from, len), expected);
			expected = crc32c_portable(expected, bytes + from + len, 1);
		}
	}
}

TEST(uuid__text_round_trips_and_garbage_is_refused)
{
	static const uint8_t random[16] = {1, 2, 3, 4, 5, 6, 255, 8, 255, 10};
	struct uuid uuid, back;
	char text[UUID_TEXT_LEN + 1];

	uuid_from_random(&uuid, random);
	assert_string_equal(uuid_format(&uuid, text), "01020304-0506-4f08-bf0a-000000000000");
	assert_true(uuid_parse(slice_str(text), &back));
	assert_true(uuid_eq(&uuid, &back));
	text[8] = '0';
	assert_false(uuid_parse(slice_str(text), &back));
	assert_false(uuid_parse(SLICE_LIT("short"), &back));
}

static unsigned frees;

static void count_free(struct shared *s __attribute__((unused)))
{
	frees++;
}

TEST(shared__the_last_holder_frees_once)
{
	struct shared s;

	frees = 0;
	shared_init(&s, count_free);
	shared_get(&s);
	shared_put(&s);
	assert_int_equal(frees, 0);
	shared_put(&s);
	assert_int_equal(frees, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(check__a_false_condition_aborts),
		cmocka_unit_test(err__every_row_is_complete_and_its_slug_unique),
		cmocka_unit_test(fault__says_what_where_and_why),
		cmocka_unit_test(slice__cut_leaves_the_rest_and_then_none),
		cmocka_unit_test(slice__numbers_that_do_not_fit_are_refused),
		cmocka_unit_test(slice__trim_and_case),
		cmocka_unit_test(buf__beyond_its_limit_it_fails_and_stays_failed),
		cmocka_unit_test(buf__numbers_print_as_printf_prints_them),
		cmocka_unit_test(buf__consume_keeps_the_tail),
		cmocka_unit_test(list__keeps_order_through_moves),
		cmocka_unit_test(endian__bytes_are_where_the_format_says),
		cmocka_unit_test(varint__round_trips_at_every_size),
		cmocka_unit_test(varint__longer_than_64_bits_is_refused),
		cmocka_unit_test(crc32c__known_answers),
		cmocka_unit_test(crc32c__joined_is_that_of_the_whole),
		cmocka_unit_test(crc32c__joined_the_same_without_the_instruction),
		cmocka_unit_test(crc32c__the_instruction_agrees_with_the_table),
		cmocka_unit_test(uuid__text_round_trips_and_garbage_is_refused),
		cmocka_unit_test(shared__the_last_holder_frees_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
