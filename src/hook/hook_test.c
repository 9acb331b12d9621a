#include "hook/hook.h"

#include "base/test.h"
#include "hook/testing/hook_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- a shard with hooks ----------------------------------------------------------------------- */

static struct hook_fixture fx;

static struct hook_spec say(const char *options)
{
	return (struct hook_spec){
		.name = (char *)(uintptr_t) "say",
		.type = HOOK_SO,
		.path = (char *)(uintptr_t)(HOOKS "/say.so"),
		.options = (char *)(uintptr_t)options,
	};
}

static void start(const struct hook_spec *specs, size_t count)
{
	struct hook_set *set;
	struct fault f;

	assert_int_equal(hook_set_load(specs, count, &set, &f), OK);
	hook_fixture_start(&fx, set);
}

static void stop(void)
{
	hook_fixture_stop(&fx);
}

static const struct bourn_caller somebody = {.bytes = sizeof(somebody), .peer = "here"};

/* What becomes of an event in that topic; `fx.record` is what it was, then what it became. */
static enum hook_outcome pass(const char *topic, const char *value)
{
	fx.record = (struct record){.value = slice_str(value)};
	return hook_fixture_pass(&fx, &somebody, topic);
}

static void assert_value(const char *text)
{
	assert_int_equal(fx.record.value.len, strlen(text));
	assert_memory_equal(fx.record.value.ptr, text, strlen(text));
}

static void assert_header(const char *name, const char *text)
{
	struct slice value;

	assert_true(record_header(&fx.record, name, &value));
	assert_true(slice_eq(value, slice_str(text)));
}

static void assert_no_header(const char *name)
{
	struct slice value;

	assert_false(record_header(&fx.record, name, &value));
}

/* --- verdicts --------------------------------------------------------------------------------- */

TEST(hook_run__continue_keeps_nothing_that_was_changed)
{
	const struct hook_spec spec = say(NULL);

	start(&spec, 1);
	assert_int_equal(pass("t", "not kept"), HOOK_PASSED);
	assert_false(fx.run.changed);
	assert_value("not kept");
	assert_int_equal(pass("t", "plain"), HOOK_PASSED);
	assert_no_header("said-by");
	stop();
}

TEST(hook_run__modify_keeps_it)
{
	const struct hook_spec spec = say("{\"a\":1}");

	start(&spec, 1);
	header_append(&fx.headers, SLICE_LIT("was"), SLICE_LIT("there"));
	assert_int_equal(pass("t", "modify me"), HOOK_PASSED);
	assert_true(fx.run.changed);
	assert_value("<modify me>");
	assert_header("said-by", "{\"a\":1}");
	assert_header("was", "there");
	assert_int_equal(fx.record.header_count, 2);
	assert_int_equal(pass("t", "key"), HOOK_PASSED);
	assert_true(slice_eq(fx.record.key, SLICE_LIT("made")));
	stop();
}

TEST(hook_run__stop_and_refuse)
{
	const struct hook_spec spec = say(NULL);

	start(&spec, 1);
	assert_int_equal(pass("t", "stop"), HOOK_STOPPED);
	assert_int_equal(pass("t", "refuse"), HOOK_REFUSED);
	assert_int_equal(fx.run.fault.code, ERR_HOOK_REFUSED);
	assert_string_equal(fx.run.fault.where, "no id");
	assert_int_equal(fx.run.call.refusal.status, 422);
	assert_int_equal(pass("t", "busy"), HOOK_REFUSED);
	assert_int_equal(fx.run.call.refusal.status, 429);
	assert_int_equal(fx.run.call.refusal.retry_after_s, 7);
	stop();
}

static const char *const failures[] = {"fail", "garbage", "odd status"};

TEST(hook_run__a_failure_is_refused_when_closed)
{
	const struct hook_spec spec = say(NULL);

	start(&spec, 1);
	for (size_t i = 0; i < ARRAY_COUNT(failures); i++) {
		assert_int_equal(pass("t", failures[i]), HOOK_REFUSED);
		assert_int_equal(fx.run.fault.code, ERR_HOOK_FAILED);
		assert_int_equal(fx.run.call.refusal.status, 0);
	}
	stop();
}

TEST(hook_run__a_failure_leaves_no_trace_when_open)
{
	struct hook_spec spec = say(NULL);

	spec.open = true;
	start(&spec, 1);
	for (size_t i = 0; i < ARRAY_COUNT(failures); i++) {
		assert_int_equal(pass("t", failures[i]), HOOK_PASSED);
		assert_value(failures[i]);
		assert_no_header("never");
	}
	stop();
}

TEST(hook_run__what_says_it_is_json_stays_json)
{
	const struct hook_spec spec = say(NULL);

	start(&spec, 1);
	header_append(&fx.headers, SLICE_LIT("content-type"), SLICE_LIT("application/json"));
	assert_int_equal(pass("t", "\"bad json\""), HOOK_REFUSED);
	assert_int_equal(fx.run.fault.code, ERR_HOOK_FAILED);
	stop();
}

/* --- chains ----------------------------------------------------------------------------------- */

TEST(hook_run__each_sees_what_the_one_before_changed)
{
	const struct hook_spec specs[] = {say("{\"first\":1}"), say("{\"second\":2}")};

	start(specs, 2);
	assert_int_equal(pass("t", "modify"), HOOK_PASSED);
	assert_value("<<modify>>");
	assert_header("said-by", "{\"second\":2}");
	assert_int_equal(fx.record.header_count, 1);
	stop();
}

TEST(hook_run__a_failure_takes_back_only_its_own)
{
	struct hook_spec specs[] = {say("{}"), say("{}")};

	specs[1].path = (char *)(uintptr_t)(HOOKS "/spoil.so");
	specs[1].open = true;
	start(specs, 2);
	assert_int_equal(pass("t", "modify"), HOOK_PASSED);
	assert_value("<modify>");
	assert_header("said-by", "{}");
	assert_no_header("spoiled");
	stop();
}

TEST(hook_run__asks_only_about_its_topics_and_fronts)
{
	char *topics[] = {(char *)(uintptr_t) "orders", (char *)(uintptr_t) "orders.*"};
	struct hook_spec specs[] = {say("{}"), say("{}")};

	specs[0].topics = topics;
	specs[0].topic_count = 2;
	specs[1].fronts = 1u << BOURN_FRONT_WEBSOCKET;
	start(specs, 2);
	assert_int_equal(pass("orders", "stop"), HOOK_STOPPED);
	assert_int_equal(pass("orders.eu", "stop"), HOOK_STOPPED);
	assert_int_equal(pass("order", "stop"), HOOK_PASSED);
	stop();
}

TEST(hooks__none_is_no_chain)
{
	struct hook_set *set;
	struct hooks *hooks;
	struct fault f;

	assert_int_equal(hook_set_load(NULL, 0, &set, &f), OK);
	assert_int_equal(hooks_new(set, NULL, 0, 1, &hooks, &f), OK);
	assert_null(hooks);
	assert_null(hooks_chain(hooks, BOURN_PRODUCE));
	hook_set_free(set);
}

/* --- loading ---------------------------------------------------------------------------------- */

static void assert_refused(const struct hook_spec *spec, const char *why)
{
	struct hook_set *set = NULL;
	struct fault f = {0};
	enum err err = hook_set_load(spec, 1, &set, &f);

	if (!err) {
		err = hook_set_check(set, &f);
		hook_set_free(set);
	}
	assert_int_equal(err, ERR_CONFIG);
	if (!strstr(f.where, why))
		fail_msg("'%s' is not in '%s'", why, f.where);
	assert_non_null(strstr(f.where, "hook 'say'"));
}

TEST(hook_set__says_what_cannot_be_loaded)
{
	static const struct {
		const char *path;
		const char *why;
	} rows[] = {
		{HOOKS "/absent.so", "No such file"},
		{HOOKS "/no_symbol.so", "no symbol 'bourn_hook'"},
		{HOOKS "/old_abi.so", "version 0 of the interface, this broker has 1"},
		{HOOKS "/newer.so", "newer broker"},
	};
	struct hook_spec spec = say(NULL);

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		spec.path = (char *)(uintptr_t)rows[i].path;
		assert_refused(&spec, rows[i].why);
	}
}

TEST(hook_set__says_what_will_not_run)
{
	struct hook_spec spec = say("{\"unwilling\":true}");

	assert_refused(&spec, "unwilling to start");
	spec.options = NULL;
	spec.points = 1u << BOURN_COMMIT;
	assert_refused(&spec, "no function 'commit'");
}

/* --- metrics ---------------------------------------------------------------------------------- */

TEST(hooks_render__counts_what_was_said)
{
	const struct hook_spec spec = say(NULL);
	struct buf out = BUF_INIT(64 << 10);

	start(&spec, 1);
	pass("t", "stop");
	pass("t", "stop");
	pass("t", "fail");
	hooks_render(&out, &fx.hooks, 1);
	buf_append(&out, "", 1);
	assert_non_null(strstr((char *)out.ptr,
	                       "bourn_hook_calls_total{hook=\"say\",verdict=\"stop\"} 2\n"));
	assert_non_null(strstr((char *)out.ptr,
	                       "bourn_hook_calls_total{hook=\"say\",verdict=\"fail\"} 1\n"));
	assert_non_null(strstr((char *)out.ptr, "bourn_hook_seconds_count{hook=\"say\"} 1\n"));
	buf_fini(&out);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hook_run__continue_keeps_nothing_that_was_changed),
		cmocka_unit_test(hook_run__modify_keeps_it),
		cmocka_unit_test(hook_run__stop_and_refuse),
		cmocka_unit_test(hook_run__a_failure_is_refused_when_closed),
		cmocka_unit_test(hook_run__a_failure_leaves_no_trace_when_open),
		cmocka_unit_test(hook_run__what_says_it_is_json_stays_json),
		cmocka_unit_test(hook_run__each_sees_what_the_one_before_changed),
		cmocka_unit_test(hook_run__a_failure_takes_back_only_its_own),
		cmocka_unit_test(hook_run__asks_only_about_its_topics_and_fronts),
		cmocka_unit_test(hooks__none_is_no_chain),
		cmocka_unit_test(hook_set__says_what_cannot_be_loaded),
		cmocka_unit_test(hook_set__says_what_will_not_run),
		cmocka_unit_test(hooks_render__counts_what_was_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
