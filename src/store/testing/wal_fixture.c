#include "store/testing/wal_fixture.h"

#include "base/check.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_MS = 30000, PAYLOAD_BYTES_MAX = 3000 };

void wal_fixture_init(struct wal_fixture *fx, struct disk *disk, const char *dir)
{
	struct loop_config loop = {.clock = clock_system(), .entropy = entropy_system()};

	*fx = (struct wal_fixture){0};
	snprintf(fx->dir, sizeof(fx->dir), "%s", dir);
	fx->log = log_new(2, LOG_OFF, false, clock_system());
	fx->loop = loop_new(&loop, NULL);
	CHECK(fx->loop);
	fx->config = (struct wal_config){
		.dir = fx->dir,
		.kind = "data",
		.store_id = {{7}},
		.disk = disk,
		.clock = clock_system(),
		.entropy = entropy_system(),
		.log = fx->log,
		.file_bytes = 64 << 10,
		.reserve_bytes = 8 << 10,
		.flush_ms = 20,
	};
}

void wal_fixture_fini(struct wal_fixture *fx)
{
	if (fx->wal)
		wal_fixture_close(fx);
	wal_fixture_forget(fx);
	free(fx->report.damages);
	free(fx->replayed);
	free(fx->sequences);
	loop_free(fx->loop);
	log_free(fx->log);
}

/* --- frames --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

struct wal_frame wal_fixture_frame(int64_t id, enum durability durability)
{
	uint64_t seed = mix((uint64_t)id + 1);
	size_t len = seed % 4 ? seed % 200 : seed % PAYLOAD_BYTES_MAX;
	uint8_t *payload = malloc(len + 1);

	CHECK(payload);
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)mix(seed + i);
	return (struct wal_frame){
		.topic = {{1, 2, 3, (uint8_t)(id % 5)}},
		.partition = (uint32_t)(id % 3),
		.type = WAL_BATCHES,
		.durability = durability,
		.base_offset = id,
		.log_end = id + 1,
		.leader_epoch = (int32_t)(id % 7),
		.payload = slice_of(payload, len),
	};
}

bool wal_fixture_frame_is_right(const struct wal_frame *frame)
{
	struct wal_frame right = wal_fixture_frame(frame->base_offset, frame->durability);
	bool same = slice_eq(frame->payload, right.payload) &&
	            uuid_eq(&frame->topic, &right.topic) && frame->partition == right.partition &&
	            frame->type == right.type && frame->log_end == right.log_end &&
	            frame->leader_epoch == right.leader_epoch;

	free((void *)(uintptr_t)right.payload.ptr);
	return same;
}

/* --- opening --------------------------------------------------------------------------- */

static enum err replay(void *arg, const struct wal_frame *frame, struct fault *f)
{
	struct wal_fixture *fx = arg;
	size_t count = fx->replayed_count + 1;

	(void)f;
	fx->replayed = reallocarray(fx->replayed, count, sizeof(*fx->replayed));
	fx->sequences = reallocarray(fx->sequences, count, sizeof(*fx->sequences));
	CHECK(fx->replayed);
	CHECK(fx->sequences);
	fx->replayed[fx->replayed_count] = frame->base_offset;
	fx->sequences[fx->replayed_count] = frame->sequence;
	fx->replayed_count = count;
	if (!wal_fixture_frame_is_right(frame))
		fx->replayed_wrong = true;
	return OK;
}

enum err wal_fixture_open(struct wal_fixture *fx, struct fault *f)
{
	CHECK(!fx->wal);
	fx->replayed_count = 0;
	fx->replayed_wrong = false;
	free(fx->report.damages);
	fx->report = (struct wal_recovery){0};
	return wal_open(&fx->config, replay, fx, &fx->report, &fx->wal, f);
}

void wal_fixture_close(struct wal_fixture *fx)
{
	CHECK(fx->done_count == fx->probe_count);
	wal_close(fx->wal);
	fx->wal = NULL;
}

/* --- writing --------------------------------------------------------------------------- */

static void probe_done(struct wal_write *ww)
{
	struct wal_probe *p = CONTAINER_OF(ww, struct wal_probe, ww);
	struct wal_fixture *fx = p->fixture;

	CHECK(p->done_order == 0);
	p->done_order = ++fx->done_count;
	p->flush_count = wal_stats(fx->wal).flush_count;
	fx->all_done = fx->done_count == fx->probe_count;
}

static struct wal_probe *probe_new(struct wal_fixture *fx, int64_t id, enum durability durability)
{
	struct wal_probe *p = calloc(1, sizeof(*p));

	CHECK(p);
	p->fixture = fx;
	p->id = id;
	p->ww.frame = wal_fixture_frame(id, durability);
	p->payload = (uint8_t *)(uintptr_t)p->ww.frame.payload.ptr;
	p->ww.loop = fx->loop;
	p->ww.done = probe_done;
	fx->probes = reallocarray(fx->probes, fx->probe_count + 1, sizeof(struct wal_probe *));
	CHECK(fx->probes);
	fx->probes[fx->probe_count++] = p;
	fx->all_done = false;
	return p;
}

struct wal_probe *wal_fixture_write(struct wal_fixture *fx, int64_t id, enum durability durability)
{
	struct wal_probe *p = probe_new(fx, id, durability);

	wal_write(fx->wal, &p->ww);
	return p;
}

struct wal_probe *wal_fixture_write_reserved(struct wal_fixture *fx, int64_t id)
{
	struct wal_probe *p = probe_new(fx, id, DURABILITY_COMMIT);

	p->ww.reserved = true;
	wal_write(fx->wal, &p->ww);
	return p;
}

struct wal_probe *wal_fixture_write_after(struct wal_fixture *fx, int64_t id,
                                          const struct wal_probe *before)
{
	struct wal_probe *p = probe_new(fx, id, DURABILITY_COMMIT);

	p->ww.after = &before->ww;
	wal_write(fx->wal, &p->ww);
	return p;
}

struct wal_probe *wal_fixture_write_payload(struct wal_fixture *fx, int64_t id,
                                            struct slice payload)
{
	struct wal_probe *p = probe_new(fx, id, DURABILITY_COMMIT);

	p->ww.frame.payload = payload;
	wal_write(fx->wal, &p->ww);
	return p;
}

bool wal_fixture_wait(struct wal_fixture *fx)
{
	if (fx->done_count == fx->probe_count)
		return true;
	return loop_run_until(fx->loop, &fx->all_done, PATIENCE_MS);
}

struct roll {
	struct wal_roll base;
	bool done;
};

static void roll_done(struct wal_roll *base)
{
	CONTAINER_OF(base, struct roll, base)->done = true;
}

enum err wal_fixture_roll(struct wal_fixture *fx, uint64_t *last_sequence)
{
	struct roll r = {.base = {.loop = fx->loop, .done = roll_done}};

	wal_roll(fx->wal, &r.base);
	CHECK(loop_run_until(fx->loop, &r.done, PATIENCE_MS));
	*last_sequence = r.base.last_sequence;
	return r.base.fault.code;
}

void wal_fixture_forget(struct wal_fixture *fx)
{
	CHECK(fx->done_count == fx->probe_count);
	for (size_t i = 0; i < fx->probe_count; i++) {
		free(fx->probes[i]->payload);
		free(fx->probes[i]);
	}
	free(fx->probes);
	fx->probes = NULL;
	fx->probe_count = 0;
	fx->done_count = 0;
}
