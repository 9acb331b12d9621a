#include "io/watch.h"

#include "base/test.h"
#include "io/metrics.h"

#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct metrics metrics;
static struct watch *watch;
static int ends[2];
static unsigned came;
static bool told;

static void start(watch_cb *ready)
{
	struct loop_config config = {
		.clock = clock_system(), .entropy = entropy_system(), .metrics = &metrics};

	came = 0;
	told = false;
	loop = loop_new(&config, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	watch = watch_new(loop, ends[0], ready, &came);
	assert_non_null(watch);
}

static void stop(void)
{
	if (watch)
		watch_free(watch);
	loop_free(loop);
	close(ends[0]);
	close(ends[1]);
}

static void note(void *owner, int fd, unsigned ready)
{
	assert_int_equal(fd, ends[0]);
	*(unsigned *)owner |= ready;
	told = true;
}

TEST(watch__tells_what_is_wanted)
{
	start(note);
	watch_want(watch, STREAM_READABLE);
	assert_false(loop_run_until(loop, &told, 20));
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_true(loop_run_until(loop, &told, 5000));
	assert_int_equal(came, STREAM_READABLE);
	told = false;
	watch_want(watch, STREAM_WRITABLE);
	assert_true(loop_run_until(loop, &told, 5000));
	assert_true(came & STREAM_WRITABLE);
	told = false;
	watch_want(watch, 0);
	assert_false(loop_run_until(loop, &told, 20));
	stop();
}

static void free_itself(void *owner, int fd, unsigned ready)
{
	(void)owner;
	(void)fd;
	(void)ready;
	watch_free(watch);
	watch = NULL;
	told = true;
}

TEST(watch__may_be_freed_when_it_tells)
{
	start(free_itself);
	watch_want(watch, STREAM_WRITABLE);
	assert_true(loop_run_until(loop, &told, 5000));
	stop();
}

TEST(watch__refuses_what_is_no_socket)
{
	start(note);
	assert_null(watch_new(loop, -1, note, NULL));
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watch__tells_what_is_wanted),
		cmocka_unit_test(watch__may_be_freed_when_it_tells),
		cmocka_unit_test(watch__refuses_what_is_no_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
