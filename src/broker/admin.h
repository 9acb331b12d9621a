/* admin: topics created, listed, described, changed, emptied, deleted; snapshot; backups.
 * Any shard may ask; the answer comes back to it. */
#ifndef BOURN_BROKER_ADMIN_H
#define BOURN_BROKER_ADMIN_H

#include "broker/broker.h"

struct partition_description {
	uint32_t partition;
	int64_t earliest;
	int64_t high_watermark;
	int64_t bytes;
	uint32_t segments;   /* files that the engine keeps it in */
	int64_t earliest_ms; /* when its first and its last event were; -1: there is none, … */
	int64_t latest_ms;   /* … or it cannot be read */
	int32_t leader_epoch;
	unsigned shard;
	struct fault fenced; /* code OK: takes writes */
};

struct topic_description {
	struct topic_spec spec;
	struct partition_description *partitions; /* spec.partition_count; owned by the request */
};

enum admin_kind {
	ADMIN_TOPIC_CREATE, /* in: name, partition_count (0: default), settings. out: topic, created */
	ADMIN_TOPIC_DESCRIBE, /* in: name. out: topic */
	ADMIN_TOPIC_ALTER,    /* in: name, settings and before, partition_count (0: stays). out:
			      topic */
	ADMIN_TOPIC_PURGE,    /* in: name, partition (-1 all), upto (-1: everything). out: topic */
	ADMIN_TOPIC_DELETE,   /* in: name */
	ADMIN_SNAPSHOT,       /* out: snapshot_bytes */
	ADMIN_BACKUP_MAKE,    /* in: name. out: backups (the one), backup_root, backup_ms */
	ADMIN_BACKUP_LIST,    /* out: backups, backup_root */
	ADMIN_BACKUP_REMOVE,  /* in: name */
	ADMIN_FENCED,         /* out: fenced partitions, as topics with only those partitions */
};

struct admin_job;

struct admin {
	/* in */
	struct broker *broker;
	const struct caller *caller;
	enum admin_kind kind;
	struct slice name; /* borrowed during the call */
	uint32_t partition_count;
	/* Create: start from broker_default_settings; alter: from what broker_topic says. */
	struct topic_settings settings;
	struct topic_settings before; /* alter: what that was; only what differs is changed */
	int32_t partition;
	int64_t upto;
	void (*done)(struct admin *a);

	/* out */
	/* TOPIC_UNKNOWN BAD_TOPIC BAD_SETTING PARTITION_UNKNOWN PARTITION_REQUIRED DENIED BUSY
	 * NO_MEMORY TOO_MANY SHUTTING_DOWN + the store's. TOPIC_EXISTS: create, with other
	 * partitions or settings (with the same it is OK and `created` false; partition_count 0
	 * is any). */
	struct fault fault;
	bool created;
	struct topic_description topic;
	struct topic_description *fenced;
	size_t fenced_count;
	int64_t snapshot_bytes;
	struct store_backup *backups; /* owned by the request */
	size_t backup_count;
	const char *backup_root; /* directory that they are in; the store's */
	int64_t backup_ms;       /* that it took */

	/* the broker's own */
	struct admin_job *job;
	struct task refused; /* runs done when no job was begun */
};

void broker_admin(struct admin *a);
void broker_admin_fini(struct admin *a); /* after done */

struct topic_settings broker_default_settings(const struct broker *b);

/* This shard's table, by name order from `after` (SLICE_NONE: the first): fills up to `max` specs,
 * returns how many. Synchronous; specs are borrowed until the loop's turn ends. */
size_t broker_topics(const struct broker *b, struct slice after, size_t max,
                     const struct topic_spec **out);
const struct topic_spec *broker_topic(const struct broker *b, struct slice name);
size_t broker_topic_count(const struct broker *b);

#endif
