#include "hook/hook.h"

#include "base/test.h"
#include "hook/testing/hook_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- a shard with one script ------------------------------------------------------------------ */

static struct {
	char path[32];
	struct hook_spec spec;
	struct hook_set *set; /* loaded, not started yet */
	struct hook_fixture shard;
	struct fault fault;
} fx;

static void write_script(const char *script)
{
	int fd;

	snprintf(fx.path, sizeof(fx.path), "/tmp/hook-XXXXXX");
	fd = mkstemp(fx.path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, script, strlen(script)), strlen(script));
	close(fd);
}

static enum err load(const char *script)
{
	enum err err;

	write_script(script);
	fx.spec.name = (char *)(uintptr_t) "script";
	fx.spec.type = HOOK_LUA;
	fx.spec.path = fx.path;
	err = hook_set_load(&fx.spec, 1, &fx.set, &fx.fault);
	unlink(fx.path);
	return err;
}

static void start(const char *script)
{
	if (load(script) != OK)
		fail_msg("%s", fx.fault.where);
	hook_fixture_start(&fx.shard, fx.set);
}

static void stop(void)
{
	hook_fixture_stop(&fx.shard);
}

static int init(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	hook_spec_init(&fx.spec);
	fx.spec.timeout_ms = HOOK_TIMEOUT_MS_MAX; /* a busy machine must not change what is said */
	return 0;
}

static enum hook_outcome pass(const char *value)
{
	static const struct bourn_caller caller = {
		.bytes = sizeof(caller),
		.front = BOURN_FRONT_WEBSOCKET,
		.peer = "1.2.3.4:5",
		.principal = {(const uint8_t *)"me", 2},
		.request_id = 255,
	};

	fx.shard.record = (struct record){
		.timestamp = 1700000000000,
		.key = SLICE_LIT("k"),
		.value = value ? slice_str(value) : SLICE_NONE,
	};
	return hook_fixture_pass(&fx.shard, &caller, "t");
}

/* The script's value for `value`. */
static void assert_makes(const char *value, const char *made)
{
	enum hook_outcome outcome = pass(value);

	if (outcome != HOOK_PASSED)
		fail_msg("%s", fx.shard.run.fault.where);
	if (!slice_eq(fx.shard.record.value, slice_str(made)))
		fail_msg("'%.*s' is not '%s'", SLICE_FMT(fx.shard.record.value), made);
}

/* --- verdicts --------------------------------------------------------------------------------- */

TEST(lua__a_verdict_by_name_or_by_what_it_did)
{
	static const struct {
		const char *script;
		enum hook_outcome outcome;
		bool changed;
	} rows[] = {
		{"function produce(e) end", HOOK_PASSED, false},
		{"function produce(e) e.value = 'x' end", HOOK_PASSED, true},
		{"function produce(e) e.value = 'x' return 'continue' end", HOOK_PASSED, false},
		{"function produce(e) return 'modify' end", HOOK_PASSED, true},
		{"function produce(e) return 'drop' end", HOOK_STOPPED, false},
		{"function produce(e) return 'stop' end", HOOK_STOPPED, false},
		{"function produce(e) return refuse(422) end", HOOK_REFUSED, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		start(rows[i].script);
		assert_int_equal(pass("v"), rows[i].outcome);
		assert_int_equal(fx.shard.run.changed, rows[i].changed);
		stop();
	}
}

TEST(lua__refuses_with_status_reason_and_when_to_come_back)
{
	start("function produce(e) return refuse(429, 'too fast', 7) end");
	assert_int_equal(pass("v"), HOOK_REFUSED);
	assert_int_equal(fx.shard.run.fault.code, ERR_HOOK_REFUSED);
	assert_int_equal(fx.shard.run.call.refusal.status, 429);
	assert_int_equal(fx.shard.run.call.refusal.retry_after_s, 7);
	assert_string_equal(fx.shard.run.fault.where, "too fast");
	stop();
}

static void assert_fails(const char *script, const char *why)
{
	start(script);
	assert_int_equal(pass("v"), HOOK_REFUSED);
	assert_int_equal(fx.shard.run.fault.code, ERR_HOOK_FAILED);
	if (!fx.shard.run.call.failure || !strstr(fx.shard.run.call.failure, why))
		fail_msg("'%s' is not in '%s'", why,
		         fx.shard.run.call.failure ? fx.shard.run.call.failure : "");
	assert_true(slice_eq(fx.shard.record.value, SLICE_LIT("v")));
	stop();
}

TEST(lua__garbage_is_a_failure)
{
	assert_fails("function produce(e) return 3 end", "returned number");
	assert_fails("function produce(e) return 'whatever' end", "no verdict");
	assert_fails("function produce(e) return {} end", "returned table");
	assert_fails("function produce(e) return 'fail' end", "returned 'fail'");
	assert_fails("function produce(e) e.value = 'x' error('no') end", "no");
	assert_fails("function produce(e) error({}) end", "not a text");
	assert_fails("function produce(e) error(setmetatable({}, {__tostring = function() "
	             "while true do end end})) end",
	             "not a text");
	assert_fails("function produce(e) return e.nothing end", "no 'nothing'");
	assert_fails("function produce(e) e.topic = 'x' end", "cannot be set");
	assert_fails("function produce(e) e.value = {} end", "string expected");
	assert_fails("function produce(e) return refuse(200) end", "from 400 to 599");
}

/* --- the event -------------------------------------------------------------------------------- */

TEST(lua__sees_the_event)
{
	start("function produce(e) e.value = table.concat({e.topic, e.key, e.value, e.timestamp, "
	      "e.point, e.front, e.peer, e.principal, e.request_id, tostring(e.partition), "
	      "e.headers.a, tostring(e.headers.b)}, ' ') end");
	header_append(&fx.shard.headers, SLICE_LIT("a"), SLICE_LIT("1"));
	assert_makes("v", "t k v 1700000000000 produce websocket 1.2.3.4:5 me "
	                  "00000000000000ff nil 1 nil");
	stop();
}

TEST(lua__sets_key_value_and_headers)
{
	struct slice value;

	start("function produce(e) e.key = nil e.value = nil e.headers.a = nil "
	      "e.headers.b = '2' end");
	header_append(&fx.shard.headers, SLICE_LIT("a"), SLICE_LIT("1"));
	assert_int_equal(pass("v"), HOOK_PASSED);
	assert_null(fx.shard.record.key.ptr);
	assert_null(fx.shard.record.value.ptr);
	assert_false(record_header(&fx.shard.record, "a", &value));
	assert_true(record_header(&fx.shard.record, "b", &value));
	assert_true(slice_eq(value, SLICE_LIT("2")));
	stop();
}

TEST(lua__walks_over_headers)
{
	start("function produce(e) e.headers.b = 'two' local all = '' "
	      "for name, value in pairs(e.headers) do all = all .. name .. '=' .. value .. ';' end "
	      "e.value = all end");
	header_append(&fx.shard.headers, SLICE_LIT("a"), SLICE_LIT("1"));
	assert_makes("v", "a=1;b=two;");
	stop();
}

TEST(lua__an_event_kept_stands_for_nothing)
{
	start("function produce(e) if kept then return kept.value end kept = e.headers "
	      "kept = e end");
	assert_int_equal(pass("v"), HOOK_PASSED);
	assert_int_equal(pass("v"),
	                 HOOK_REFUSED); /* its value is no verdict: it is the same object */
	stop();
	assert_int_equal(load("kept = refuse(422)"), ERR_CONFIG);
	assert_non_null(strstr(fx.fault.where, "no call is under way"));
}

TEST(lua__keeps_its_globals)
{
	start("n = 0 function produce(e) n = n + 1 e.value = tostring(n) end");
	assert_makes("v", "1");
	assert_makes("v", "2");
	stop();
}

/* --- JSON ------------------------------------------------------------------------------------- */

TEST(lua__json_there_and_back)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"null",
		"[1,2,3]",
		"1.5",
		"-7",
		"\"a\\\"b\xc3\xa9\"",
		"[[],{},[null]]",
		"{\"a\":[{\"b\":null}]}",
		"true",
		"9007199254740993",
	};

	start("function produce(e) e.value = json.encode(json.decode(e.value)) end");
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_makes(texts[i], texts[i]);
	assert_makes("\"\\u00e9\\ud83d\\ude00\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"");
	assert_int_equal(pass("{"), HOOK_REFUSED);
	assert_int_equal(pass("\"\\ud83d\""), HOOK_REFUSED);
	stop();
}

TEST(lua__json_refuses_what_it_cannot_say)
{
	assert_fails("function produce(e) json.encode(print) json.encode({f = refuse}) end",
	             "function cannot be JSON");
	assert_fails("function produce(e) json.encode(0/0) end", "infinite, or none");
	assert_fails("function produce(e) json.encode('\\xff') end", "not UTF-8");
	assert_fails("function produce(e) json.encode({[1.5] = 1}) end", "not a text");
	assert_fails("function produce(e) local t = {} t.t = t json.encode(t) end",
	             "inside each other");
}

TEST(lua__options_are_a_table)
{
	fx.spec.options = (char *)(uintptr_t) "{\"fields\":[\"a\",\"b\"]}";
	start("function produce(e) e.value = options.fields[2] end");
	assert_makes("v", "b");
	stop();
}

/* --- limits ----------------------------------------------------------------------------------- */

TEST(lua__an_endless_loop_is_cut)
{
	assert_fails("function produce(e) while true do end end", "more than 1000000 instructions");
	assert_fails(
		"function produce(e) while true do pcall(function() while true do end end) end end",
		"instructions");
	assert_fails("function produce(e) local function f() return pcall(f) end "
	             "while true do f() end end",
	             "");
	assert_fails("function produce(e) local t <close> = setmetatable({}, {__close = function() "
	             "while true do end end}) while true do end end",
	             "instructions");
	assert_fails("function produce(e) table.sort({1, 2, 3}, function() while true do end end) "
	             "end",
	             "instructions");
}

TEST(lua__the_limit_is_of_each_call)
{
	fx.spec.instructions = 3000;
	start("function produce(e) for i = 1, 1000 do end end");
	for (int i = 0; i < 100; i++)
		assert_int_equal(pass("v"), HOOK_PASSED);
	stop();
}

TEST(lua__memory_is_bounded_and_comes_back)
{
	start("function produce(e) if e.value == 'v' then local t = {} "
	      "while true do t[#t + 1] = ('x'):rep(100000) .. #t end end end");
	assert_int_equal(pass("v"), HOOK_REFUSED);
	assert_non_null(strstr(fx.shard.run.call.failure, "not enough memory"));
	assert_int_equal(pass("w"), HOOK_PASSED);
	stop();
	assert_fails("function produce(e) return ('x'):rep(1 << 40) end", "");
}

/* Each would run for hours, all but some instructions of it inside of functions in C. */
TEST(lua__time_is_bounded_where_no_instruction_is_counted)
{
	static const char *const bodies[] = {
		"local s = ('a'):rep(3000) s:find(('.-'):rep(20) .. 'b')",
		"local s = ('a'):rep(3000) s:match(('a?'):rep(40) .. ('a'):rep(4000))",
		"('a'):rep(100000):gsub(('a*'):rep(9) .. 'b', '')",
		"for _ in ('x'):rep(100000):gmatch('.-.-.-y') do end",
		"('('):rep(100000):find('%b()') local s = ('('):rep(99999) s:gsub('%b()', '')",
	};
	char script[256];

	for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
		snprintf(script, sizeof(script), "function produce(e) pcall(function() %s end) end",
		         bodies[i]);
		assert_fails(script, "more than 1000000 instructions");
	}
	fx.spec.timeout_ms = 20;
	assert_fails("s = ('x'):rep(4000000) function produce(e) while true do s:upper() end end",
	             "more than 20 ms");
	assert_fails(
		"s = ('x'):rep(4000000) function produce(e) while true do local x = s .. 'y' end "
		"end",
		"more than 20 ms");
	assert_fails(
		"function produce(e) local t = {} for i = 1, 99999 do t[i] = -i end while true do "
		"table.sort(t) t[1] = 1 end end",
		"more than");
}

TEST(lua__nothing_reaches_out)
{
	static const char *const names[] = {
		"io",          "os",        "require", "package", "debug",     "load",
		"loadfile",    "dofile",    "print",   "warn",    "coroutine", "collectgarbage",
		"string.dump", "table.move"};
	char script[128];

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		snprintf(script, sizeof(script), "assert(not %s) function produce(e) end",
		         names[i]);
		assert_int_equal(load(script), OK);
		hook_set_free(fx.set);
	}
	assert_fails("function produce(e) setmetatable({}, {__gc = function() end}) end", "__gc");
	assert_fails("function produce(e) setmetatable({}, {__len = function() end}) end", "__len");
	assert_fails("function produce(e) getmetatable(e).__index = nil end", "index");
}

/* --- loading ---------------------------------------------------------------------------------- */

TEST(lua__what_cannot_be_loaded)
{
	assert_int_equal(load("function produce("), ERR_CONFIG);
	assert_non_null(strstr(fx.fault.where, ":1:"));
	assert_int_equal(load("error('not today')"), ERR_CONFIG);
	assert_non_null(strstr(fx.fault.where, "not today"));
	assert_int_equal(load("while true do end"), ERR_CONFIG);
	assert_non_null(strstr(fx.fault.where, "instructions"));
	assert_int_equal(load("\x1bLua"), ERR_CONFIG);
	assert_int_equal(load("x = 1"), ERR_CONFIG);
	assert_non_null(strstr(fx.fault.where, "no point"));
	fx.spec.points = 1u << BOURN_DELIVER;
	assert_int_equal(load("function produce() end"), ERR_CONFIG);
	assert_non_null(strstr(fx.fault.where, "no function 'deliver'"));
}

/* --- reading it again ------------------------------------------------------------------------- */

/* As the broker does at SIGHUP; what was loaded is replaced by `script`. */
static unsigned refresh(const char *script)
{
	unsigned refreshed;

	write_script(script);
	refreshed = hook_set_refresh(fx.set, fx.shard.log);
	unlink(fx.path);
	hooks_renew(fx.shard.hooks);
	return refreshed;
}

TEST(lua__is_read_again)
{
	start("function produce(e) e.value = 'old' end");
	assert_makes("v", "old");
	assert_int_equal(refresh("function produce(e) e.value = 'new' end"), 1);
	assert_makes("v", "new");
	stop();
}

TEST(lua__the_old_one_stays_when_the_new_one_fails)
{
	static const char *const scripts[] = {"function produce(", "error('no')", "x = 1",
	                                      "function deliver(e) end",
	                                      "function produce(e) end function commit(e) end"};

	start("n = 0 function produce(e) n = n + 1 e.value = tostring(n) end");
	assert_makes("v", "1");
	for (size_t i = 0; i < ARRAY_COUNT(scripts); i++)
		assert_int_equal(refresh(scripts[i]), 0);
	assert_int_equal(hook_set_refresh(fx.set, fx.shard.log), 0); /* the file is gone */
	hooks_renew(fx.shard.hooks);
	assert_makes("v", "2");
	stop();
}

#define LISTED(test) cmocka_unit_test_setup(test, init)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTED(lua__a_verdict_by_name_or_by_what_it_did),
		LISTED(lua__refuses_with_status_reason_and_when_to_come_back),
		LISTED(lua__garbage_is_a_failure),
		LISTED(lua__sees_the_event),
		LISTED(lua__sets_key_value_and_headers),
		LISTED(lua__walks_over_headers),
		LISTED(lua__an_event_kept_stands_for_nothing),
		LISTED(lua__keeps_its_globals),
		LISTED(lua__json_there_and_back),
		LISTED(lua__json_refuses_what_it_cannot_say),
		LISTED(lua__options_are_a_table),
		LISTED(lua__an_endless_loop_is_cut),
		LISTED(lua__the_limit_is_of_each_call),
		LISTED(lua__memory_is_bounded_and_comes_back),
		LISTED(lua__time_is_bounded_where_no_instruction_is_counted),
		LISTED(lua__nothing_reaches_out),
		LISTED(lua__what_cannot_be_loaded),
		LISTED(lua__is_read_again),
		LISTED(lua__the_old_one_stays_when_the_new_one_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
