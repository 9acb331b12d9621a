/* front_fixture: a front over a broker over a store in memory, and clients that speak to it through
 * real loopback sockets, all on the test's own thread. Only for tests. */
#ifndef BOURN_FRONT_TESTING_FRONT_FIXTURE_H
#define BOURN_FRONT_TESTING_FRONT_FIXTURE_H

#include "broker/testing/broker_fixture.h"
#include "front/front.h"
#include "io/stream.h"

struct front_fixture {
	struct fixture broker;
	struct front *front;
	struct admission *admission;
	struct listener *listener;
	struct log *log;
	struct metrics *metrics;
	struct front_config config; /* changed before front_fixture_start */
};

/* Fills in config. */
void front_fixture_init(struct front_fixture *fx);
void front_fixture_start(struct front_fixture *fx, uint32_t partitions);
/* Stops the front too, if the test did not. */
void front_fixture_stop(struct front_fixture *fx);

/* For front_stop: sets the bool. */
void front_fixture_noted(void *flag);

struct peer {
	struct front_fixture *fx;
	int fd;
	struct buf got; /* NUL-terminated behind len */
	bool ended;     /* the front closed */
};

void peer_connect(struct peer *p, struct front_fixture *fx);
void peer_close(struct peer *p);

/* Send all of it, while the front runs. */
void peer_send(struct peer *p, const void *bytes, size_t len);
void peer_say(struct peer *p, const char *text);

/* Let the front run until at least `len` bytes came, or `text` did, or the end; false after a
 * while. */
bool peer_wait_bytes(struct peer *p, size_t len);
bool peer_wait_text(struct peer *p, const char *text);
bool peer_wait_end(struct peer *p);

/* Let the front run for so long. */
void front_fixture_run(struct front_fixture *fx, int ms);

/* Has `text` come, how often? */
bool peer_has(const struct peer *p, const char *text);
unsigned peer_count(const struct peer *p, const char *text);
void peer_forget(struct peer *p);

/* One request on a connection of its own; the answer until the front closes. */
const char *peer_ask(struct peer *p, struct front_fixture *fx, const char *request);

#endif
