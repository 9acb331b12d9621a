/* catalog_snapshot: the file `catalog/snapshot`; bytes only.
 *
 *     0  8  magic "bournctl"
 *     8  4  format version
 *    12  4  topics
 *    16 16  store id
 *    32  8  WAL sequence it holds
 *    40  4  tombstones
 *    44  4  zero
 *    48     topic specs (core/topic.h), then UUIDs of tombstones
 *           last 4: CRC-32C of all before
 * Little-endian. */
#ifndef BOURN_STORE_CATALOG_SNAPSHOT_H
#define BOURN_STORE_CATALOG_SNAPSHOT_H

#include "store/catalog.h"

/* Everything in the catalog that is on disk; `out` (empty) may fail. */
void catalog_snapshot_encode(const struct catalog *c, const struct uuid *store_id,
                             uint64_t sequence, struct buf *out);

/* One live topic, or a tombstone (`deleted`: only spec->uuid is valid). An error ends the
 * decoding. */
typedef enum err catalog_topic_cb(void *arg, const struct topic_spec *spec, bool deleted,
                                  struct fault *f);

/* The checksum before anything else. ERR_CORRUPT, ERR_DIR_NEWER, ERR_DIR_FOREIGN. */
enum err catalog_snapshot_decode(struct slice bytes, const struct uuid *store_id,
                                 uint64_t *sequence, catalog_topic_cb *each, void *arg,
                                 struct fault *f) MUST_CHECK;

#endif
