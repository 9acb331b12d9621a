#include "store/verify/verify.h"

#include "base/buf.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/rocksdb/verify_rocksdb.h"
#include "store/verify/verify_pass.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROGRESS_BYTES = 1 << 20 };

#define FROM_BACKUP "restore the whole directory from a backup"

/* --- what all parts use ---------------------------------------------------------------------- */

void verify_say(struct verify_pass *v, struct verify_finding finding, const char *format, ...)
{
	char what[VERIFY_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	finding.what = what;
	if (finding.is_damage)
		v->totals->damages++;
	v->config->found(v->config->arg, &finding);
}

enum err verify_progress(struct verify_pass *v, int64_t bytes, struct fault *f)
{
	v->done_bytes += bytes;
	if (v->done_bytes - v->shown_bytes < PROGRESS_BYTES)
		return OK;
	v->shown_bytes = v->done_bytes;
	if (v->config->progress(v->config->arg, v->done_bytes, v->all_bytes))
		return OK;
	return fault_set(f, ERR_SHUTTING_DOWN, 0, "not all of %s was read", v->dir.path);
}

const char *verify_path(const struct verify_pass *v, const char *name,
                        char into[DATADIR_FILE_BYTES_MAX])
{
	snprintf(into, DATADIR_FILE_BYTES_MAX, "%s/%s", v->dir.path, name);
	return into;
}

/* What a purge has passed already costs nothing. */
const char *verify_remedy(const struct checked_partition *p, int64_t to,
                          char into[VERIFY_TEXT_BYTES])
{
	if (to <= p->log_start)
		snprintf(into, VERIFY_TEXT_BYTES,
		         "none is needed: it lies below the log start, %lld",
		         (long long)p->log_start);
	else if (to == INT64_MAX)
		snprintf(into, VERIFY_TEXT_BYTES,
		         "restore the directory from a backup, or start the broker and delete the "
		         "topic");
	else
		snprintf(into, VERIFY_TEXT_BYTES,
		         "restore the directory from a backup, or start the broker and purge this "
		         "partition up to %lld: what is below is lost then",
		         (long long)to);
	return into;
}

void verify_plan_cut(struct checked_partition *p, int64_t from, int64_t to)
{
	if (to <= p->log_start)
		return;
	if (p->cut_at < 0 || from < p->cut_at)
		p->cut_at = from;
}

void verify_plan_impossible(struct verify_pass *v, const char *why)
{
	if (v->config->plan && !v->config->plan->impossible)
		v->config->plan->impossible = why;
}

/* --- topics ----------------------------------------------------------------------------------- */

static struct checked_topic *topic_find(struct verify_pass *v, const struct uuid *uuid)
{
	struct checked_topic *t;

	HASH_FIND(hh, v->topics, uuid, sizeof(*uuid), t);
	return t;
}

static struct checked_topic *topic_add(struct verify_pass *v, const struct uuid *uuid)
{
	struct checked_topic *t = calloc(1, sizeof(*t));

	CHECK(t);
	t->uuid = *uuid;
	HASH_ADD(hh, v->topics, uuid, sizeof(t->uuid), t);
	CHECK(hash_took(&t->hh));
	return t;
}

static void adopt_topic(void *arg, const struct topic_spec *spec)
{
	struct verify_pass *v = arg;
	struct checked_topic *t = topic_add(v, &spec->uuid);

	memcpy(t->name, spec->name, sizeof(t->name));
	t->durability = spec->settings.durability;
	t->partition_count = spec->partition_count;
	t->partitions = calloc(t->partition_count, sizeof(*t->partitions));
	CHECK(t->partitions);
	for (uint32_t i = 0; i < t->partition_count; i++)
		t->partitions[i] = (struct checked_partition){
			.topic = t, .index = i, .saved.damage = {-1, -1}, .cut_at = -1};
	v->totals->topics++;
	v->totals->partitions += t->partition_count;
}

static void topics_free(struct verify_pass *v)
{
	struct checked_topic *t, *after;

	HASH_ITER (hh, v->topics, t, after) {
		HASH_DELETE(hh, v->topics, t);
		for (uint32_t i = 0; t->partitions && i < t->partition_count; i++)
			free(t->partitions[i].saved.segments);
		free(t->partitions);
		free(t);
	}
}

struct checked_partition *verify_partition(struct verify_pass *v, const struct uuid *topic,
                                           uint32_t partition, const char *file, int64_t at)
{
	struct checked_topic *t = topic_find(v, topic);

	if (t && partition < t->partition_count)
		return &t->partitions[partition];
	if (!v->catalog || (t && t->is_stranger))
		return NULL;
	if (!t && catalog_state(v->catalog, topic) == CATALOG_DELETED)
		return NULL;
	if (!t) {
		t = topic_add(v, topic);
		t->is_stranger = true;
		uuid_format(topic, t->name);
	}
	verify_say(v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = file,
	                                   .at = at,
	                                   .topic = t->name,
	                                   .partition = partition,
	                                   .from = -1,
	                                   .remedy = "restore catalog/ from a backup; the broker "
	                                             "does not start like this"},
	           "the catalog does not know this partition");
	verify_plan_impossible(v, "the catalog is damaged; restore it from a backup");
	return NULL;
}

/* A directory of a topic must be one that the catalog knows. */
static int check_topic_dir(void *arg, const char *name)
{
	struct verify_pass *v = arg;
	char path[DATADIR_FILE_BYTES_MAX];
	struct uuid uuid;

	if (uuid_parse(slice_str(name), &uuid))
		verify_partition(v, &uuid, 0, verify_path(v, "topics", path), -1);
	return 0;
}

static enum err list_topic_dirs(struct verify_pass *v, struct fault *f)
{
	char path[DATADIR_FILE_BYTES_MAX];
	int got;

	verify_path(v, "topics", path);
	got = v->config->disk->ops->list(v->config->disk, path, check_topic_dir, v);
	if (got < 0 && got != -ENOENT)
		return fault_set(f, ERR_IO, -got, "list %s", path);
	return OK;
}

/* --- manifests -------------------------------------------------------------------------------- */

static enum err read_manifest(struct verify_pass *v, const char *name, struct buf *bytes,
                              struct manifest *out, struct fault *f)
{
	char path[DATADIR_FILE_BYTES_MAX];
	enum err err = disk_read_file(v->config->disk, verify_path(v, name, path), bytes, f);

	if (err)
		return err;
	return manifest_check(buf_slice(bytes), &v->dir.id, out, f);
}

static void say_manifest(struct verify_pass *v, const char *name, const char *remedy,
                         const struct fault *why)
{
	char path[DATADIR_FILE_BYTES_MAX];
	char text[VERIFY_TEXT_BYTES];

	verify_say(v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = verify_path(v, name, path),
	                                   .at = -1,
	                                   .from = -1,
	                                   .remedy = remedy},
	           "%s", fault_text(why, text, sizeof(text)));
}

static int any_name(void *arg, const char *name __attribute__((unused)))
{
	*(bool *)arg = true;
	return 0;
}

static bool has_any(const struct verify_pass *v, const char *name)
{
	char path[DATADIR_FILE_BYTES_MAX];
	bool any = false;

	return v->config->disk->ops->list(v->config->disk, verify_path(v, name, path), any_name,
	                                  &any) >= 0 &&
	       any;
}

/* `now` and `before`: how reading the two went. */
static void say_manifests(struct verify_pass *v, const struct fault *now,
                          const struct fault *before)
{
	bool is_lost = now->code == ERR_NOT_FOUND && before->code == ERR_NOT_FOUND;

	if (now->code && now->code != ERR_NOT_FOUND)
		say_manifest(v, "manifest",
		             before->code ? FROM_BACKUP
		                          : "start the broker: it goes by manifest.prev and what "
		                            "segments hold beyond it; trims since then are lost",
		             now);
	if (before->code && before->code != ERR_NOT_FOUND)
		say_manifest(v, "manifest.prev",
		             now->code ? FROM_BACKUP
		                       : "none is needed: the next snapshot replaces it",
		             before);
	if (is_lost && has_any(v, "topics"))
		say_manifest(v, "manifest", FROM_BACKUP, now);
	if (now->code && (now->code != ERR_NOT_FOUND || before->code))
		verify_plan_impossible(v, "there is no whole manifest; start the broker once, if "
		                          "manifest.prev is whole, else restore a backup");
}

/* As a start finds it: `manifest`, or else the one before. `bytes` is what is gone by. */
static enum err find_manifest(struct verify_pass *v, struct buf *bytes, struct fault *f)
{
	struct buf prev = BUF_INIT(MANIFEST_BYTES_MAX);
	struct manifest before;
	struct fault why = {0}, why_prev = {0};

	why.code = read_manifest(v, "manifest", bytes, &v->manifest, &why);
	why_prev.code = read_manifest(v, "manifest.prev", &prev, &before, &why_prev);
	if (why.code == ERR_DIR_NEWER || why_prev.code == ERR_DIR_NEWER) {
		*f = why.code == ERR_DIR_NEWER ? why : why_prev;
		buf_fini(&prev);
		return ERR_DIR_NEWER;
	}
	say_manifests(v, &why, &why_prev);
	v->has_manifest = !why.code || !why_prev.code;
	if (why.code && !why_prev.code) {
		struct buf bad = *bytes;

		v->fallback = why.code != ERR_NOT_FOUND;
		v->manifest = before;
		*bytes = prev;
		prev = bad;
	}
	buf_fini(&prev);
	if (v->config->plan && v->has_manifest)
		v->config->plan->manifest_crc = verify_plan_crc(buf_slice(bytes));
	return OK;
}

static enum err adopt_partition(void *arg, const struct uuid *topic, uint32_t index,
                                const struct saved *s, struct fault *f __attribute__((unused)))
{
	struct verify_pass *v = arg;
	char path[DATADIR_FILE_BYTES_MAX];
	struct checked_partition *p =
		verify_partition(v, topic, index, verify_path(v, "manifest", path), -1);

	if (!p)
		return OK;
	p->saved = *s;
	p->saved.segments = calloc(s->segment_count + 1, sizeof(*s->segments));
	CHECK(p->saved.segments);
	for (uint32_t i = 0; i < s->segment_count; i++) {
		p->saved.segments[i] = s->segments[i];
		v->all_bytes += s->segments[i].bytes;
	}
	p->log_start = s->log_start;
	p->log_end = s->end_offset;
	return OK;
}

/* --- the pass --------------------------------------------------------------------------------- */

static enum err examine(struct verify_pass *v, struct fault *f)
{
	struct buf manifest = BUF_INIT(MANIFEST_BYTES_MAX);
	enum err err = find_manifest(v, &manifest, f);

	if (!err)
		err = verify_catalog(v, v->has_manifest, f);
	if (!err && v->catalog)
		catalog_each(v->catalog, CATALOG_LIVE, adopt_topic, v);
	if (!err && v->has_manifest)
		err = manifest_decode(buf_slice(&manifest), &v->dir.id, &v->manifest,
		                      adopt_partition, v, f);
	buf_fini(&manifest);
	if (!err)
		err = list_topic_dirs(v, f);
	if (!err && v->fallback)
		err = verify_segments_rescan(v, f);
	if (!err)
		err = verify_wal(v, f);
	if (!err && !v->fallback)
		err = verify_segments(v, f);
	return err;
}

static enum err examine_rocksdb(struct verify_pass *v, struct fault *f)
{
	enum err err = verify_rocksdb_can(f);

	if (!err)
		err = verify_catalog(v, true, f);
	if (!err && v->catalog)
		catalog_each(v->catalog, CATALOG_LIVE, adopt_topic, v);
	return err ? err : verify_rocksdb(v, f);
}

static void fill_plan(struct verify_pass *v, struct verify_plan *plan)
{
	struct checked_topic *t, *after;

	HASH_ITER (hh, v->topics, t, after) {
		for (uint32_t i = 0; t->partitions && i < t->partition_count; i++) {
			const struct checked_partition *p = &t->partitions[i];
			struct cut_partition *cut;

			if (p->cut_at < 0)
				continue;
			plan->partitions = reallocarray(plan->partitions, plan->partition_count + 1,
			                                sizeof(*cut));
			CHECK(plan->partitions);
			cut = &plan->partitions[plan->partition_count++];
			*cut = (struct cut_partition){
				.topic = t->uuid, .index = i, .from = p->cut_at, .to = p->log_end};
			memcpy(cut->name, t->name, sizeof(cut->name));
		}
	}
}

/* NULL: of an engine that nobody here knows. */
static enum err (*parts_of(const char *engine))(struct verify_pass *v, struct fault *f)
{
	static const struct {
		const char *engine;
		enum err (*examine)(struct verify_pass *v, struct fault *f);
	} kinds[] = {{"memory", examine}, {"log", examine}, {"rocksdb", examine_rocksdb}};

	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		if (strcmp(engine, kinds[i].engine) == 0)
			return kinds[i].examine;
	return NULL;
}

static void say_marker(struct verify_pass *v, const struct fault *why)
{
	char path[DATADIR_FILE_BYTES_MAX];

	snprintf(path, sizeof(path), "%.*s/bourn.dir", DATADIR_PATH_BYTES_MAX, v->config->path);
	verify_say(v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = path,
	                                   .at = -1,
	                                   .from = -1,
	                                   .remedy = "restore this file from a backup; without it "
	                                             "nothing else can be checked"},
	           "%s", err_text(why->code));
	verify_plan_impossible(v, "bourn.dir is damaged; restore it from a backup");
}

enum err verify_run(const struct verify_config *config, struct verify_totals *out, struct fault *f)
{
	struct verify_pass v = {.config = config, .totals = out};
	char engine[DATADIR_ENGINE_BYTES];
	enum err (*look)(struct verify_pass * v, struct fault * f);
	enum err err;

	*out = (struct verify_totals){0};
	err = datadir_examine(config->path, config->disk, &v.dir, engine, f);
	if (err == ERR_CORRUPT) {
		say_marker(&v, f);
		return OK;
	}
	if (err)
		return err;
	look = parts_of(engine);
	if (!look) {
		datadir_close(&v.dir);
		return fault_set(f, ERR_NOT_IMPLEMENTED, 0, "%s is kept by engine \"%s\"",
		                 config->path, engine);
	}
	v.log = log_new(STDERR_FILENO, LOG_OFF, false, config->clock);
	err = look(&v, f);
	if (!err && config->plan)
		fill_plan(&v, config->plan);
	topics_free(&v);
	if (v.catalog)
		catalog_close(v.catalog);
	log_free(v.log);
	datadir_close(&v.dir);
	return err;
}
