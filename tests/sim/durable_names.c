/* Which event of a stream is the newest of its name, as the book has it: what
 * compaction may take, and what whoever asked for the last of each is sent. */
#include "tests/sim/durable_world.h"

#include <stdlib.h>
#include <string.h>

static uint32_t name_of(const struct dur_stream *s,
                        const struct dur_event *event)
{
    return s->keyed && event->key > 0 ? DUR_TYPES + event->key - 1u
                                      : event->type;
}

void dur_names_add(struct dur_stream *s, const struct dur_event *event,
                   uint64_t sequence)
{
    uint64_t *newest = &s->newest[name_of(s, event)];

    if (*newest > 0)
        s->at[*newest - 1].newer = sequence;
    *newest = sequence;
}

void dur_names_anew(struct dur *d, struct dur_stream *s)
{
    memset(s->newest, 0, sizeof(s->newest));
    for (uint64_t n = 1; n <= s->len; n++) {
        const struct dur_event *event = dur_event_at(d, s, n);

        s->at[n - 1].newer = 0;
        if (event)
            dur_names_add(s, event, n);
    }
}

uint64_t dur_newer(const struct dur_stream *s, uint64_t sequence)
{
    return sequence >= 1 && sequence <= s->len ? s->at[sequence - 1].newer : 0;
}

/* It has no data, and that for as long as it has to be kept. */
static bool is_old_tombstone(struct dur *d, const struct dur_stream *s,
                             const struct dur_event *event)
{
    return event->empty && d->now_ms - event->at_ms >= s->tombstone_ms;
}

bool dur_may_be_gone(struct dur *d, const struct dur_stream *s,
                     uint64_t sequence)
{
    const struct dur_event *event = dur_event_at(d, s, sequence);

    return !event || (s->compact && (dur_newer(s, sequence) > 0 ||
                                     is_old_tombstone(d, s, event)));
}

void dur_names_check(struct dur *d, const struct dur_stream *s, uint64_t first,
                     uint64_t newest, const bool *present)
{
    for (uint64_t n = first; n <= s->len; n++) {
        const struct dur_event *event = dur_event_at(d, s, n);

        if (!event)
            continue;
        DUR_CHECK(d,
                  !d->swept || !s->compact || !present[n] || n >= newest ||
                      dur_newer(s, n) > 0 || !is_old_tombstone(d, s, event),
                  "stream %s: %llu is an old tombstone, and is there still",
                  s->name, (ull)n);
        if (present[n])
            continue;
        DUR_CHECK(d, dur_may_be_gone(d, s, n),
                  "stream %s: %llu is gone, and nothing newer of its name came",
                  s->name, (ull)n);
        dur_seen(d, dur_newer(s, n) ? DUR_SEEN_COMPACTED
                                    : DUR_SEEN_TOMBSTONE_GONE);
    }
}

/* ---- whoever asked for the last of each ---- */

void dur_names_subscribed(struct dur *d, struct dur_link *link,
                          const struct sim_message *m)
{
    const struct td_session *session = dur_broker_session(d, link);
    struct td_str name = td_no_str;
    struct td_str start = td_no_str;
    const struct td_stream *stream;
    struct dur_tags *tags;
    struct td_frame f;
    const char *why;

    if (!session || td_frame_decode(&f, m->control, m->len, true, &why) ||
        f.op != TD_SUBSCRIBE ||
        !td_map_str(f.u.subscribe.options, "stream", &name) ||
        !td_map_str(f.u.subscribe.options, "start", &start))
        return;
    stream = td_stream_find(d->broker.engine, name);
    tags = dur_tags_of(d, session->number, f.u.subscribe.subscription);
    tags->since_ms = d->now_ms;
    if (stream && td_str_is(start, "last"))
        tags->newest_to = stream->kept.next;
}

/* Why a reader need not be sent it. */
static bool may_be_passed(struct dur *d, const struct dur_stream *s,
                          const struct dur_tags *tags, uint64_t first,
                          uint64_t sequence)
{
    const struct dur_event *event = dur_event_at(d, s, sequence);

    return sequence < first || dur_may_be_gone(d, s, sequence) ||
           dur_has_expired(d, event) ||
           (sequence < tags->newest_to && dur_newer(s, sequence) > 0);
}

void dur_names_sent(struct dur *d, const struct td_consumer *c,
                    struct dur_tags *tags, uint64_t sequence, bool again)
{
    struct dur_stream *s = dur_stream_named(d, c->stream->options.name);
    uint64_t newer;

    if (s->memory) /* what came in this turn counts already */
        dur_book_read_memory(d, s);
    newer = dur_newer(s, sequence);
    if (sequence < tags->newest_to) {
        dur_seen(d, DUR_SEEN_LAST);
        DUR_CHECK(
            d, newer == 0 || newer >= tags->newest_to,
            "stream %s: %llu is sent as the last of its name, and %llu is",
            s->name, (ull)sequence, (ull)newer);
    }
    for (uint64_t n = tags->position + 1;
         (tags->position > 0 || tags->newest_to > 0) && !again && n < sequence;
         n++)
        DUR_CHECK(d, may_be_passed(d, s, tags, c->stream->head.first, n),
                  "stream %s: a reader is sent %llu after %llu, and not %llu",
                  s->name, (ull)sequence, (ull)tags->position, (ull)n);
    tags->position = sequence;
}
