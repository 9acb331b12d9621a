/* A directory is taken, or refused with nothing modified. Over the real disk: locks and modes are
 * the system's. */
#include "store/datadir.h"

#include "base/crc32c.h"
#include "base/test.h"
#include "io/clock.h"
#include "io/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char root[64];
	char path[96];
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->root, "/tmp/bourn-datadir-XXXXXX");
	assert_non_null(mkdtemp(x->root));
	snprintf(x->path, sizeof(x->path), "%s/data", x->root);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", x->root);
	assert_int_equal(system(command), 0);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static enum err take(struct fixture *x, const char *engine, struct datadir *dir, struct fault *f)
{
	return datadir_open(x->path, engine, NULL, disk_real(), entropy_system(), dir, f);
}

static void write_file(struct fixture *x, const char *name, const char *text)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", x->path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int count_names(struct fixture *x)
{
	DIR *d = opendir(x->path);
	int count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static void made(struct fixture *x)
{
	struct datadir dir;

	assert_int_equal(take(x, "memory", &dir, NULL), OK);
	datadir_close(&dir);
}

FIXTURE_TEST(datadir__a_new_one_is_private_and_keeps_its_id)
{
	struct fixture *x = *state;
	struct datadir first, again;
	struct uuid id;
	struct stat st;

	assert_int_equal(take(x, "memory", &first, NULL), OK);
	assert_false(uuid_is_none(&first.id));
	assert_int_equal(stat(x->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	id = first.id;
	datadir_close(&first);
	assert_int_equal(take(x, "memory", &again, NULL), OK);
	assert_true(uuid_eq(&id, &again.id));
	datadir_close(&again);
}

FIXTURE_TEST(datadir__a_second_user_is_refused)
{
	struct fixture *x = *state;
	struct datadir first, second;
	struct fault f = {0};

	assert_int_equal(take(x, "memory", &first, NULL), OK);
	assert_int_equal(take(x, "memory", &second, &f), ERR_DIR_LOCKED);
	assert_non_null(strstr(f.where, "/lock"));
	datadir_close(&first);
	made(x);
}

FIXTURE_TEST(datadir__files_of_others_are_left_alone)
{
	struct fixture *x = *state;
	struct datadir dir;
	struct fault f = {0};

	assert_int_equal(mkdir(x->path, 0700), 0);
	write_file(x, "thesis.tex", "years of work");
	assert_int_equal(take(x, "memory", &dir, &f), ERR_DIR_FOREIGN);
	assert_non_null(strstr(f.where, "thesis.tex"));
	assert_int_equal(count_names(x), 1);
}

FIXTURE_TEST(datadir__an_empty_or_half_made_directory_is_taken)
{
	struct fixture *x = *state;

	assert_int_equal(mkdir(x->path, 0700), 0);
	write_file(x, "lock", "");
	write_file(x, "bourn.dir.tmp", "bourn da");
	made(x);
}

FIXTURE_TEST(datadir__a_newer_format_is_refused)
{
	struct fixture *x = *state;
	struct datadir dir;
	struct fault f = {0};

	assert_int_equal(mkdir(x->path, 0700), 0);
	write_file(x, "bourn.dir",
	           "bourn data directory; do not edit\nformat 3\nwhat comes then\n");
	assert_int_equal(take(x, "memory", &dir, &f), ERR_DIR_NEWER);
	assert_non_null(strstr(f.where, "newer bourn"));
	assert_int_equal(count_names(x), 1);
}

/* As the last version that knew only format 1 left it. */
FIXTURE_TEST(datadir__an_earlier_format_is_raised_when_it_is_claimed)
{
	static const char title[] = "bourn data directory; do not edit\n";
	struct fixture *x = *state;
	char text[512], id[UUID_TEXT_LEN + 1];
	struct datadir dir, again;
	int len;

	made(x);
	assert_int_equal(take(x, "memory", &dir, NULL), OK);
	datadir_close(&dir);
	len = snprintf(text, sizeof(text), "%sformat 1\nid %s\nengine memory\n", title,
	               uuid_format(&dir.id, id));
	snprintf(text + len, sizeof(text) - (size_t)len, "crc %08x\n",
	         crc32c(0, text, (size_t)len));
	write_file(x, "bourn.dir", text);
	assert_int_equal(take(x, "memory", &dir, NULL), OK);
	assert_false(dir.is_claimed);
	datadir_close(&dir);
	assert_int_equal(take(x, "memory", &dir, NULL), OK); /* a look changed nothing */
	assert_false(dir.is_claimed);
	assert_int_equal(datadir_claim(&dir, "memory", NULL), OK);
	datadir_close(&dir);
	assert_int_equal(take(x, "memory", &again, NULL), OK);
	assert_true(again.is_claimed);
	datadir_close(&again);
}

FIXTURE_TEST(datadir__another_engine_is_refused_with_the_remedy)
{
	struct fixture *x = *state;
	struct datadir dir;
	struct fault f = {0};

	made(x);
	assert_int_equal(take(x, "rocksdb", &dir, &f), ERR_CONFIG);
	assert_non_null(strstr(f.where, "storage.type: memory"));
}

FIXTURE_TEST(datadir__no_flipped_bit_in_the_marker_goes_unseen)
{
	struct fixture *x = *state;
	char path[160], bytes[512];
	size_t len;
	FILE *file;

	made(x);
	snprintf(path, sizeof(path), "%s/bourn.dir", x->path);
	file = fopen(path, "r");
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	for (size_t bit = 0; bit < len * 8; bit++) {
		struct datadir dir;

		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
		file = fopen(path, "w");
		fwrite(bytes, 1, len, file);
		fclose(file);
		assert_int_not_equal(take(x, "memory", &dir, NULL), OK);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
	}
}

/* Root may write everywhere, so the system's answer is played by the fault disk. */
FIXTURE_TEST(datadir__a_read_only_directory_is_refused)
{
	struct fixture *x = *state;
	struct disk_fault *df = disk_fault_new(disk_real());
	struct datadir dir;
	struct fault f = {0};

	made(x);
	disk_fault_arm(df, DISK_OPEN, 2, EROFS, 0, true); /* the first one reads the marker */
	assert_int_equal(datadir_open(x->path, "memory", NULL, disk_fault_disk(df),
	                              entropy_system(), &dir, &f),
	                 ERR_IO);
	assert_int_equal(f.os_errno, EROFS);
	assert_non_null(strstr(f.where, "read-only"));
	disk_fault_free(df);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(datadir__a_new_one_is_private_and_keeps_its_id),
		T(datadir__a_second_user_is_refused),
		T(datadir__files_of_others_are_left_alone),
		T(datadir__an_empty_or_half_made_directory_is_taken),
		T(datadir__a_newer_format_is_refused),
		T(datadir__an_earlier_format_is_raised_when_it_is_claimed),
		T(datadir__another_engine_is_refused_with_the_remedy),
		T(datadir__no_flipped_bit_in_the_marker_goes_unseen),
		T(datadir__a_read_only_directory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
