/* The names of a batch's events: a partitionkey in a keyed stream where the
 * event has one, else its type. */
#include "broker/engine/internal.h"

#include <string.h>
#include <xxhash.h>

enum seed { OF_KEY = 'k', OF_TYPE = 't' };

static void hash_name(uint8_t out[TD_LAST_HASH_BYTES], struct td_str name,
                      enum seed seed)
{
    XXH128_canonical_t bytes;

    XXH128_canonicalFromHash(&bytes,
                             XXH3_128bits_withSeed(name.data, name.len, seed));
    memcpy(out, bytes.digest, TD_LAST_HASH_BYTES);
}

bool td_newest_key(uint8_t out[TD_LAST_HASH_BYTES],
                   const struct td_event *event)
{
    struct td_str key = {NULL, 0};

    if (event->attrs.len == 0 ||
        !td_map_str(event->attrs, "partitionkey", &key) || !key.data)
        return false;
    hash_name(out, key, OF_KEY);
    return true;
}

void td_newest_begin(struct td_newest_walk *w, const struct td_stream *stream,
                     const struct td_batch *batch, const uint8_t *events,
                     uint64_t first)
{
    memset(w, 0, sizeof(*w));
    w->keyed = stream->options.keyed;
    w->batch = batch;
    w->at = events;
    w->end = events + batch->bytes;
    w->sequence = first;
}

/* The next event of a run whose events have keys of their own. */
static void open_event(struct td_newest_walk *w, const struct td_run *run)
{
    struct td_event event;

    w->opened = td_event_open(&event, &w->at, w->end);
    if (w->opened)
        w->data_len = event.data.len;
    if (!w->opened || !td_newest_key(w->hash, &event))
        hash_name(w->hash, run->type, OF_TYPE);
}

bool td_newest_is_last_empty(const struct td_newest_walk *w)
{
    const uint8_t *at = w->from;
    struct td_event event = {0};

    if (w->opened)
        return w->data_len == 0;
    for (uint32_t i = 0; i < w->events; i++) {
        if (!td_event_open(&event, &at, w->end))
            return false;
    }
    return event.data.len == 0;
}

bool td_newest_step(struct td_newest_walk *w)
{
    const struct td_run *run;

    if (w->run == w->batch->runs_len)
        return false;
    run = &w->batch->runs[w->run];
    w->sequence += w->events;
    w->opened = false;
    w->from = w->at;
    if (w->keyed && (run->flags & TD_RUN_KEY)) {
        open_event(w, run);
        w->events = 1;
    } else {
        hash_name(w->hash, run->type, OF_TYPE);
        w->at += run->bytes;
        w->events = run->count;
    }
    w->event += w->events;
    if (w->event == run->count) {
        w->event = 0;
        w->run++;
    }
    return true;
}
