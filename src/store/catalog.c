#include "store/catalog.h"

#include "base/check.h"
#include "base/hash.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/catalog_snapshot.h"
#include "store/wal_recover.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	RECORD_VERSION = 1,
	RECORD_PREFIX_BYTES = 4,
	RECORD_BYTES_MAX = 1024,
	SNAPSHOT_BYTES_MAX = 64 << 20,
	SNAPSHOT_PATH_BYTES = 4096,
	WAL_FILE_BYTES = 1 << 20,
	WAL_RESERVE_BYTES = 128 << 10,
	COMPACT_BYTES =
		8 << 20, /* of WAL, before it is replaced by a snapshot: 2048 single changes */
};

/* CREATING and DELETING while that record is on its way to disk: both keep the name. */
enum entry_state { ENTRY_CREATING, ENTRY_LIVE, ENTRY_DELETING, ENTRY_DELETED };

/* A topic's spec, with no more room for the name than it takes. Deleted: only the UUID. */
struct entry {
	struct uuid uuid;
	enum entry_state state;
	uint32_t partition_count;
	int64_t created_at_ms;
	struct topic_settings settings;
	char engine[sizeof(((struct topic_spec *)0)->engine)];
	UT_hash_handle by_uuid;
	UT_hash_handle by_name; /* in it unless deleted */
	char name[];            /* NUL-terminated */
};

struct catalog {
	struct disk *disk;
	struct log *log;
	struct loop *loop;
	struct uuid store_id;
	char *dir;
	struct wal *wal;
	struct entry *by_uuid;
	struct entry *by_name;
	size_t deleted_count;
	unsigned changes; /* under way */
	bool compacting;
	struct wal_roll roll;
	struct work write_snapshot;
	struct buf snapshot;
	struct fault snapshot_fault;
	uint64_t snapshot_sequence;
};

/* --- the table -------------------------------------------------------------------------------- */

static struct entry *find_uuid(const struct catalog *c, const struct uuid *uuid)
{
	struct entry *e;

	HASH_FIND(by_uuid, c->by_uuid, uuid, sizeof(*uuid), e);
	return e;
}

static struct entry *find_name(const struct catalog *c, const char *name)
{
	struct entry *e;

	HASH_FIND(by_name, c->by_name, name, strlen(name), e);
	return e;
}

/* False: there is no memory. */
static bool entry_add(struct catalog *c, const struct topic_spec *spec, enum entry_state state)
{
	size_t name_len = strlen(spec->name);
	struct entry *e = calloc(1, sizeof(*e) + name_len + 1);

	if (!e)
		return false;
	e->uuid = spec->uuid;
	e->state = state;
	e->partition_count = spec->partition_count;
	e->created_at_ms = spec->created_at_ms;
	e->settings = spec->settings;
	memcpy(e->engine, spec->engine, sizeof(e->engine));
	memcpy(e->name, spec->name, name_len);
	HASH_ADD(by_uuid, c->by_uuid, uuid, sizeof(e->uuid), e);
	if (!hash_took(&e->by_uuid))
		goto free_entry;
	if (state == ENTRY_DELETED) {
		c->deleted_count++;
		return true;
	}
	HASH_ADD(by_name, c->by_name, name, name_len, e);
	if (hash_took(&e->by_name))
		return true;
	HASH_DELETE(by_uuid, c->by_uuid, e);
free_entry:
	free(e);
	return false;
}

static void entry_bury(struct catalog *c, struct entry *e)
{
	HASH_DELETE(by_name, c->by_name, e);
	e->state = ENTRY_DELETED;
	c->deleted_count++;
}

static void entry_remove(struct catalog *c, struct entry *e)
{
	if (e->state == ENTRY_DELETED)
		c->deleted_count--;
	else
		HASH_DELETE(by_name, c->by_name, e);
	HASH_DELETE(by_uuid, c->by_uuid, e);
	free(e);
}

/* On disk as far as anybody was told. */
static bool is_live(const struct entry *e)
{
	return e->state == ENTRY_LIVE || e->state == ENTRY_DELETING;
}

enum catalog_state catalog_state(const struct catalog *c, const struct uuid *topic)
{
	const struct entry *e = find_uuid(c, topic);

	if (!e || e->state == ENTRY_CREATING)
		return CATALOG_UNKNOWN;
	return is_live(e) ? CATALOG_LIVE : CATALOG_DELETED;
}

static struct topic_spec entry_spec(const struct entry *e)
{
	struct topic_spec spec = {
		.uuid = e->uuid,
		.partition_count = e->partition_count,
		.created_at_ms = e->created_at_ms,
		.settings = e->settings,
	};

	memcpy(spec.name, e->name, strlen(e->name));
	memcpy(spec.engine, e->engine, sizeof(spec.engine));
	return spec;
}

static void entry_give(const struct entry *e, catalog_each_cb *each, void *arg)
{
	const struct topic_spec spec = entry_spec(e);

	each(arg, &spec);
}

void catalog_each(const struct catalog *c, enum catalog_state state, catalog_each_cb *each,
                  void *arg)
{
	struct entry *e, *after;

	HASH_ITER (by_uuid, c->by_uuid, e, after)
		if (state == CATALOG_LIVE ? is_live(e) : e->state == ENTRY_DELETED)
			entry_give(e, each, arg);
}

size_t catalog_count(const struct catalog *c, enum catalog_state state)
{
	size_t all = HASH_CNT(by_uuid, c->by_uuid);

	return state == CATALOG_LIVE ? all - c->deleted_count : c->deleted_count;
}

void catalog_forget(struct catalog *c, const struct uuid *topic)
{
	struct entry *e = find_uuid(c, topic);

	CHECK(e != NULL);
	CHECK(e->state == ENTRY_DELETED);
	entry_remove(c, e);
}

static void table_free(struct catalog *c)
{
	struct entry *e, *after;

	HASH_CLEAR(by_name, c->by_name);
	HASH_ITER (by_uuid, c->by_uuid, e, after) {
		HASH_DELETE(by_uuid, c->by_uuid, e);
		free(e);
	}
}

/* --- recovery --------------------------------------------------------------------------------- */

static enum err recover_created(struct catalog *c, const struct topic_spec *spec, struct fault *f)
{
	if (find_uuid(c, &spec->uuid) || find_name(c, spec->name))
		return fault_set(f, ERR_CORRUPT, 0, "topic %s was created twice", spec->name);
	CHECK(entry_add(c, spec, ENTRY_LIVE)); /* at start there is memory, or no start */
	return OK;
}

static enum err recover_topic(void *arg, const struct topic_spec *spec, bool deleted,
                              struct fault *f)
{
	struct catalog *c = arg;

	if (!deleted)
		return recover_created(c, spec, f);
	if (find_uuid(c, &spec->uuid))
		return fault_set(f, ERR_CORRUPT, 0, "a topic is both there and deleted");
	CHECK(entry_add(c, spec, ENTRY_DELETED));
	return OK;
}

/* Of what a topic is, this can change. */
static void alter(struct entry *e, const struct topic_spec *change)
{
	e->settings = change->settings;
	e->partition_count = change->partition_count;
}

static enum err recover_spec(struct catalog *c, enum catalog_verb verb, struct slice rest,
                             struct fault *f)
{
	struct topic_spec spec;
	struct entry *e;
	enum err err = topic_spec_decode(&rest, &spec, f);

	if (err)
		return err;
	if (rest.len > 0)
		return fault_set(f, ERR_CORRUPT, 0, "%zu bytes too many", rest.len);
	if (verb == CATALOG_CREATE)
		return recover_created(c, &spec, f);
	e = find_uuid(c, &spec.uuid);
	if (!e || e->state != ENTRY_LIVE)
		return fault_set(f, ERR_CORRUPT, 0, "a topic was changed that is not there");
	if (spec.partition_count < e->partition_count)
		return fault_set(f, ERR_CORRUPT, 0, "topic %s lost partitions", spec.name);
	alter(e, &spec);
	return OK;
}

static enum err recover_deleted(struct catalog *c, struct slice rest, struct fault *f)
{
	struct uuid uuid;
	struct entry *e;

	if (rest.len != sizeof(uuid.bytes))
		return fault_set(f, ERR_CORRUPT, 0, "a deletion is malformed");
	memcpy(uuid.bytes, rest.ptr, sizeof(uuid.bytes));
	e = find_uuid(c, &uuid);
	if (!e || e->state != ENTRY_LIVE)
		return fault_set(f, ERR_CORRUPT, 0, "a topic was deleted that is not there");
	entry_bury(c, e);
	return OK;
}

static enum err recover_record(void *arg, const struct wal_frame *frame, struct fault *f)
{
	struct catalog *c = arg;
	struct slice rest = frame->payload;
	enum catalog_verb verb;

	if (frame->type != WAL_CATALOG)
		return OK;
	if (rest.len < RECORD_PREFIX_BYTES)
		return fault_set(f, ERR_CORRUPT, 0, "a record is cut short");
	if (rest.ptr[0] > RECORD_VERSION)
		return fault_set(f, ERR_DIR_NEWER, 0, "record version %u", rest.ptr[0]);
	verb = rest.ptr[1];
	rest = slice_of(rest.ptr + RECORD_PREFIX_BYTES, rest.len - RECORD_PREFIX_BYTES);
	switch (verb) {
	case CATALOG_CREATE:
	case CATALOG_ALTER: return recover_spec(c, verb, rest, f);
	case CATALOG_DELETE: return recover_deleted(c, rest, f);
	}
	return fault_set(f, ERR_DIR_NEWER, 0, "record of unknown kind %u", (unsigned)verb);
}

/* What is wrong, where, and what to do; a refused start must say all three. */
static enum err refuse(struct fault *f, enum err err, const char *file)
{
	struct fault cause = *f;

	if (err != ERR_CORRUPT)
		return fault_set(f, err, cause.os_errno, "%s: %s", file, cause.where);
	return fault_set(f, err, 0, "%s: %s; restore catalog/ from a backup", file, cause.where);
}

static enum err read_snapshot(struct catalog *c, uint64_t *sequence, struct fault *f)
{
	struct buf bytes = BUF_INIT(SNAPSHOT_BYTES_MAX);
	char path[SNAPSHOT_PATH_BYTES];
	enum err err;

	snprintf(path, sizeof(path), "%s/snapshot", c->dir);
	err = disk_read_file(c->disk, path, &bytes, f);
	if (err == ERR_NOT_FOUND) {
		*sequence = 0;
		return OK;
	}
	if (!err)
		err = catalog_snapshot_decode(buf_slice(&bytes), &c->store_id, sequence,
		                              recover_topic, c, f);
	buf_fini(&bytes);
	return err ? refuse(f, err, path) : OK;
}

static struct wal_config wal_config_of(const struct catalog_config *config, uint64_t checkpointed)
{
	return (struct wal_config){
		.dir = config->dir,
		.kind = "ctlg",
		.store_id = config->store_id,
		.checkpointed = checkpointed,
		.disk = config->disk,
		.clock = config->clock,
		.entropy = config->entropy,
		.log = config->log,
		.file_bytes = WAL_FILE_BYTES,
		.reserve_bytes = WAL_RESERVE_BYTES,
		.flush_ms = 50,
		.mark_before_ack = true,
	};
}

static enum err open_wal(struct catalog *c, const struct catalog_config *config,
                         uint64_t checkpointed, struct fault *f)
{
	const struct wal_config wal = wal_config_of(config, checkpointed);
	struct wal_recovery report = {0};
	enum err err = wal_open(&wal, recover_record, c, &report, &c->wal, f);

	if (err)
		return refuse(f, err, c->dir);
	if (report.damage_count > 0) {
		const struct wal_damage *d = &report.damages[0];

		wal_close(c->wal);
		err = fault_set(
			f, ERR_CORRUPT, 0,
			"%s/%llu.wal is damaged at byte %lld; restore catalog/ from a backup",
			c->dir, (unsigned long long)d->file, (long long)d->at);
	}
	free(report.damages);
	return err;
}

static struct catalog *catalog_new(const struct catalog_config *config)
{
	struct catalog *c = calloc(1, sizeof(*c));

	CHECK(c);
	c->disk = config->disk;
	c->log = config->log;
	c->loop = config->loop;
	c->store_id = config->store_id;
	c->dir = strdup(config->dir);
	CHECK(c->dir);
	c->snapshot = BUF_INIT(SNAPSHOT_BYTES_MAX);
	return c;
}

static void catalog_free(struct catalog *c)
{
	table_free(c);
	buf_fini(&c->snapshot);
	free(c->dir);
	free(c);
}

enum err catalog_open(const struct catalog_config *config, struct catalog **out, struct fault *f)
{
	struct catalog *c = catalog_new(config);
	uint64_t sequence;
	enum err err = read_snapshot(c, &sequence, f);

	if (!err)
		err = open_wal(c, config, sequence, f);
	if (err) {
		catalog_free(c);
		return err;
	}
	*out = c;
	return OK;
}

enum err catalog_examine(const struct catalog_config *config, struct catalog **out,
                         struct wal_found *found, struct fault *f)
{
	struct catalog *c = catalog_new(config);
	struct wal_config wal;
	uint64_t sequence;
	enum err err = read_snapshot(c, &sequence, f);

	if (!err) {
		wal = wal_config_of(config, sequence);
		err = wal_recover(&wal, recover_record, c, found, f);
		if (err)
			err = refuse(f, err, c->dir);
	}
	if (err) {
		catalog_free(c);
		return err;
	}
	*out = c;
	return OK;
}

void catalog_copy(const struct catalog *c, struct buf *out)
{
	catalog_snapshot_encode(c, &c->store_id, 0, out);
}

enum err catalog_make(const struct catalog_config *config, struct slice copy, struct fault *f)
{
	struct wal_config wal = wal_config_of(config, 0);
	enum err err;

	wal.reserve_bytes = 0;
	err = wal_make(&wal, f);
	return err ? err : disk_replace_file(config->disk, config->dir, "snapshot", copy, f);
}

bool catalog_is_idle(const struct catalog *c)
{
	return c->changes == 0 && !c->compacting;
}

void catalog_close(struct catalog *c)
{
	CHECK(catalog_is_idle(c));
	if (c->wal) /* else it was only examined */
		wal_close(c->wal);
	catalog_free(c);
}

/* --- compaction: roll, write the snapshot on a worker, free the WAL --------------------------- */

static void snapshot_written(struct work *w)
{
	struct catalog *c = CONTAINER_OF(w, struct catalog, write_snapshot);
	char text[256];

	if (c->snapshot_fault.code)
		log_line(c->log, LOG_WARN, "catalog", "snapshot not written, kept in the WAL: %s",
		         fault_text(&c->snapshot_fault, text, sizeof(text)));
	else
		wal_free_through(c->wal, c->snapshot_sequence);
	buf_fini(&c->snapshot);
	c->snapshot = BUF_INIT(SNAPSHOT_BYTES_MAX);
	c->compacting = false;
}

static void snapshot_write(struct work *w)
{
	struct catalog *c = CONTAINER_OF(w, struct catalog, write_snapshot);

	if (c->snapshot.failed)
		fault_set(&c->snapshot_fault, buf_err(&c->snapshot), 0, "%d bytes at most",
		          SNAPSHOT_BYTES_MAX);
	else if (!disk_replace_file(c->disk, c->dir, "snapshot", buf_slice(&c->snapshot),
	                            &c->snapshot_fault))
		c->snapshot_fault.code = OK;
}

/* Every change up to last_sequence was posted to this loop before, so it is in the table. */
static void rolled(struct wal_roll *r)
{
	struct catalog *c = CONTAINER_OF(r, struct catalog, roll);

	if (r->fault.code) {
		c->compacting = false;
		return;
	}
	c->snapshot_sequence = r->last_sequence;
	c->snapshot_fault = (struct fault){0};
	catalog_snapshot_encode(c, &c->store_id, r->last_sequence, &c->snapshot);
	c->write_snapshot.run = snapshot_write;
	c->write_snapshot.done = snapshot_written;
	loop_work(c->loop, &c->write_snapshot);
}

static void compact_if_grown(struct catalog *c)
{
	struct wal_stats stats = wal_stats(c->wal);

	if (c->compacting || stats.failed || stats.bytes < COMPACT_BYTES)
		return;
	c->compacting = true;
	c->roll = (struct wal_roll){.loop = c->loop, .done = rolled};
	wal_roll(c->wal, &c->roll);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void change_apply(struct catalog *c, const struct catalog_change *change)
{
	struct entry *e = find_uuid(c, &change->spec.uuid);

	CHECK(e != NULL);
	switch (change->verb) {
	case CATALOG_CREATE: e->state = ENTRY_LIVE; break;
	case CATALOG_ALTER: alter(e, &change->spec); break;
	case CATALOG_DELETE: entry_bury(c, e); break;
	}
}

static void change_undo(struct catalog *c, const struct catalog_change *change)
{
	struct entry *e = find_uuid(c, &change->spec.uuid);

	if (change->verb == CATALOG_CREATE)
		entry_remove(c, e);
	else if (change->verb == CATALOG_DELETE)
		e->state = ENTRY_LIVE;
}

static void change_written(struct wal_write *ww)
{
	struct catalog_change *change = CONTAINER_OF(ww, struct catalog_change, write);
	struct catalog *c = change->catalog;

	change->fault = ww->fault;
	if (!change->fault.code)
		change_apply(c, change);
	else
		change_undo(c, change);
	c->changes--;
	buf_fini(&change->record);
	compact_if_grown(c);
	change->done(change);
}

static void change_refused(struct task *t)
{
	struct catalog_change *change = CONTAINER_OF(t, struct catalog_change, refuse);

	change->catalog->changes--;
	change->done(change);
}

static enum err change_check(const struct catalog *c, struct catalog_change *change)
{
	const struct entry *e = find_uuid(c, &change->spec.uuid);
	struct fault *f = &change->fault;

	if (change->verb != CATALOG_CREATE) {
		if (!e || e->state != ENTRY_LIVE)
			return fault_set(f, ERR_TOPIC_UNKNOWN, 0, "%s", change->spec.name);
		CHECK(change->verb != CATALOG_ALTER ||
		      change->spec.partition_count >= e->partition_count);
		return OK;
	}
	CHECK(e == NULL);
	if (find_name(c, change->spec.name))
		return fault_set(f, ERR_TOPIC_EXISTS, 0, "%s", change->spec.name);
	if (catalog_count(c, CATALOG_LIVE) >= TOPIC_COUNT_MAX)
		return fault_set(f, ERR_TOO_MANY, 0, "%d topics", TOPIC_COUNT_MAX);
	return OK;
}

static void record_encode(const struct catalog *c, struct catalog_change *change)
{
	const uint8_t prefix[RECORD_PREFIX_BYTES] = {RECORD_VERSION, (uint8_t)change->verb};
	struct topic_spec altered;

	change->record = BUF_INIT(RECORD_BYTES_MAX);
	buf_append(&change->record, prefix, sizeof(prefix));
	switch (change->verb) {
	case CATALOG_CREATE: topic_spec_encode(&change->spec, &change->record); break;
	case CATALOG_ALTER:
		altered = entry_spec(find_uuid(c, &change->spec.uuid));
		altered.settings = change->spec.settings;
		altered.partition_count = change->spec.partition_count;
		topic_spec_encode(&altered, &change->record);
		break;
	case CATALOG_DELETE:
		buf_append(&change->record, change->spec.uuid.bytes, sizeof(struct uuid));
		break;
	}
	CHECK(buf_err(&change->record) != ERR_TOO_LARGE);
}

/* Into the table, as far as it shows before it is on disk, and into a record. */
static enum err change_begin(struct catalog *c, struct catalog_change *change)
{
	enum err err = change_check(c, change);

	if (err)
		return err;
	if (change->verb == CATALOG_CREATE && !entry_add(c, &change->spec, ENTRY_CREATING))
		return fault_set(&change->fault, ERR_NO_MEMORY, 0, "%s", change->spec.name);
	if (change->verb == CATALOG_DELETE)
		find_uuid(c, &change->spec.uuid)->state = ENTRY_DELETING;
	record_encode(c, change);
	if (!change->record.failed)
		return OK;
	change_undo(c, change);
	return fault_set(&change->fault, ERR_NO_MEMORY, 0, "%s", change->spec.name);
}

void catalog_change(struct catalog *c, struct catalog_change *change)
{
	change->catalog = c;
	change->fault = (struct fault){0};
	change->refuse = (struct task){.run = change_refused};
	c->changes++;
	if (change_begin(c, change)) {
		loop_defer(c->loop, LOOP_WORK, &change->refuse);
		return;
	}
	change->write = (struct wal_write){
		.frame = {.topic = change->spec.uuid,
	                  .type = WAL_CATALOG,
	                  .durability = DURABILITY_COMMIT,
	                  .payload = buf_slice(&change->record)},
		.reserved = true,
		.loop = c->loop,
		.done = change_written,
	};
	wal_write(c->wal, &change->write);
}
