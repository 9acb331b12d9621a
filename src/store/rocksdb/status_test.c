#include "store/rocksdb/status.h"

#include "base/check.h"
#include "base/test.h"

TEST(status_code__is_told_by_the_front_of_the_text)
{
	static const struct {
		const char *text;
		enum err code;
	} cases[] = {
		{"IO error: No space left on device: While appending to file: d/7.log: No space "
	         "left on device",
	         ERR_DISK_FULL},
		{"IO error: No space left on device", ERR_DISK_FULL},
		{"IO error: While fdatasync: d/7.log: Disk quota exceeded", ERR_DISK_FULL},
		{"IO error: While fdatasync: d/7.log: Input/output error", ERR_IO},
		{"Corruption: block checksum mismatch: stored = 1, computed = 2", ERR_CORRUPT},
		{"Result incomplete: Write stall", ERR_BUSY},
		{"Invalid argument: Compression type LZ4 is not linked with the binary.",
	         ERR_CONFIG},
		{"Shutdown in progress: Database shutdown", ERR_SHUTTING_DOWN},
		{"Merge in progress: what nobody expects", ERR_IO},
		{"No space left on device", ERR_IO}, /* not its way to say it */
		{"", ERR_IO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_int_equal(status_code(cases[i].text), cases[i].code);
}

TEST(status_fault__keeps_the_words)
{
	struct fault f;

	(void)state;
	assert_int_equal(status_fault(&f, "rocksdb write", "IO error: x"), ERR_IO);
	assert_string_equal(f.where, "rocksdb write: IO error: x");
}

TEST(status_fault__leaves_out_directories)
{
	struct fault f;

	(void)state;
	assert_int_equal(status_fault(&f, "read", "Corruption: bad block  in /a/b/7.sst offset 9"),
	                 ERR_CORRUPT);
	assert_string_equal(f.where, "read: Corruption: bad block in 7.sst offset 9");
	assert_int_equal(status_fault(&f, "read", "IO error: / and/or a/7.log: no"), ERR_IO);
	assert_string_equal(f.where, "read: IO error: / and/or 7.log: no");
}

TEST(status_place__is_the_file_and_the_byte)
{
	static const struct {
		const char *text, *file;
		int64_t at;
	} cases[] = {
		{"Corruption: block checksum mismatch: stored = 1, computed = 2  in /d/7.sst offset "
	         "4096 size 12",
	         "7.sst", 4096},
		{"Corruption: Bad table magic number: expected 1, found 2 in 7.sst", "7.sst", -1},
		{"Corruption: Sst file size mismatch: /d/7.sst. Size recorded in manifest 3",
	         "7.sst", -1},
		{"IO error: No such file: While open a file: /d/MANIFEST-000005: No",
	         "MANIFEST-000005", -1},
		{"Corruption: in 7.sst offset x", "7.sst", -1},
		{"Corruption: in 7.sst offset", "7.sst", -1},
		{"Corruption: truncated block", NULL, -1},
		{"", NULL, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice file;
		int64_t at;
		bool has = status_place(cases[i].text, &file, &at);

		assert_int_equal(has, cases[i].file != NULL);
		assert_true(!has || slice_eq(file, slice_str(cases[i].file)));
		assert_int_equal(at, cases[i].at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_code__is_told_by_the_front_of_the_text),
		cmocka_unit_test(status_fault__keeps_the_words),
		cmocka_unit_test(status_fault__leaves_out_directories),
		cmocka_unit_test(status_place__is_the_file_and_the_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
