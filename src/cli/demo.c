/* bourn demo: a broker, a producer and a consumer in one process, over real HTTP, in a directory of
 * its own and on a free port. */
#include "cli/local_broker.h"
#include "cli/remote.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const messages[] = {
	"a small stream",      "rises on a hill,",     "gathers the rain,",    "keeps every drop,",
	"runs past the mill,", "under the bridge,",    "is told by its banks", "where it has been,",
	"never turns back,",   "and reaches the sea.",
};

struct demo {
	struct client *producer;
	struct client *consumer;
	struct client_response response;
	const char *url;
	struct buf cursor;
};

static const struct argp argp = {
	.doc = "Start a broker on a free port with its data in a temporary directory,\n"
	       "produce ten messages to it and consume them, all in one process.\v"
	       "Examples:\n"
	       "  bourn demo\n",
};

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static enum err produce_one(struct demo *d, const char *message, struct fault *f)
{
	struct client_request request = {.method = "POST",
	                                 .path = SLICE_LIT("/produce/demo"),
	                                 .fields = SLICE_LIT("Content-Type: text/plain\r\n"),
	                                 .body = slice_str(message)};
	enum err err = remote_call(d->producer, &request, &d->response, f);

	if (err == OK)
		printf("Sent:     %s\n", message);
	return err;
}

static enum err consume_one(struct demo *d, struct fault *f)
{
	struct buf path = BUF_INIT(4096);
	struct client_request request = {.method = "GET",
	                                 .fields = SLICE_LIT("Accept: application/x-ndjson\r\n")};
	struct event_line event;
	struct slice lines;
	enum err err;

	buf_printf(&path, "/consume/demo?wait=10&limit=1&%s%.*s",
	           d->cursor.len ? "cursor=" : "offset=0", (int)d->cursor.len,
	           (const char *)d->cursor.ptr);
	request.path = buf_slice(&path);
	err = remote_call(d->consumer, &request, &d->response, f);
	buf_fini(&path);
	if (err)
		return err;
	lines = buf_slice(&d->response.body);
	if (!event_line_parse(slice_cut(&lines, '\n'), &event))
		return fault_set(f, ERR_INTERNAL, 0, "the event did not come back");
	event_line_print(&event, OUTPUT_TEXT, "Received: ");
	buf_clear(&d->cursor);
	buf_append_slice(&d->cursor, buf_slice(&d->response.next));
	return OK;
}

static enum err talk(struct demo *d, struct fault *f)
{
	enum err err = client_new(d->url, NULL, &d->producer, f);

	if (err == OK)
		err = client_new(d->url, NULL, &d->consumer, f);
	for (size_t i = 0; i < ARRAY_COUNT(messages) && err == OK; i++) {
		err = produce_one(d, messages[i], f);
		if (err == OK)
			err = consume_one(d, f);
	}
	client_free(d->producer);
	client_free(d->consumer);
	return err;
}

static enum err run(struct demo *d, const struct cli_parts *parts, const char *dir, struct fault *f)
{
	struct local_broker *broker;
	enum err err = local_broker_start(parts, dir, NULL, &broker, f);

	if (err)
		return err;
	d->url = local_broker_url(broker);
	printf("A broker is listening on %s, its data in %s.\n", d->url, dir);
	err = talk(d, f);
	local_broker_stop(broker);
	return err;
}

int cli_demo(int argc, char **argv, const struct cli_parts *parts)
{
	struct demo d = {.cursor = BUF_INIT(2048)};
	const char *tmp = getenv("TMPDIR");
	struct fault f = {0};
	char dir[256];
	enum err err;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	snprintf(dir, sizeof(dir), "%s/bourn-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	client_response_init(&d.response);
	if (!mkdtemp(dir)) {
		err = fault_set(&f, ERR_IO, errno, "making %s", dir);
	} else {
		err = run(&d, parts, dir, &f);
		nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	}
	client_response_fini(&d.response);
	buf_fini(&d.cursor);
	return cli_finish_stdout(err ? cli_fail(&f) : CLI_OK);
}
