#include "io/loop.h"

#include "base/test.h"
#include "io/log.h"
#include "io/metrics.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static struct loop *new_loop(struct clock *clock)
{
	struct loop_config config = {.clock = clock, .entropy = entropy_system()};
	struct loop *l = loop_new(&config, NULL);

	assert_non_null(l);
	return l;
}

/* --- deferred tasks ------------------------------------------------------------------ */

/* Appends its letter to a string when it runs, and defers another. */
struct scribe {
	struct task task;
	struct loop *l;
	char letter;
	char *text;
	struct scribe *next; /* NULL: none */
	enum loop_stage next_stage;
	bool *done;
};

static void scribe_run(struct task *t)
{
	struct scribe *s = CONTAINER_OF(t, struct scribe, task);

	strncat(s->text, &s->letter, 1);
	if (s->next)
		loop_defer(s->l, s->next_stage, &s->next->task);
	if (s->done)
		*s->done = true;
}

TEST(loop_defer__stages_run_in_order_and_before_the_loop_blocks)
{
	struct loop *l = new_loop(clock_system());
	char text[16] = "";
	bool done = false;
	struct scribe work_from_commit = {.task.run = scribe_run, .letter = 'x', .text = text};
	struct scribe work_from_work = {.task.run = scribe_run, .letter = 'v', .text = text};
	struct scribe work = {.task.run = scribe_run,
	                      .l = l,
	                      .letter = 'w',
	                      .text = text,
	                      .next = &work_from_work,
	                      .next_stage = LOOP_WORK};
	struct scribe commit = {.task.run = scribe_run,
	                        .l = l,
	                        .letter = 'c',
	                        .text = text,
	                        .next = &work_from_commit,
	                        .next_stage = LOOP_WORK};
	struct scribe after_write = {
		.task.run = scribe_run, .letter = 'z', .text = text, .done = &done};
	struct scribe write = {.task.run = scribe_run,
	                       .l = l,
	                       .letter = 'e',
	                       .text = text,
	                       .next = &after_write,
	                       .next_stage = LOOP_COMMIT};
	struct scribe cancelled = {.task.run = scribe_run, .letter = '!', .text = text};

	loop_defer(l, LOOP_WRITE, &write.task);
	loop_defer(l, LOOP_COMMIT, &commit.task);
	loop_defer(l, LOOP_WORK, &work.task);
	loop_defer(l, LOOP_WORK, &work.task);
	loop_defer(l, LOOP_WORK, &cancelled.task);
	task_cancel(&cancelled.task);
	task_cancel(&cancelled.task);
	assert_true(loop_run_until(l, &done, PATIENCE_MS));
	assert_string_equal(text, "wvcxez");
	loop_free(l);
}

TEST(loop_defer__a_write_cannot_hold_the_turn)
{
	struct loop *l = new_loop(clock_system());
	char text[16] = "";
	bool done = false;
	struct scribe work = {.task.run = scribe_run, .letter = 'w', .text = text};
	struct scribe late = {.task.run = scribe_run, .letter = 'l', .text = text, .done = &done};
	struct scribe a = {.task.run = scribe_run,
	                   .l = l,
	                   .letter = 'a',
	                   .text = text,
	                   .next = &late,
	                   .next_stage = LOOP_WRITE};
	struct scribe b = {.task.run = scribe_run,
	                   .l = l,
	                   .letter = 'b',
	                   .text = text,
	                   .next = &work,
	                   .next_stage = LOOP_WORK};

	loop_defer(l, LOOP_WRITE, &a.task);
	loop_defer(l, LOOP_WRITE, &b.task);
	assert_true(loop_run_until(l, &done, PATIENCE_MS));
	assert_string_equal(text, "abwl");
	loop_free(l);
}

/* --- timers -------------------------------------------------------------------------- */

struct alarm {
	struct timer timer;
	struct loop *l;
	int64_t due_us; /* of the loop's clock */
	unsigned *fired;
	unsigned expected;
	bool *done;
};

static void alarm_fire(struct timer *t)
{
	struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

	assert_true(loop_now(a->l).mono_us >= a->due_us);
	if (++*a->fired == a->expected)
		*a->done = true;
}

TEST(timer__many_are_never_early_and_all_come)
{
	enum { COUNT = 10000 };
	struct loop *l = new_loop(clock_system());
	struct alarm *alarms = calloc(COUNT, sizeof(*alarms));
	struct clock *clock = clock_system();
	unsigned fired = 0;
	bool done = false;

	for (unsigned i = 0; i < COUNT; i++) {
		int64_t delay_ms = i * 7919 % 300;
		struct alarm *a = &alarms[i];

		*a = (struct alarm){.timer.fire = alarm_fire,
		                    .l = l,
		                    .fired = &fired,
		                    .expected = COUNT,
		                    .done = &done};
		a->due_us = clock->now(clock).mono_us + delay_ms * 1000;
		timer_start(l, &a->timer, delay_ms);
	}
	assert_true(loop_run_until(l, &done, PATIENCE_MS));
	assert_int_equal(fired, COUNT);
	free(alarms);
	loop_free(l);
}

TEST(timer__a_stopped_one_stays_silent_and_a_restarted_one_waits_anew)
{
	struct loop *l = new_loop(clock_system());
	struct clock *clock = clock_system();
	unsigned stopped = 0, fired = 0;
	bool done = false;
	struct alarm silent = {.timer.fire = alarm_fire, .l = l, .fired = &stopped};
	struct alarm moved = {
		.timer.fire = alarm_fire, .l = l, .fired = &fired, .expected = 1, .done = &done};

	timer_start(l, &silent.timer, 5);
	timer_start(l, &moved.timer, 5);
	moved.due_us = clock->now(clock).mono_us + 60000;
	timer_start(l, &moved.timer, 60);
	timer_stop(l, &silent.timer);
	assert_false(timer_is_running(&silent.timer));
	assert_true(loop_run_until(l, &done, PATIENCE_MS));
	assert_int_equal(stopped, 0);
	assert_int_equal(fired, 1);
	loop_free(l);
}

TEST(timer__the_loops_own_clock_decides)
{
	struct clock_manual clock;
	struct loop *l;
	unsigned fired = 0;
	bool done = false;
	struct alarm a = {.timer.fire = alarm_fire, .fired = &fired, .expected = 1, .done = &done};

	clock_manual_init(&clock, (struct now){.wall_ms = 1000, .mono_us = 1});
	a.l = l = new_loop(&clock.base);
	a.due_us = 3600 * 1000000ll + 1;
	timer_start(l, &a.timer, 3600 * 1000);
	assert_false(loop_run_until(l, &done, 20));
	clock_manual_advance(&clock, 3600 * 1000000ll - 1);
	assert_false(loop_run_until(l, &done, 20));
	clock_manual_advance(&clock, 4000);
	assert_true(loop_run_until(l, &done, PATIENCE_MS));
	loop_free(l);
}

/* --- messages ------------------------------------------------------------------------ */

enum { LETTERS = 100000, SENDERS = 2 };

struct letter {
	struct message message;
	unsigned sender, number;
	struct mail *mail;
};

struct mail {
	struct loop *l;
	unsigned next[SENDERS]; /* the number that must come next */
	unsigned disorder;
	bool done;
	struct letter *letters[SENDERS];
};

static void letter_deliver(struct message *m)
{
	struct letter *letter = CONTAINER_OF(m, struct letter, message);
	struct mail *mail = letter->mail;

	if (letter->number != mail->next[letter->sender]++)
		mail->disorder++;
	mail->done = mail->next[0] == LETTERS && mail->next[1] == LETTERS;
}

static void *send_letters(void *arg)
{
	struct letter *letters = arg;

	for (unsigned i = 0; i < LETTERS; i++)
		loop_post(letters[i].mail->l, &letters[i].message);
	return NULL;
}

TEST(loop_post__keeps_each_senders_order)
{
	struct mail mail = {.l = new_loop(clock_system())};
	pthread_t threads[SENDERS];

	for (unsigned s = 0; s < SENDERS; s++) {
		mail.letters[s] = calloc(LETTERS, sizeof(struct letter));
		for (unsigned i = 0; i < LETTERS; i++)
			mail.letters[s][i] = (struct letter){.message.deliver = letter_deliver,
			                                     .sender = s,
			                                     .number = i,
			                                     .mail = &mail};
		pthread_create(&threads[s], NULL, send_letters, mail.letters[s]);
	}
	assert_true(loop_run_until(mail.l, &mail.done, PATIENCE_MS));
	assert_int_equal(mail.disorder, 0);
	for (unsigned s = 0; s < SENDERS; s++) {
		pthread_join(threads[s], NULL);
		free(mail.letters[s]);
	}
	loop_free(mail.l);
}

/* Two loops on two threads pass one message to and fro. */
struct ball {
	struct message message;
	struct loop *loops[2];
	unsigned passes;
	bool done; /* of the first loop */
};

static void ball_deliver(struct message *m)
{
	struct ball *ball = CONTAINER_OF(m, struct ball, message);

	if (++ball->passes == 2001) { /* on the first loop */
		ball->done = true;
		loop_stop(ball->loops[1]);
		return;
	}
	loop_post(ball->loops[ball->passes % 2], m);
}

/* Writes down which letter came, and in which turn. */
struct postcard {
	struct message message;
	struct task after;
	char letter;
	char *text;
	struct loop *l;
};

static void turn_ends(struct task *t)
{
	struct postcard *p = CONTAINER_OF(t, struct postcard, after);

	strcat(p->text, "|");
}

static void postcard_deliver(struct message *m)
{
	struct postcard *p = CONTAINER_OF(m, struct postcard, message);

	strncat(p->text, &p->letter, 1);
	if (p->letter == 'c')
		loop_defer(p->l, LOOP_WORK, &p->after);
}

TEST(mailbag__all_arrive_in_order_in_one_turn)
{
	struct loop *loops[] = {new_loop(clock_system()), new_loop(clock_system())};
	struct mailbag bag = {0};
	struct postcard cards[4];
	char texts[2][16] = {"", ""};

	for (unsigned i = 0; i < 4; i++) {
		unsigned to = i == 3; /* the last is for the other loop: those before it leave */

		cards[i] = (struct postcard){.message.deliver = postcard_deliver,
		                             .after.run = turn_ends,
		                             .letter = (char)('a' + i),
		                             .text = texts[to],
		                             .l = loops[to]};
		mailbag_put(&bag, loops[to], &cards[i].message);
	}
	loop_turn(loops[0], PATIENCE_MS);
	loop_turn(loops[1], 0);
	assert_string_equal(texts[0], "abc|");
	assert_string_equal(texts[1], "");
	mailbag_send(&bag);
	mailbag_send(&bag); /* it is empty now */
	loop_turn(loops[1], PATIENCE_MS);
	assert_string_equal(texts[1], "d");
	loop_free(loops[0]);
	loop_free(loops[1]);
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

TEST(loop_post__wakes_a_sleeping_loop)
{
	struct ball ball = {.message.deliver = ball_deliver,
	                    .loops = {new_loop(clock_system()), new_loop(clock_system())}};
	pthread_t thread;

	pthread_create(&thread, NULL, run_loop, ball.loops[1]);
	loop_post(ball.loops[1], &ball.message);
	assert_true(loop_run_until(ball.loops[0], &ball.done, PATIENCE_MS));
	pthread_join(thread, NULL);
	loop_free(ball.loops[0]);
	loop_free(ball.loops[1]);
}

TEST(loop_stop__before_the_run_is_not_lost)
{
	struct loop *l = new_loop(clock_system());

	loop_stop(l);
	loop_run(l);
	loop_free(l);
}

/* --- one moment a turn --------------------------------------------------------------- */

struct witness {
	struct message message;
	struct timer timer;
	struct task task;
	struct loop *l;
	int64_t message_us, timer_us;
	bool done;
};

static void witness_task(struct task *t)
{
	struct witness *w = CONTAINER_OF(t, struct witness, task);

	assert_int_equal(loop_now(w->l).mono_us, w->message_us);
	w->done = true;
}

static void witness_timer(struct timer *t)
{
	struct witness *w = CONTAINER_OF(t, struct witness, timer);

	w->timer_us = loop_now(w->l).mono_us;
	loop_post(w->l, &w->message);
}

static void witness_message(struct message *m)
{
	struct witness *w = CONTAINER_OF(m, struct witness, message);
	struct clock *c = clock_system();

	w->message_us = loop_now(w->l).mono_us;
	assert_true(w->message_us > w->timer_us); /* another turn */
	while (c->now(c).mono_us < w->message_us + 2000)
		;
	loop_defer(w->l, LOOP_COMMIT, &w->task);
}

TEST(loop_now__stands_still_within_a_turn)
{
	struct witness w = {.message.deliver = witness_message,
	                    .timer.fire = witness_timer,
	                    .task.run = witness_task,
	                    .l = new_loop(clock_system())};

	timer_start(w.l, &w.timer, 1);
	assert_true(loop_run_until(w.l, &w.done, PATIENCE_MS));
	loop_free(w.l);
}

/* --- work and signals ---------------------------------------------------------------- */

enum { JOBS = 200 };

struct job {
	struct work work;
	pthread_t loop_thread, ran_on;
	unsigned runs, dones;
	unsigned *left;
	bool *all_done;
};

static void job_run(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	j->ran_on = pthread_self();
	j->runs++;
}

static void job_done(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	assert_true(pthread_equal(pthread_self(), j->loop_thread));
	assert_false(pthread_equal(j->ran_on, j->loop_thread));
	assert_int_equal(j->runs, 1);
	j->dones++;
	*j->all_done = --*j->left == 0;
}

TEST(loop_work__runs_elsewhere_and_is_done_here_once)
{
	struct loop *l = new_loop(clock_system());
	struct job *jobs = calloc(JOBS, sizeof(*jobs));
	unsigned left = JOBS;
	bool done = false;

	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){.work = {.run = job_run, .done = job_done},
		                       .loop_thread = pthread_self(),
		                       .left = &left,
		                       .all_done = &done};
		loop_work(l, &jobs[i].work);
	}
	assert_true(loop_run_until(l, &done, PATIENCE_MS));
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(jobs[i].dones, 1);
	free(jobs);
	loop_free(l);
}

struct sentry {
	struct signal_watch watch;
	int signum;
	bool seen;
};

static void sentry_came(struct signal_watch *w, int signum)
{
	struct sentry *s = CONTAINER_OF(w, struct sentry, watch);

	s->signum = signum;
	s->seen = true;
}

TEST(loop_on_signal__tells_the_loop)
{
	struct loop *l = new_loop(clock_system());
	struct sentry hup = {.watch.came = sentry_came}, term = {.watch.came = sentry_came};

	assert_int_equal(loop_on_signal(l, SIGHUP, &hup.watch, NULL), OK);
	assert_int_equal(loop_on_signal(l, SIGTERM, &term.watch, NULL), OK);
	kill(getpid(), SIGTERM);
	assert_true(loop_run_until(l, &term.seen, PATIENCE_MS));
	assert_int_equal(term.signum, SIGTERM);
	assert_false(hup.seen);
	loop_free(l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(loop_defer__stages_run_in_order_and_before_the_loop_blocks),
		cmocka_unit_test(loop_defer__a_write_cannot_hold_the_turn),
		cmocka_unit_test(timer__many_are_never_early_and_all_come),
		cmocka_unit_test(timer__a_stopped_one_stays_silent_and_a_restarted_one_waits_anew),
		cmocka_unit_test(timer__the_loops_own_clock_decides),
		cmocka_unit_test(loop_post__keeps_each_senders_order),
		cmocka_unit_test(loop_post__wakes_a_sleeping_loop),
		cmocka_unit_test(mailbag__all_arrive_in_order_in_one_turn),
		cmocka_unit_test(loop_stop__before_the_run_is_not_lost),
		cmocka_unit_test(loop_now__stands_still_within_a_turn),
		cmocka_unit_test(loop_work__runs_elsewhere_and_is_done_here_once),
		cmocka_unit_test(loop_on_signal__tells_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
