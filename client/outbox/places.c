#include "client/outbox/places.h"

#include <stdlib.h>
#include <string.h>

/* uthash is told to report a lack of memory, instead of ending the process. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->forgotten = true)

#include <uthash.h>

#include "proto/limits.h"

struct td_place_stream {
    UT_hash_handle hh;
    bool forgotten;   /* there was no memory to add it */
    int64_t until_us; /* 0: it is not full */
    int pause_ms;     /* the next one */
    char name[];
};

struct td_place {
    UT_hash_handle hh;
    bool forgotten;                 /* there was no memory to add it */
    struct td_place_stream *stream; /* NULL: not known */
    char type[];
};

static void free_streams(struct td_places *p)
{
    struct td_place_stream *s;
    struct td_place_stream *next;

    HASH_ITER(hh, p->streams, s, next)
    {
        HASH_DEL(p->streams, s);
        free(s);
    }
}

void td_places_fini(struct td_places *p)
{
    struct td_place *place;
    struct td_place *next;

    HASH_ITER(hh, p->types, place, next)
    {
        HASH_DEL(p->types, place);
        free(place);
    }
    free_streams(p);
}

size_t td_places_count(const struct td_places *p)
{
    return HASH_COUNT(p->types);
}

struct td_place *td_places_of(struct td_places *p, const char *type)
{
    size_t len = strlen(type);
    struct td_place *place;

    HASH_FIND(hh, p->types, type, len, place);
    if (place)
        return place;
    place = calloc(1, sizeof(*place) + len + 1);
    if (!place)
        return NULL;
    memcpy(place->type, type, len);
    HASH_ADD_KEYPTR(hh, p->types, place->type, len, place);
    if (!place->forgotten)
        return place;
    free(place);
    return NULL;
}

/* NULL: no memory. */
static struct td_place_stream *stream_of(struct td_places *p, const char *name)
{
    size_t len = strlen(name);
    struct td_place_stream *s;

    HASH_FIND(hh, p->streams, name, len, s);
    if (s)
        return s;
    s = calloc(1, sizeof(*s) + len + 1);
    if (!s)
        return NULL;
    memcpy(s->name, name, len);
    s->pause_ms = TD_OUTBOX_PAUSE_MS_MIN;
    HASH_ADD_KEYPTR(hh, p->streams, s->name, len, s);
    if (!s->forgotten)
        return s;
    free(s);
    return NULL;
}

void td_places_learn(struct td_places *p, struct td_place *place,
                     const char *stream)
{
    if (!place->stream || strcmp(place->stream->name, stream) != 0)
        place->stream = stream_of(p, stream);
}

bool td_places_known(const struct td_place *place)
{
    return place->stream != NULL;
}

void td_places_forget(struct td_places *p)
{
    struct td_place *place;
    struct td_place *next;

    HASH_ITER(hh, p->types, place, next)
    {
        place->stream = NULL;
    }
    free_streams(p);
}

bool td_places_together(const struct td_places *p, const struct td_place *a,
                        const struct td_place *b)
{
    if (a == b)
        return true;
    if (a->stream && b->stream)
        return a->stream == b->stream;
    return !p->apart;
}

void td_places_pause(struct td_places *p, const char *stream, int64_t now_us)
{
    struct td_place_stream *s = stream_of(p, stream);

    if (!s)
        return; /* it is tried again at once */
    s->until_us = now_us + (int64_t)s->pause_ms * 1000;
    s->pause_ms *= 2;
    if (s->pause_ms > TD_OUTBOX_PAUSE_MS_MAX)
        s->pause_ms = TD_OUTBOX_PAUSE_MS_MAX;
}

void td_places_resume(const struct td_place *place)
{
    if (!place->stream)
        return;
    place->stream->until_us = 0;
    place->stream->pause_ms = TD_OUTBOX_PAUSE_MS_MIN;
}

bool td_places_paused(const struct td_place *place, int64_t now_us)
{
    return place->stream && place->stream->until_us > now_us;
}

int64_t td_places_until_us(const struct td_places *p, int64_t now_us)
{
    const struct td_place_stream *s;
    int64_t first = 0;

    for (s = p->streams; s; s = s->hh.next) {
        if (s->until_us > now_us && (!first || s->until_us < first))
            first = s->until_us;
    }
    return first;
}
