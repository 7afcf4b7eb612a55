#include "client/outbox/turn.h"

#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

void td_turn_init(struct td_turn *t)
{
    memset(t, 0, sizeof(*t));
    t->pause_ms = TD_OUTBOX_PAUSE_MS_MIN;
    t->fenced_ms = TD_OUTBOX_FENCED_MS_MIN;
    t->most = TIDINGS_LIST_MAX;
    td_window_init(&t->window);
}

static void give_up(struct td_turn *t)
{
    if (t->state != TD_TURN_CLOSED)
        t->broker_ops.close(t->broker);
    t->ops.close(t->db);
    t->state = TD_TURN_CLOSED;
    t->owes = false; /* the claim says it */
    t->waiting = 0;
    t->oldest_us = 0;
    t->counted_us = 0;
    td_window_clear(&t->window);
}

void td_turn_fini(struct td_turn *t)
{
    give_up(t);
    td_window_fini(&t->window);
}

/* ---- telling ---- */

static void tell(struct td_turn *t, enum tidings_relay_kind kind,
                 tidings_err err, const char *text,
                 const struct td_outbox_row *row)
{
    struct tidings_relay_status status = {
        .kind = kind,
        .err = err,
        .text = text,
        .row = row ? row->number : 0,
        .event_id = row ? row->event->id : NULL,
        .event_type = row ? row->event->type : NULL,
    };

    if (t->on_status)
        t->on_status(t->on_status_arg, &status);
}

void td_turn_trouble(struct td_turn *t, tidings_err err, const char *text)
{
    if (t->trouble == err)
        return;
    t->trouble = err;
    tell(t, TIDINGS_RELAY_TROUBLE, err, *text ? text : tidings_err_text(err),
         NULL);
}

static void is_well(struct td_turn *t)
{
    t->pause_ms = TD_OUTBOX_PAUSE_MS_MIN;
    if (!t->trouble || td_places_until_us(&t->window.places, 0))
        return;
    t->trouble = TIDINGS_OK;
    tell(t, TIDINGS_RELAY_ACTIVE, TIDINGS_OK, "rows flow again", NULL);
}

static int pause(int *ms, int max)
{
    int now = *ms;

    *ms = now * 2 > max ? max : now * 2;
    return now;
}

/* ---- beginning ---- */

/* What the database says is wrong: the same may be tried again, or all of it
 * has to begin anew. */
static int database_failed(struct td_turn *t, tidings_err err)
{
    td_turn_trouble(t, err, tidings_detail());
    if (err != TIDINGS_ETIMEDOUT)
        give_up(t);
    return pause(&t->pause_ms, TD_OUTBOX_PAUSE_MS_MAX);
}

static int broker_failed(struct td_turn *t, tidings_err err, const char *text)
{
    td_turn_trouble(t, err, text);
    if (err != TIDINGS_EFENCED && err != TIDINGS_ECLOSED)
        return pause(&t->pause_ms, TD_OUTBOX_PAUSE_MS_MAX);
    give_up(t);
    return pause(&t->fenced_ms, TD_OUTBOX_FENCED_MS_MAX);
}

static int open_database(struct td_turn *t)
{
    tidings_err err = t->ops.open(t->db, &t->claim);

    if (!err) {
        t->standing_by = false;
        t->state = TD_TURN_OPEN;
        return 0;
    }
    t->ops.close(t->db);
    if (err != TIDINGS_EEXIST) {
        t->standing_by = false;
        td_turn_trouble(t, err, tidings_detail());
        return pause(&t->pause_ms, TD_OUTBOX_PAUSE_MS_MAX);
    }
    if (!t->standing_by) {
        t->standing_by = true;
        t->trouble = TIDINGS_OK;
        tell(t, TIDINGS_RELAY_STANDBY, TIDINGS_OK,
             "another relay has this outbox", NULL);
    }
    return TD_OUTBOX_STANDBY_MS;
}

/* Whether the list that was claimed last is stored: turn.h. */
static bool is_stored(struct td_turn *t)
{
    const struct tidings_outbox_claim *c = &t->claim;

    if (c->len == 0 || t->last < c->first)
        return false;
    if (t->last == c->first + c->len - 1)
        return true;
    td_turn_trouble(t, TIDINGS_ECONFLICT,
                    "another program has published under this outbox's name, "
                    "as the relay of a copy of this database would: what was "
                    "on its way is published again");
    return false;
}

static int greet(struct td_turn *t)
{
    tidings_err err =
        t->broker_ops.open(t->broker, t->claim.producer, &t->last);

    if (err)
        return broker_failed(t, err, tidings_detail());
    t->owes = is_stored(t);
    if (t->claim.len > 0 && t->last < t->claim.first + t->claim.len - 1)
        t->last = t->claim.first + t->claim.len - 1;
    t->state = TD_TURN_READY;
    t->pause_ms = TD_OUTBOX_PAUSE_MS_MIN;
    if (t->trouble != TIDINGS_ECONFLICT) {
        t->trouble = TIDINGS_OK;
        tell(t, TIDINGS_RELAY_ACTIVE, TIDINGS_OK, "this relay has the outbox",
             NULL);
    }
    return 0;
}

/* ---- rows ---- */

static void count(struct td_turn *t, int64_t now_us)
{
    if (t->window.len == 0) {
        t->waiting = 0;
        t->oldest_us = 0;
    } else if (now_us - t->counted_us >= TD_OUTBOX_COUNT_MS * 1000 ||
               t->counted_us > now_us) {
        t->counted_us = now_us;
        t->ops.count(t->db, &t->waiting, &t->oldest_us); /* or as it was */
    }
}

/* The claim from then on: next; NULL: none, once what it claimed is removed. */
static void prepare_claim(struct td_turn *t,
                          const struct tidings_outbox_claim *next)
{
    if (next)
        return;
    t->next.first = t->claim.first;
    t->next.len = t->owes ? 0 : t->claim.len;
    memcpy(t->next.rows, t->claim.rows, t->next.len * sizeof(t->next.rows[0]));
}

/* Removes what is stored, and what else is to be done with it. */
static tidings_err step(struct td_turn *t, const struct td_outbox_row *refuse,
                        const char *reason,
                        const struct tidings_outbox_claim *next)
{
    const struct tidings_outbox_step s = {
        .remove = t->claim.rows,
        .remove_len = t->owes ? t->claim.len : 0,
        .refuse = refuse ? refuse->number : 0,
        .reason = reason,
        .claim = &t->next,
    };
    tidings_err err;

    prepare_claim(t, next);
    err = t->ops.step(t->db, &s);
    if (err)
        return err;
    t->owes = false;
    t->claim.first = t->next.first;
    t->claim.len = t->next.len;
    memcpy(t->claim.rows, t->next.rows, t->next.len * sizeof(t->next.rows[0]));
    return TIDINGS_OK;
}

static int read_rows(struct td_turn *t, int64_t now_us)
{
    tidings_err err = t->owes ? step(t, NULL, NULL, NULL) : TIDINGS_OK;

    if (err)
        return database_failed(t, err);
    td_window_clear(&t->window);
    err = t->ops.read(t->db, &t->window, TD_OUTBOX_WINDOW_ROWS,
                      TD_OUTBOX_WINDOW_BYTES);
    if (err) {
        td_window_clear(&t->window);
        return database_failed(t, err);
    }
    count(t, now_us);
    if (t->window.len > 0)
        return 0;
    t->empty = true;
    td_places_forget(&t->window.places); /* nothing is held back */
    is_well(t);
    return -1;
}

/* All that are left are held back: until the first stream may have room, but
 * there may be new rows for others before. */
static int wait_for_room(struct td_turn *t, int64_t now_us)
{
    int64_t wait_us = td_places_until_us(&t->window.places, now_us) - now_us;
    tidings_err err = t->owes ? step(t, NULL, NULL, NULL) : TIDINGS_OK;

    if (err)
        return database_failed(t, err);
    td_window_clear(&t->window);
    if (wait_us > TD_OUTBOX_HELD_MS * 1000)
        return TD_OUTBOX_HELD_MS;
    return wait_us > 0 ? (int)(wait_us / 1000) + 1 : 0;
}

/* ---- what became of a list ---- */

static int stored(struct td_turn *t, const struct td_answer *a)
{
    td_window_learn(&t->window, &t->list, a->stream);
    td_places_resume(t->list.row[0]->place);
    td_window_done(&t->window, &t->list);
    t->owes = true;
    t->relayed += t->list.len;
    t->waiting -= t->waiting < t->list.len ? t->waiting : t->list.len;
    t->most = t->most * 2 > TIDINGS_LIST_MAX ? TIDINGS_LIST_MAX : t->most * 2;
    t->fenced_ms = TD_OUTBOX_FENCED_MS_MIN;
    is_well(t);
    return 0;
}

/* It may have room for fewer. */
static int is_full(struct td_turn *t, const struct td_answer *a, int64_t now_us)
{
    td_turn_trouble(t, TIDINGS_EFULL, a->text);
    if (t->most > 1)
        t->most = (t->list.len + 1) / 2;
    if (!*a->stream)
        return pause(&t->pause_ms, TD_OUTBOX_PAUSE_MS_MAX);
    td_window_learn(&t->window, &t->list, a->stream);
    td_places_pause(&t->window.places, a->stream, now_us);
    return 0;
}

static int refuse_for_good(struct td_turn *t, struct td_outbox_row *row,
                           tidings_err why, const char *text)
{
    char words[TD_OUTBOX_REASON_BYTES + 24];
    char reason[TD_OUTBOX_REASON_BYTES];
    tidings_err err;

    snprintf(words, sizeof(words), "%s: %s", tidings_err_name(why),
             *text ? text : tidings_err_text(why));
    td_utf8_clean(reason, sizeof(reason), words);
    err = step(t, row, reason, NULL);
    if (err)
        return database_failed(t, err);
    t->refused++;
    td_window_drop(&t->window, row);
    tell(t, TIDINGS_RELAY_REFUSED, why, reason, row);
    return 0;
}

/* Something in the list is refused: smaller ones find out what. A list that is
 * for several streams is refused as a whole, too. */
static int refused(struct td_turn *t, tidings_err why,
                   const struct td_answer *a)
{
    if (t->list.len == 1)
        return refuse_for_good(t, t->list.row[0], why, a->text);
    if (why == TIDINGS_EINVAL && a->judged && !t->window.places.apart) {
        t->window.places.apart = true;
        td_places_forget(&t->window.places);
        return 0;
    }
    td_places_forget(&t->window.places);
    t->most = t->list.len / 2;
    return 0;
}

static int hear(struct td_turn *t, tidings_err err, const struct td_answer *a,
                int64_t now_us)
{
    switch (err) {
    case TIDINGS_OK:
        return stored(t, a);
    case TIDINGS_EFULL:
        return is_full(t, a, now_us);
    case TIDINGS_ENOSTREAM:
    case TIDINGS_EINVAL:
    case TIDINGS_ECONFLICT:
    case TIDINGS_ELIMIT:
        return refused(t, err, a);
    default:
        return broker_failed(t, err, a->text);
    }
}

static int publish(struct td_turn *t, int64_t now_us)
{
    struct tidings_outbox_claim *next = &t->next;
    struct td_answer a = {.judged = false};
    tidings_err err;

    next->first = t->last + 1;
    if (now_us > 0 && next->first < (uint64_t)now_us)
        next->first = (uint64_t)now_us;
    next->len = t->list.len;
    memcpy(next->rows, t->list.number, next->len * sizeof(next->rows[0]));
    err = step(t, NULL, NULL, next);
    if (err)
        return database_failed(t, err);
    t->last = next->first + next->len - 1;
    err = t->broker_ops.publish(t->broker, &t->list, next->first, &a);
    return hear(t, err, &a, now_us);
}

int td_turn(struct td_turn *t, int64_t now_us)
{
    struct td_outbox_row *bad;

    t->empty = false;
    switch (t->state) {
    case TD_TURN_CLOSED:
        return open_database(t);
    case TD_TURN_OPEN:
        return greet(t);
    case TD_TURN_READY:
        break;
    }
    if (t->window.done == t->window.len)
        return read_rows(t, now_us);
    bad = td_window_bad(&t->window);
    if (bad)
        return refuse_for_good(t, bad, bad->bad, bad->reason);
    td_window_pick(&t->window, &t->list, t->most, now_us);
    return t->list.len > 0 ? publish(t, now_us) : wait_for_room(t, now_us);
}
