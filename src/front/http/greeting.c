/* GET /: who came to the door by hand hears who lives here, and what to type next. */
#include "front/front.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"

enum { GREETING_BYTES_MAX = 4096 };

/* Paths and no addresses: which of the broker's names its reader can reach, he knows best. */
static const char greeting[] =
	": an event broker you can drive with curl\n"
	"\n"
	"  POST /produce/greetings        append an event: the body, whatever it is\n"
	"  GET  /consume/greetings        read events; ?offset= says from where\n"
	"  GET  /subscribe/greetings      follow them: lines, EventSource or WebSocket\n"
	"\n"
	"  GET  /v1/topics                which topics there are\n"
	"  GET  /v1/info                  engine, limits, and what is not well\n"
	"  GET  /v1/connections           who is connected, and how far behind\n"
	"  GET  /metrics                  figures, as Prometheus reads them\n"
	"  GET  /livez, /readyz           is it alive, does it serve\n"
	"\n"
	"All of it is told in docs/http.md; `bourn help` is about the command line.\n";

static void write_greeting(struct exchange *x)
{
	uint8_t memory[GREETING_BYTES_MAX];
	struct buf body = BUF_IN(memory);

	buf_printf(&body, "bourn %s%s", x->front->config.version, greeting);
	reply_buf(x, 200, "text/plain; charset=utf-8", &body);
}

static const struct exchange_ops greeting_ops = {
	.write = write_greeting,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = exchange_nothing,
};

void greeting_handle(struct exchange *x, const struct http_request *r)
{
	if (!params_none(r->query, &x->fault))
		x->ops = &greeting_ops;
	exchange_answer(x);
}
