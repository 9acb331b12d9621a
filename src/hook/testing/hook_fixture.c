#include "hook/testing/hook_fixture.h"

#include "base/test.h"

#include <unistd.h>

void hook_fixture_start(struct hook_fixture *fx, struct hook_set *set)
{
	struct loop_config config = {
		.clock = clock_system(), .entropy = entropy_system(), .metrics = &fx->metrics};
	struct fault f = {0};

	fx->set = set;
	fx->log = log_new(STDERR_FILENO, LOG_OFF, false, clock_system());
	config.log = fx->log;
	fx->loop = loop_new(&config, &f);
	assert_non_null(fx->loop);
	if (hooks_new(set, fx->loop, 0, 1, &fx->hooks, &f))
		fail_msg("%s", f.where);
	fx->chain = hooks_chain(fx->hooks, BOURN_PRODUCE);
	fx->headers = BUF_INIT(4096);
}

void hook_fixture_stop(struct hook_fixture *fx)
{
	buf_fini(&fx->headers);
	hooks_free(fx->hooks);
	hook_set_free(fx->set);
	loop_free(fx->loop);
	log_free(fx->log);
}

enum hook_outcome hook_fixture_pass(struct hook_fixture *fx, const struct bourn_caller *caller,
                                    const char *topic)
{
	arena_reset(hook_chain_arena(fx->chain));
	fx->record.headers = buf_slice(&fx->headers);
	fx->record.header_count = fx->headers.len > 0;
	call_init(&fx->run.call, BOURN_PRODUCE, caller, hook_chain_arena(fx->chain));
	fx->run.call.pub.topic = slice_out(slice_str(topic));
	call_set_record(&fx->run.call, &fx->record);
	assert_true(hook_run_start(fx->chain, &fx->run));
	assert_true(call_get_record(&fx->run.call, &fx->record));
	return fx->run.outcome;
}
