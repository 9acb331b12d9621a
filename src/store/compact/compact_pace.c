#include "store/compact/compact_pace.h"

#include "io/metrics.h"

enum {
	REST_SHARE = 3, /* as many times as long as a slice took */
	REST_MS_MAX = 1000,
};

int64_t compact_rest_ms(int64_t us)
{
	int64_t ms = (us * REST_SHARE + 999) / 1000;

	return ms < REST_MS_MAX ? ms : REST_MS_MAX;
}

void compact_say_end(const struct compact_outcome *o, struct loop *l, struct log *log)
{
	struct metrics *m = loop_metrics(l);
	char text[320];

	metric_add(m, METRIC_COMPACTION_READ, o->bytes_in);
	metric_add(m, METRIC_COMPACTION_WRITTEN, o->bytes_out);
	metric_add(m, METRIC_COMPACTION_MS, (loop_now(l).mono_us - o->began_mono_us) / 1000);
	metric_add(m, o->fault->code ? METRIC_COMPACTION_FAILURES : METRIC_COMPACTIONS, 1);
	if (o->fault->code)
		log_line(log, LOG_WARN, "compaction", "%s/%u is not compacted: %s", o->topic,
		         o->partition, fault_text(o->fault, text, sizeof(text)));
	else
		log_line(log, LOG_DEBUG, "compaction",
		         "%s/%u up to offset %lld: %lld bytes of %lld", o->topic, o->partition,
		         (long long)o->upto, (long long)o->bytes_out, (long long)o->bytes_in);
}
