#include "client/outbox/window.h"

#include <stdlib.h>
#include <string.h>

/* uthash is told to report a lack of memory, instead of ending the process. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->forgotten = true)

#include <uthash.h>

#include "proto/utf8.h"

/* Rows that keep their order: of one key, or without one of one type. */
struct td_lane {
    UT_hash_handle hh;
    bool forgotten; /* there was no memory to add it */
    uint64_t held;  /* the round in which one of its rows was left behind */
    bool keyed;
    char name[];
};

void td_window_init(struct tidings_outbox_rows *w)
{
    memset(w, 0, sizeof(*w));
}

void td_window_clear(struct tidings_outbox_rows *w)
{
    struct td_lane *lane;
    struct td_lane *next;

    for (size_t i = 0; i < w->len; i++) {
        tidings_free(w->row[i].event);
        free(w->row[i].reason);
    }
    HASH_ITER(hh, w->lanes, lane, next)
    {
        HASH_DEL(w->lanes, lane);
        free(lane);
    }
    w->len = 0;
    w->done = 0;
    w->bad = 0;
    if (td_places_count(&w->places) > TD_OUTBOX_TYPES) {
        bool apart = w->places.apart;

        td_places_fini(&w->places);
        w->places.apart = apart;
    }
}

void td_window_fini(struct tidings_outbox_rows *w)
{
    td_window_clear(w);
    td_places_fini(&w->places);
}

/* ---- reading ---- */

/* NULL: no memory. A key and a type of one name are not the same lane: keyed
 * stands before the name, and is hashed with it. */
static struct td_lane *lane_of(struct tidings_outbox_rows *w,
                               const struct tidings_event *event)
{
    const char *key = tidings_event_attr(event, "partitionkey");
    const char *name = key ? key : event->type;
    size_t len = strlen(name);
    struct td_lane *made = calloc(1, sizeof(*made) + len + 1);
    struct td_lane *lane;

    if (!made)
        return NULL;
    made->keyed = key != NULL;
    memcpy(made->name, name, len);
    len += offsetof(struct td_lane, name) - offsetof(struct td_lane, keyed);
    HASH_FIND(hh, w->lanes, &made->keyed, len, lane);
    if (lane) {
        free(made);
        return lane;
    }
    HASH_ADD_KEYPTR(hh, w->lanes, &made->keyed, len, made);
    if (!made->forgotten)
        return made;
    free(made);
    return NULL;
}

static size_t bytes_of(const struct tidings_event *event)
{
    size_t bytes = TD_OUTBOX_ROW_BYTES + event->data_len;

    for (size_t i = 0; i < event->attrs_len; i++) {
        const struct tidings_attr *a = &event->attrs[i];

        bytes += TIDINGS_ATTR_NAME_MAX + a->binary_len;
        if (a->kind == TIDINGS_ATTR_STRING)
            bytes += strlen(a->string);
    }
    return bytes;
}

static tidings_err add_bad(struct tidings_outbox_rows *w, int64_t number,
                           const struct tidings_event *event, tidings_err why,
                           const char *reason)
{
    struct td_outbox_row *row = &w->row[w->len];
    struct tidings_event known = {.type = "", .id = ""};
    char text[TD_OUTBOX_REASON_BYTES];
    tidings_err err;

    if (event->type && strlen(event->type) <= TIDINGS_TYPE_MAX)
        known.type = event->type;
    if (event->id && strlen(event->id) <= TIDINGS_ID_MAX)
        known.id = event->id;
    memset(row, 0, sizeof(*row));
    td_utf8_clean(text, sizeof(text), reason);
    row->number = number;
    row->bad = why;
    row->reason = strdup(text);
    err =
        row->reason ? tidings_event_copy(&row->event, &known) : TIDINGS_ENOMEM;
    if (err) {
        free(row->reason);
        return err;
    }
    w->len++;
    w->bad++;
    return TIDINGS_OK;
}

tidings_err tidings_outbox_add_bad(struct tidings_outbox_rows *w,
                                   int64_t number,
                                   const struct tidings_event *event,
                                   const char *reason)
{
    if (w->len == TD_OUTBOX_WINDOW_ROWS)
        return TIDINGS_OK;
    return add_bad(w, number, event, TIDINGS_EPROTO, reason);
}

tidings_err tidings_outbox_add(struct tidings_outbox_rows *w, int64_t number,
                               const struct tidings_event *event)
{
    struct td_outbox_row *row = &w->row[w->len];
    tidings_err err;

    if (w->len == TD_OUTBOX_WINDOW_ROWS)
        return TIDINGS_OK; /* it is read again, later */
    err = tidings_event_check(event);
    if (err == TIDINGS_EINVAL)
        return add_bad(w, number, event, err, tidings_detail());
    if (err)
        return err;
    memset(row, 0, sizeof(*row));
    row->number = number;
    row->bytes = bytes_of(event);
    row->lane = lane_of(w, event);
    row->place = td_places_of(&w->places, event->type);
    if (!row->lane || !row->place)
        return TIDINGS_ENOMEM;
    err = tidings_event_copy(&row->event, event);
    if (!err)
        w->len++;
    return err;
}

/* ---- picking ---- */

static bool has_room(const struct td_outbox_list *list, size_t bytes,
                     size_t most)
{
    return list->len < most &&
           (list->len == 0 || bytes <= TD_OUTBOX_LIST_BYTES);
}

void td_window_pick(struct tidings_outbox_rows *w, struct td_outbox_list *out,
                    size_t most, int64_t now_us)
{
    const struct td_place *place = NULL;
    size_t bytes = 0;

    out->len = 0;
    w->round++;
    for (size_t i = 0; i < w->len; i++) {
        struct td_outbox_row *row = &w->row[i];

        if (row->done || row->bad || row->lane->held == w->round)
            continue;
        if (td_places_paused(row->place, now_us) ||
            (place && !td_places_together(&w->places, place, row->place))) {
            row->lane->held = w->round;
            continue;
        }
        if (!has_room(out, bytes + row->bytes, most))
            return;
        bytes += row->bytes;
        if (!place || !td_places_known(place))
            place = row->place;
        out->number[out->len] = row->number;
        out->event[out->len] = *row->event;
        out->row[out->len++] = row;
    }
}

struct td_outbox_row *td_window_bad(struct tidings_outbox_rows *w)
{
    struct td_outbox_row *row = w->row;

    if (w->bad == 0)
        return NULL;
    while (!row->bad || row->done)
        row++;
    return row;
}

void td_window_drop(struct tidings_outbox_rows *w, struct td_outbox_row *row)
{
    row->done = true;
    w->done++;
    w->bad -= row->bad != TIDINGS_OK;
}

void td_window_done(struct tidings_outbox_rows *w,
                    const struct td_outbox_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        td_window_drop(w, list->row[i]);
}

void td_window_learn(struct tidings_outbox_rows *w,
                     const struct td_outbox_list *list, const char *stream)
{
    for (size_t i = 0; i < list->len; i++)
        td_places_learn(&w->places, list->row[i]->place, stream);
}
