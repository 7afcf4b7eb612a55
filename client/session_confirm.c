/* What becomes of what was published, where the broker was asked to say: each
 * event is confirmed once, and told here once for all; it is not sent again. */
#include "client/session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a row says of one batch. */
static struct td_stretch part_of(const struct td_confirm *row,
                                 const struct td_outgoing *out)
{
    struct td_stretch s = {row->first, row->first + row->count - 1};

    if (s.from < td_outgoing_first(out))
        s.from = td_outgoing_first(out);
    if (s.to > out->last)
        s.to = out->last;
    return s;
}

/* Adds what is in the batch, and not called yet, to confirmed if there is one;
 * returns how many. */
static size_t gather(const struct td_outgoing *out, struct td_stretch s,
                     struct td_confirmed *confirmed)
{
    size_t len;
    struct td_waiter *w = td_outgoing_waiters(out, s, &len);
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (!w[i].call)
            continue; /* was called in an earlier session */
        n++;
        if (confirmed) {
            confirmed->waiters[confirmed->len++] = w[i];
            w[i].call = NULL;
        }
    }
    return n;
}

/* ---- checking ---- */

struct check {
    struct td_outgoing *last; /* the batch that the row ends in */
    size_t waiters;
};

static const char *wrong_with_part(const struct td_confirm *row,
                                   const struct td_outgoing *out)
{
    if (!out->level)
        return "has confirmed what was not to be";
    /* A stream in memory has no more to give. */
    if (!row->code && row->level < (uint64_t)out->level &&
        row->level != TIDINGS_MEMORY)
        return "has confirmed less than was asked";
    /* What is atomic is sent again whole, and confirmed again. */
    if (!out->atomic && td_outgoing_is_told(out, part_of(row, out)))
        return "has confirmed twice";
    return NULL;
}

/* NULL: nothing. Changes nothing. */
static const char *wrong_with(struct td_client *c, const struct td_confirm *row,
                              struct check *check)
{
    struct td_publisher *p = &c->publisher;
    uint64_t last = row->first + row->count - 1; /* below 2^64 */
    struct td_outgoing *out = td_publisher_find(p, row->first);
    const char *wrong = NULL;

    if (row->level > TIDINGS_DISK)
        return "has confirmed at no level that there is";
    if (last > td_publisher_sent_here(p))
        return "has confirmed what was never sent";
    for (uint64_t next = row->first; !wrong && next <= last;) {
        if (!out || td_outgoing_first(out) > next)
            return "has confirmed what was not to be, or twice";
        wrong = wrong_with_part(row, out);
        check->waiters += gather(out, part_of(row, out), NULL);
        check->last = out;
        next = out->last + 1;
        out = out->next;
    }
    return wrong;
}

/* ---- telling ---- */

static struct td_confirmed *confirmed_new(const struct td_confirm *row,
                                          size_t waiters)
{
    struct td_confirmed *new =
        malloc(sizeof(*new) + waiters * sizeof(new->waiters[0]));

    if (!new)
        return NULL;
    memset(new, 0, sizeof(*new));
    new->err = (tidings_err)row->code;
    new->first = row->first;
    if (row->code == TIDINGS_ECONFLICT)
        new->sequence = row->sequence;
    if (row->code && row->code != TIDINGS_EFULL)
        return new;
    if (!row->code) {
        new->level = (enum tidings_level)row->level;
        new->duplicate = row->duplicate;
        new->sequence = row->sequence;
    }
    snprintf(new->stream, sizeof(new->stream), "%.*s",
             (int)(row->stream.len > TD_STREAM_NAME_BYTES_MAX
                       ? TD_STREAM_NAME_BYTES_MAX
                       : row->stream.len),
             row->stream.data);
    return new;
}

/* So many events that nobody is called for were not stored. */
static void add_unasked(struct td_client *c, tidings_err err, const char *text,
                        uint64_t events)
{
    if (c->unasked.events == 0) {
        c->unasked.err = err;
        snprintf(c->unasked.text, sizeof(c->unasked.text), "%s", text);
    }
    c->unasked.events += events;
    td_client_status(c, TIDINGS_UNSTORED, err, text, events);
}

/* What is full: a stream, or the disk. */
static void say_why(char *out, size_t size, const struct td_confirm *row)
{
    int len = row->stream.len > TD_STREAM_NAME_BYTES_MAX
                  ? (int)TD_STREAM_NAME_BYTES_MAX
                  : (int)row->stream.len;

    if (row->code != TIDINGS_EFULL)
        snprintf(out, size, "%s", tidings_err_text((tidings_err)row->code));
    else if (len > 0)
        snprintf(out, size, "stream %.*s is full", len, row->stream.data);
    else
        snprintf(out, size, "the broker's disk is full, or its memory");
}

/* The first of them is in this batch. */
static void tell_unstored(struct td_client *c, const struct td_confirm *row,
                          struct td_str type, uint64_t events)
{
    char why[sizeof(c->unasked.text) / 2];
    char text[sizeof(c->unasked.text)];

    say_why(why, sizeof(why), row);
    snprintf(text, sizeof(text), "%s: \"%.*s%s\"", why,
             type.len > 60 ? 60 : (int)type.len, type.data,
             type.len > 60 ? "..." : "");
    add_unasked(c, (tidings_err)row->code, text, events);
}

/* The row is right, and there is memory. */
static void apply(struct td_client *c, const struct td_confirm *row,
                  const struct check *check, struct td_confirmed *confirmed)
{
    struct td_publisher *p = &c->publisher;
    struct td_outgoing *out;
    struct td_outgoing *last = check->last;
    struct td_outgoing *next;
    char type[TD_TYPE_BYTES_MAX];
    struct td_str first = {type, 0};
    uint64_t fresh = 0;
    uint64_t alone;

    td_publisher_taken(p, last->last); /* or it could not be confirmed */
    next = td_publisher_find(p, row->first);
    if (row->code) {
        struct td_str name = td_outgoing_type(next, row->first);

        memcpy(type, name.data, name.len); /* its batch may be let go */
        first.len = name.len;
    }
    do {
        struct td_stretch s;

        out = next;
        next = out->next;
        s = part_of(row, out);
        if (confirmed)
            gather(out, s, confirmed);
        fresh += td_publisher_tell(p, out, s);
    } while (out != last);
    if (row->code)
        c->unstored += fresh;
    else
        c->confirmed += fresh;
    if (!row->code && row->first + row->count - 1 > c->stored)
        c->stored = row->first + row->count - 1;
    alone = fresh - check->waiters;
    if (row->code && alone > 0)
        tell_unstored(c, row, first, alone);
}

/* TIDINGS_ENOMEM: nothing was done. */
static tidings_err on_row(struct td_client *c, const struct td_confirm *row)
{
    const struct td_client_port *port = &c->options.port;
    struct td_confirmed *confirmed = NULL;
    struct check check = {0};
    const char *wrong = wrong_with(c, row, &check);

    if (wrong)
        return td_client_breach(c, wrong);
    if (check.waiters > 0) {
        confirmed = confirmed_new(row, check.waiters);
        if (!confirmed)
            return TIDINGS_ENOMEM;
    }
    apply(c, row, &check, confirmed);
    if (confirmed)
        port->confirmed(port->ctx, confirmed);
    return TIDINGS_OK;
}

/* Without memory the link is lost: what could not be told is then sent again,
 * and confirmed as a duplicate. */
tidings_err td_client_on_confirm(struct td_client *c, const struct td_frame *f)
{
    const struct td_str *list = &f->u.confirm.list;
    struct td_reader r = td_reader_of(list->data, list->len);
    tidings_err err = TIDINGS_OK;
    struct td_confirm row;
    uint32_t rows;

    if (!td_read_array(&r, &rows))
        return td_client_breach(c, "CONFIRM without a list");
    for (uint32_t i = 0; !err && i < rows; i++)
        err = td_confirm_read(&r, &row)
                  ? on_row(c, &row)
                  : td_client_breach(c, "malformed row of CONFIRM");
    if (err == TIDINGS_ENOMEM) {
        td_client_lost(c, err, "out of memory", c->now_ms);
        return TIDINGS_OK;
    }
    return err;
}

/* ---- giving up ---- */

/* Without memory nobody is called now, but when the bus is closed. Returns how
 * many events nobody is called for. */
static uint64_t give_up_one(struct td_client *c, struct td_outgoing *out,
                            tidings_err err)
{
    const struct td_client_port *port = &c->options.port;
    const struct td_confirm row = {
        .first = td_outgoing_first(out), .count = out->events, .code = err};
    const struct td_stretch all = {row.first, out->last};
    size_t waiters = gather(out, all, NULL);
    struct td_confirmed *confirmed =
        waiters > 0 ? confirmed_new(&row, waiters) : NULL;
    uint64_t unknown;

    if (waiters > 0 && !confirmed)
        return 0;
    if (confirmed)
        gather(out, all, confirmed);
    unknown = td_publisher_give_up(&c->publisher, out);
    c->unstored += unknown;
    if (confirmed)
        port->confirmed(port->ctx, confirmed);
    return unknown - waiters;
}

void td_client_give_up(struct td_client *c, tidings_err err, const char *text)
{
    struct td_outgoing *next;
    uint64_t alone = 0;

    for (struct td_outgoing *out = c->publisher.head; out; out = next) {
        next = out->next;
        alone += give_up_one(c, out, err);
    }
    if (alone > 0)
        add_unasked(c, err, text, alone);
}
