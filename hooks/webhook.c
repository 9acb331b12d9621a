/* webhook: POSTs each event to a receiver, signed as Standard Webhooks (standardwebhooks.com) has
 * it.
 *
 *	options: {url: https://example.org/hook, secret: whsec_<24 to 64 bytes in base64>,
 *	          timeout_ms: 15000, give_up_s: 86400, queue_bytes: 16777216, linger_ms: 1000}
 *
 *	POST /hook                                       the value as it is, its Content-Type, and
 *	webhook-id: msg_5f2c…000000000001                  the same each time it is sent
 *	webhook-timestamp: 1767225600                      of this try
 *	webhook-signature: v1,K5oZfz…                      HMAC-SHA256 of "id.timestamp.value"
 *	Event-Topic: orders   Event-Key: k   Event-Tombstone: true (no value)
 *
 * Nobody waits: an event is copied into a queue in memory, and goes on to be stored. A thread of
 * each event loop sends, one event after the other, so the order of each connection is kept.
 * Anything but a 2xx is tried again, after 0.5 s, 1 s, 2 s … 5 min and what Retry-After asks for:
 * the receiver hears of an event at least once, as long as the broker runs. It is given up after
 * give_up_s, or at once after a 410; the log says so. A full queue (queue_bytes on each loop) is a
 * failure: on_failure `closed` refuses events until there is room, `open` stores them unannounced.
 * When the broker stops, what waits is sent for linger_ms more; the rest, or all of it when the
 * broker is killed, is lost, though stored. An event that a later hook or the disk refuses is
 * announced all the same: let this hook be the last.
 *
 *	cc -shared -fPIC -pthread -I include -o webhook.so hooks/webhook.c -lcurl -lcrypto */
#include <bourn/hook.h>
#include <curl/curl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	KEY_BYTES_MIN = 24,
	KEY_BYTES_MAX = 64,
	SIGNATURE_BYTES = 32,
	TEXT_BYTES_MAX = 1024, /* of an option */
	PAUSE_MS_MIN = 500,
	PAUSE_MS_MAX = 300000,
	FIELD_BYTES_MAX = 512,
};

struct settings {
	char url[TEXT_BYTES_MAX];
	unsigned char key[KEY_BYTES_MAX];
	size_t key_bytes;
	long timeout_ms;
	long give_up_s;
	long queue_bytes;
	long linger_ms;
};

/* One that waits: all it has lies behind it. */
struct event {
	struct event *next;
	unsigned long long number;
	size_t bytes; /* of this allocation */
	int is_tombstone;
	struct bourn_slice topic;
	struct bourn_slice key;
	struct bourn_slice type;
	struct bourn_slice value;
};

struct webhook {
	struct settings settings;
	unsigned long long run; /* random: ids of this start are nobody else's */
	CURL *curl;             /* the sender's */
	EVP_MAC *hmac;
	pthread_t sender;
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t changed;
	struct event *first;
	struct event **last;
	size_t bytes;                /* of all events */
	unsigned long long accepted; /* so far */
	unsigned lost;               /* given up, and not told of yet */
	int stopping;
	struct timespec deadline; /* if stopping */
};

/* --- time ------------------------------------------------------------------------------------- */

static struct timespec after_ms(long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

static int is_past(struct timespec t)
{
	struct timespec now = after_ms(0);

	return now.tv_sec > t.tv_sec || (now.tv_sec == t.tv_sec && now.tv_nsec >= t.tv_nsec);
}

/* --- a request -------------------------------------------------------------------------------- */

/* "v1," and the HMAC of "id.timestamp.value" in base64. 0: it cannot be made. */
static int sign(const struct webhook *w, const struct event *e, const char *id,
                const char *timestamp, char out[64])
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	unsigned char signature[SIGNATURE_BYTES];
	char head[128];
	int head_bytes = snprintf(head, sizeof(head), "%s.%s.", id, timestamp);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(w->hmac);
	size_t bytes = 0;
	int made = mac && EVP_MAC_init(mac, w->settings.key, w->settings.key_bytes, params) &&
	           EVP_MAC_update(mac, (unsigned char *)head, (size_t)head_bytes) &&
	           EVP_MAC_update(mac, e->value.ptr, e->value.len) &&
	           EVP_MAC_final(mac, signature, &bytes, sizeof(signature));

	EVP_MAC_CTX_free(mac);
	memcpy(out, "v1,", 3);
	if (made)
		EVP_EncodeBlock((unsigned char *)out + 3, signature, (int)bytes);
	return made;
}

static int is_plain(struct bourn_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < ' ' || s.ptr[i] > '~')
			return 0;
	return s.ptr && s.len < FIELD_BYTES_MAX - 32;
}

/* 0: no memory. */
static int __attribute__((format(printf, 2, 3)))
add_field(struct curl_slist **fields, const char *format, ...)
{
	char line[FIELD_BYTES_MAX];
	struct curl_slist *grown;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	grown = curl_slist_append(*fields, line);
	if (grown)
		*fields = grown;
	return grown != NULL;
}

/* What HTTP cannot carry is left out. */
static int add_slice(struct curl_slist **fields, const char *name, struct bourn_slice s)
{
	return !is_plain(s) || add_field(fields, "%s: %.*s", name, (int)s.len, (const char *)s.ptr);
}

static int make_fields(const struct webhook *w, const struct event *e, struct curl_slist **fields)
{
	char id[64], timestamp[32], signature[64];

	snprintf(id, sizeof(id), "msg_%016llx%012llx", w->run, e->number);
	snprintf(timestamp, sizeof(timestamp), "%lld", (long long)time(NULL));
	return sign(w, e, id, timestamp, signature) && add_field(fields, "webhook-id: %s", id) &&
	       add_field(fields, "webhook-timestamp: %s", timestamp) &&
	       add_field(fields, "webhook-signature: %s", signature) &&
	       add_slice(fields, "Content-Type", e->type) &&
	       add_slice(fields, "Event-Topic", e->topic) &&
	       add_slice(fields, "Event-Key", e->key) &&
	       (!e->is_tombstone || add_field(fields, "Event-Tombstone: true")) &&
	       add_field(fields, "Expect:");
}

static size_t ignore(char *bytes, size_t size, size_t count, void *arg)
{
	(void)bytes;
	(void)arg;
	return size * count;
}

/* A transfer ends when the broker has stopped for long enough. */
static int has_to_end(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct webhook *w = arg;
	int ends;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	pthread_mutex_lock(&w->mutex);
	ends = w->stopping && is_past(w->deadline);
	pthread_mutex_unlock(&w->mutex);
	return ends;
}

/* The status; 0: there was no answer. */
static long post(struct webhook *w, const struct event *e)
{
	struct curl_slist *fields = NULL;
	long status = 0;

	if (make_fields(w, e, &fields)) {
		curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, fields);
		curl_easy_setopt(w->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)e->value.len);
		curl_easy_setopt(w->curl, CURLOPT_POSTFIELDS, (const char *)e->value.ptr);
		if (curl_easy_perform(w->curl) == CURLE_OK)
			curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
	}
	curl_slist_free_all(fields);
	return status;
}

static CURL *make_curl(struct webhook *w)
{
	CURL *curl = curl_easy_init();

	if (!curl)
		return NULL;
	curl_easy_setopt(curl, CURLOPT_URL, w->settings.url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "bourn-webhook");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, w->settings.timeout_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, has_to_end);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, w);
	return curl;
}

/* --- the sender ------------------------------------------------------------------------------- */

/* Doubled each time, a fifth more or less, so that receivers are not asked by all at once. */
static long pause_ms(struct webhook *w, unsigned tries)
{
	long ms = tries < 10 ? (long)PAUSE_MS_MIN << (tries - 1) : PAUSE_MS_MAX;
	curl_off_t asked_s = 0;
	unsigned char random = 0;

	if (ms > PAUSE_MS_MAX)
		ms = PAUSE_MS_MAX;
	if (getrandom(&random, 1, GRND_NONBLOCK) == 1)
		ms += ms / 5 * (random - 128) / 128;
	curl_easy_getinfo(w->curl, CURLINFO_RETRY_AFTER, &asked_s);
	if (asked_s > PAUSE_MS_MAX / 1000)
		asked_s = PAUSE_MS_MAX / 1000;
	return asked_s * 1000 > ms ? (long)asked_s * 1000 : ms;
}

/* With the mutex. A stop does not wait for it. */
static void take_a_pause(struct webhook *w, long ms)
{
	struct timespec until = after_ms(ms);

	while (!w->stopping && !is_past(until))
		pthread_cond_timedwait(&w->changed, &w->mutex, &until);
}

/* With the mutex. Until it was taken, or given up; 0: the broker has no more time. */
static int deliver(struct webhook *w, const struct event *e)
{
	struct timespec give_up = after_ms(1000 * w->settings.give_up_s);

	for (unsigned tries = 1;; tries++) {
		long status;

		pthread_mutex_unlock(&w->mutex);
		status = post(w, e);
		pthread_mutex_lock(&w->mutex);
		if (status >= 200 && status <= 299)
			return 1;
		if (w->stopping)
			return 0;
		if (status == 410 || is_past(give_up)) {
			w->lost++;
			return 1;
		}
		take_a_pause(w, pause_ms(w, tries));
	}
}

static void remove_first(struct webhook *w)
{
	struct event *e = w->first;

	w->first = e->next;
	if (!w->first)
		w->last = &w->first;
	w->bytes -= e->bytes;
	free(e);
}

static void *run_sender(void *arg)
{
	struct webhook *w = arg;

	pthread_mutex_lock(&w->mutex);
	for (;;) {
		while (!w->first && !w->stopping)
			pthread_cond_wait(&w->changed, &w->mutex);
		if (!w->first || (w->stopping && is_past(w->deadline)) || !deliver(w, w->first))
			break;
		remove_first(w);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

/* --- the hook --------------------------------------------------------------------------------- */

static struct bourn_slice put(unsigned char **at, struct bourn_slice s)
{
	struct bourn_slice copy = {s.ptr ? *at : NULL, s.len};

	if (s.len > 0)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static struct event *event_copy(struct bourn_call *call)
{
	struct bourn_slice type = {NULL, 0};
	struct event *e;
	unsigned char *at;
	size_t bytes;

	call->host->header_get(call, BOURN_TEXT("content-type"), &type);
	bytes = sizeof(*e) + call->topic.len + call->key.len + type.len + call->value.len + 1;
	e = malloc(bytes);
	if (!e)
		return NULL;
	at = (unsigned char *)(e + 1);
	*e = (struct event){
		.bytes = bytes,
		.is_tombstone = !call->value.ptr,
		.topic = put(&at, call->topic),
		.key = put(&at, call->key),
		.type = put(&at, type),
		.value = put(&at, call->value.ptr ? call->value : BOURN_TEXT("")),
	};
	return e;
}

/* 0: there is no room. */
static int append(struct webhook *w, struct event *e, unsigned *lost)
{
	int fits;

	pthread_mutex_lock(&w->mutex);
	fits = w->bytes + e->bytes <= (size_t)w->settings.queue_bytes;
	if (fits) {
		e->number = ++w->accepted;
		*w->last = e;
		w->last = &e->next;
		w->bytes += e->bytes;
		pthread_cond_signal(&w->changed);
	}
	*lost = w->lost;
	w->lost = 0;
	pthread_mutex_unlock(&w->mutex);
	return fits;
}

static enum bourn_verdict produce(void *state, struct bourn_call *call)
{
	struct webhook *w = state;
	struct event *e = event_copy(call);
	unsigned lost;
	char text[64];
	int fits;

	if (!e)
		return BOURN_FAIL;
	fits = append(w, e, &lost);
	if (!fits)
		free(e);
	if (lost > 0) {
		snprintf(text, sizeof(text), "gave up on %u events", lost);
		call->host->log(call, BOURN_LOG_ERROR, text);
	}
	return fits ? BOURN_CONTINUE : BOURN_FAIL;
}

/* --- options ---------------------------------------------------------------------------------- */

/* What follows `"name":` in the JSON; NULL: nothing. */
static const char *option(const char *options, const char *name)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", name);
	at = strstr(options, quoted);
	return at ? at + strlen(quoted) : NULL;
}

/* A text without escapes, as addresses and secrets are. 0: there is none. */
static int take_text(const char *options, const char *name, char out[TEXT_BYTES_MAX])
{
	const char *at = option(options, name);
	const char *end = at && *at == '"' ? strchr(at + 1, '"') : NULL;

	if (!end || end == at + 1 || end - at > TEXT_BYTES_MAX)
		return 0;
	memcpy(out, at + 1, (size_t)(end - at) - 1);
	out[end - at - 1] = '\0';
	return 1;
}

static int take_number(const char *options, const char *name, long least, long *out)
{
	const char *at = option(options, name);
	char *end;

	if (!at)
		return 1;
	*out = strtol(at, &end, 10);
	return end > at && (*end == ',' || *end == '}') && *out >= least && *out <= 1L << 30;
}

static int take_secret(const char *options, struct settings *s)
{
	unsigned char key[TEXT_BYTES_MAX];
	char text[TEXT_BYTES_MAX];
	size_t len;
	int bytes;

	if (!take_text(options, "secret", text) || strncmp(text, "whsec_", 6) != 0)
		return 0;
	len = strlen(text + 6);
	bytes = EVP_DecodeBlock(key, (unsigned char *)text + 6, (int)len);
	if (bytes < 0 || len % 4 != 0)
		return 0;
	bytes -= (text[6 + len - 1] == '=') + (text[6 + len - 2] == '=');
	if (bytes < KEY_BYTES_MIN || bytes > KEY_BYTES_MAX)
		return 0;
	memcpy(s->key, key, (size_t)bytes);
	s->key_bytes = (size_t)bytes;
	return 1;
}

/* What is wrong; NULL: nothing. */
static const char *take_options(const char *options, struct settings *s)
{
	*s = (struct settings){.timeout_ms = 15000,
	                       .give_up_s = 86400,
	                       .queue_bytes = 16 << 20,
	                       .linger_ms = 1000};
	if (!take_text(options, "url", s->url) ||
	    (strncmp(s->url, "http://", 7) != 0 && strncmp(s->url, "https://", 8) != 0))
		return "options.url is no http:// or https:// address";
	if (!take_secret(options, s))
		return "options.secret is not whsec_ and 24 to 64 bytes in base64";
	if (!take_number(options, "timeout_ms", 1, &s->timeout_ms) ||
	    !take_number(options, "give_up_s", 0, &s->give_up_s) ||
	    !take_number(options, "queue_bytes", 1, &s->queue_bytes) ||
	    !take_number(options, "linger_ms", 0, &s->linger_ms))
		return "options.timeout_ms, give_up_s, queue_bytes and linger_ms are numbers";
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static void webhook_free(struct webhook *w)
{
	while (w->first)
		remove_first(w);
	if (w->curl)
		curl_easy_cleanup(w->curl);
	EVP_MAC_free(w->hmac);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->mutex);
	free(w);
}

static struct webhook *webhook_new(void)
{
	struct webhook *w = calloc(1, sizeof(*w));
	pthread_condattr_t monotonic;

	if (!w)
		return NULL;
	pthread_mutex_init(&w->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	w->last = &w->first;
	return w;
}

/* What is wrong; NULL: it runs. */
static const char *run(struct webhook *w, const struct bourn_start *start)
{
	const char *why = take_options(start->options, &w->settings);

	if (why)
		return why;
	w->settings.linger_ms /= start->shard_count; /* they stop one after the other */
	w->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? make_curl(w) : NULL;
	w->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (!w->curl || !w->hmac)
		return "libcurl or OpenSSL does not start";
	if (getrandom(&w->run, sizeof(w->run), 0) != sizeof(w->run))
		return "there are no random numbers";
	if (pthread_create(&w->sender, NULL, run_sender, w) != 0)
		return "no thread to send with";
	return NULL;
}

static int start(const struct bourn_start *start, void **state, char error[256])
{
	struct webhook *w = webhook_new();
	const char *why = w ? run(w, start) : "no memory";

	if (!why) {
		*state = w;
		return 0;
	}
	snprintf(error, 256, "%s", why);
	if (w)
		webhook_free(w);
	return 1;
}

static void stop(void *state)
{
	struct webhook *w = state;
	unsigned left = 0;

	pthread_mutex_lock(&w->mutex);
	w->stopping = 1;
	w->deadline = after_ms(w->settings.linger_ms);
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->mutex);
	pthread_join(w->sender, NULL);
	for (struct event *e = w->first; e; e = e->next)
		left++;
	if (left > 0)
		fprintf(stderr, "webhook: %u events were not delivered to %s\n", left,
		        w->settings.url);
	webhook_free(w);
}

const struct bourn_hook bourn_hook = {
	BOURN_HOOK_HEAD,
	.start = start,
	.stop = stop,
	.produce = produce,
};
