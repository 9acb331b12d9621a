/* The catalog: what was answered is there after any restart, and a damaged one says so. */
#include "store/catalog.h"

#include "base/test.h"
#include "io/disk.h"
#include "io/log.h"
#include "io/metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
	struct disk_sim *sim;
	struct loop *loop;
	struct log *log;
	struct metrics metrics;
	struct entropy_seeded entropy;
	struct catalog *catalog; /* NULL: closed */
};

static enum err try_open(struct fixture *x, struct fault *f)
{
	const struct catalog_config config = {
		.dir = "/catalog",
		.store_id = {{1, 2, 3}},
		.disk = disk_sim_disk(x->sim),
		.clock = clock_system(),
		.entropy = &x->entropy.base,
		.log = x->log,
		.loop = x->loop,
	};

	return catalog_open(&config, &x->catalog, f);
}

static void must_open(struct fixture *x)
{
	struct fault f = {0};

	if (try_open(x, &f))
		fail_msg("%s", f.where);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->sim = disk_sim_new(5, 64 << 20);
	x->log = log_new(STDERR_FILENO, LOG_OFF, false, clock_system());
	entropy_seeded_init(&x->entropy, 5);
	x->loop = loop_new(&(struct loop_config){.clock = clock_system(),
	                                         .entropy = &x->entropy.base,
	                                         .log = x->log,
	                                         .metrics = &x->metrics},
	                   NULL);
	must_open(x);
	*state = x;
	return 0;
}

static void close_catalog(struct fixture *x)
{
	const bool never = false;

	if (!x->catalog)
		return;
	while (!catalog_is_idle(x->catalog))
		loop_run_until(x->loop, &never, 1);
	catalog_close(x->catalog);
	x->catalog = NULL;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	close_catalog(x);
	loop_free(x->loop);
	log_free(x->log);
	disk_sim_free(x->sim);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static void restart(struct fixture *x)
{
	close_catalog(x);
	must_open(x);
}

struct call {
	struct catalog_change change;
	bool done;
};

static void called(struct catalog_change *change)
{
	CONTAINER_OF(change, struct call, change)->done = true;
}

static struct topic_spec make_spec(unsigned number)
{
	struct topic_spec spec = {
		.uuid = {{(uint8_t)number, (uint8_t)(number >> 8), 1}},
		.partition_count = 1,
		.engine = "memory",
		.settings = topic_settings_default(DURABILITY_COMMIT),
	};

	snprintf(spec.name, sizeof(spec.name), "topic-%u", number);
	return spec;
}

static void start(struct fixture *x, struct call *c, enum catalog_verb verb,
                  const struct topic_spec *spec)
{
	*c = (struct call){.change = {.verb = verb, .spec = *spec, .done = called}};
	catalog_change(x->catalog, &c->change);
	assert_false(c->done);
}

static enum err finish(struct fixture *x, struct call *c)
{
	assert_true(loop_run_until(x->loop, &c->done, 10000));
	return c->change.fault.code;
}

static enum err change(struct fixture *x, enum catalog_verb verb, const struct topic_spec *spec)
{
	struct call c;

	start(x, &c, verb, spec);
	return finish(x, &c);
}

static void find_first(void *arg, const struct topic_spec *spec)
{
	*(struct topic_spec *)arg = *spec;
}

FIXTURE_TEST(catalog__what_was_answered_is_there_again)
{
	struct fixture *x = *state;
	struct topic_spec one = make_spec(1), two = make_spec(2), found;

	assert_int_equal(change(x, CATALOG_CREATE, &one), OK);
	assert_int_equal(change(x, CATALOG_CREATE, &two), OK);
	one.settings.retention_count = 77;
	one.partition_count += 2;
	assert_int_equal(change(x, CATALOG_ALTER, &one), OK);
	assert_int_equal(change(x, CATALOG_DELETE, &two), OK);
	restart(x);
	assert_int_equal(catalog_state(x->catalog, &one.uuid), CATALOG_LIVE);
	assert_int_equal(catalog_state(x->catalog, &two.uuid), CATALOG_DELETED);
	assert_int_equal(catalog_count(x->catalog, CATALOG_LIVE), 1);
	catalog_each(x->catalog, CATALOG_LIVE, find_first, &found);
	assert_string_equal(found.name, "topic-1");
	assert_int_equal(found.settings.retention_count, 77);
	assert_int_equal(found.partition_count, one.partition_count);
}

FIXTURE_TEST(catalog__a_name_is_taken_from_the_first_request_on)
{
	struct fixture *x = *state;
	struct topic_spec spec = make_spec(1), again = make_spec(1);
	struct call first, second, gone, late;

	again.uuid.bytes[15] = 9;
	start(x, &first, CATALOG_CREATE, &spec);
	start(x, &second, CATALOG_CREATE, &again);
	assert_int_equal(finish(x, &second), ERR_TOPIC_EXISTS);
	assert_int_equal(finish(x, &first), OK);
	start(x, &gone, CATALOG_DELETE, &spec);
	start(x, &late, CATALOG_ALTER, &spec); /* would follow the deletion on disk */
	assert_int_equal(finish(x, &late), ERR_TOPIC_UNKNOWN);
	assert_int_equal(finish(x, &gone), OK);
	assert_int_equal(change(x, CATALOG_CREATE, &again), OK);
	restart(x);
	assert_int_equal(catalog_state(x->catalog, &again.uuid), CATALOG_LIVE);
}

FIXTURE_TEST(catalog__a_change_that_found_no_space_did_not_happen)
{
	struct fixture *x = *state;
	struct topic_spec spec = make_spec(1);
	unsigned number = 1;

	disk_sim_set_capacity(x->sim, 0);
	do
		spec = make_spec(number++);
	while (change(x, CATALOG_CREATE, &spec) == OK);
	assert_int_equal(catalog_state(x->catalog, &spec.uuid), CATALOG_UNKNOWN);
	disk_sim_set_capacity(x->sim, 64 << 20);
	assert_int_equal(change(x, CATALOG_CREATE, &spec), OK);
	restart(x);
	assert_int_equal(catalog_count(x->catalog, CATALOG_LIVE), number - 1);
}

static bool has_snapshot(struct fixture *x)
{
	struct disk *d = disk_sim_disk(x->sim);
	int fd = d->ops->open(d, "/catalog/snapshot", O_RDONLY);

	if (fd >= 0)
		d->ops->close(d, fd);
	return fd >= 0;
}

/* Until it has written a snapshot; returns how many topics were created and deleted on the way. */
static unsigned churn(struct fixture *x, unsigned from)
{
	unsigned number = from;

	while (!has_snapshot(x)) {
		struct topic_spec spec = make_spec(number++);

		assert_int_equal(change(x, CATALOG_CREATE, &spec), OK);
		assert_int_equal(change(x, CATALOG_DELETE, &spec), OK);
		if (number % 2)
			catalog_forget(x->catalog, &spec.uuid);
		assert_true(number < 60000);
	}
	return number - from;
}

FIXTURE_TEST(catalog__a_snapshot_replaces_what_the_wal_held)
{
	struct fixture *x = *state;
	struct topic_spec kept = make_spec(60001), later = make_spec(60002);
	unsigned deleted;
	size_t tombs;

	assert_int_equal(change(x, CATALOG_CREATE, &kept), OK);
	deleted = churn(x, 1);
	assert_true(deleted > 1000);
	assert_int_equal(change(x, CATALOG_CREATE, &later), OK);
	tombs = catalog_count(x->catalog, CATALOG_DELETED);
	restart(x);
	assert_int_equal(catalog_state(x->catalog, &kept.uuid), CATALOG_LIVE);
	assert_int_equal(catalog_state(x->catalog, &later.uuid), CATALOG_LIVE);
	/* Half of them were forgotten. Those after the snapshot was taken are read again, as many
	 * as its writing took time for; the 500 and more before it are not. */
	assert_in_range(catalog_count(x->catalog, CATALOG_DELETED), tombs, deleted - 500);
}

/* Make the file these bytes. */
static void write_file(struct fixture *x, const char *path, const struct buf *bytes)
{
	struct disk *d = disk_sim_disk(x->sim);
	struct iovec iov = {bytes->ptr, bytes->len};
	int fd = d->ops->open(d, path, O_RDWR | O_CREAT | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(d->ops->pwritev(d, fd, &iov, 1, 0), (int64_t)bytes->len);
	d->ops->close(d, fd);
}

static void open_flipped(struct fixture *x)
{
	struct fault f = {0};

	if (try_open(x, &f) == OK) {
		assert_int_equal(catalog_count(x->catalog, CATALOG_LIVE), 2);
		close_catalog(x);
		return;
	}
	assert_true(f.code == ERR_CORRUPT || f.code == ERR_DIR_NEWER || f.code == ERR_DIR_FOREIGN);
	assert_non_null(strstr(f.where, "catalog"));
}

FIXTURE_TEST(catalog__a_flipped_bit_refuses_the_start_or_changes_nothing)
{
	struct fixture *x = *state;
	struct buf bytes = BUF_INIT(1 << 20);

	for (unsigned i = 1; i <= 2; i++) {
		struct topic_spec spec = make_spec(i);

		assert_int_equal(change(x, CATALOG_CREATE, &spec), OK);
	}
	close_catalog(x);
	assert_int_equal(disk_read_file(disk_sim_disk(x->sim), "/catalog/1.wal", &bytes, NULL), OK);
	for (size_t bit = 0; bit < bytes.len * 8; bit += 211) {
		bytes.ptr[bit / 8] = (uint8_t)(bytes.ptr[bit / 8] ^ (1 << bit % 8));
		write_file(x, "/catalog/1.wal", &bytes);
		open_flipped(x);
		bytes.ptr[bit / 8] = (uint8_t)(bytes.ptr[bit / 8] ^ (1 << bit % 8));
		write_file(x, "/catalog/1.wal", &bytes);
	}
	buf_fini(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(catalog__what_was_answered_is_there_again),
		T(catalog__a_name_is_taken_from_the_first_request_on),
		T(catalog__a_change_that_found_no_space_did_not_happen),
		T(catalog__a_snapshot_replaces_what_the_wal_held),
		T(catalog__a_flipped_bit_refuses_the_start_or_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
