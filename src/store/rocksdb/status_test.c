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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_code__is_told_by_the_front_of_the_text),
		cmocka_unit_test(status_fault__keeps_the_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
