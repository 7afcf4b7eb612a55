/* The relay's side of a SQLite database: struct tidings_outbox_ops. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/outbox/encode.h"
#include "client/outbox/sqlite_db.h"
#include "client/outbox/sqlite_lock.h"
#include "proto/limits.h"
#include "tidings/sqlite.h"

enum statement { READ, REMOVE, REFUSE, CLAIM, COUNT, LOOK, STATEMENTS };

static const char *const sqls[STATEMENTS] = {
    [READ] = "SELECT number, id, type, attributes, data"
             " FROM main.tidings_outbox WHERE error IS NULL"
             " ORDER BY number LIMIT ?1",
    [REMOVE] = "DELETE FROM main.tidings_outbox WHERE number = ?1",
    [REFUSE] = "UPDATE main.tidings_outbox SET error = ?2 WHERE number = ?1",
    [CLAIM] = "UPDATE main.tidings_relay SET first = ?1, claim = ?2"
              " WHERE term = ?3",
    [COUNT] = "SELECT count(*), min(at) FROM (SELECT at"
              " FROM main.tidings_outbox WHERE error IS NULL LIMIT 100000)",
    /* It changes with each commit of another connection. */
    [LOOK] = "PRAGMA main.data_version",
};

struct outbox {
    char *path;
    int lock; /* file; -1: not held */
    sqlite3 *db;
    sqlite3_stmt *statement[STATEMENTS];
    struct td_sqlite_patience patience;
    int64_t term;
    int64_t seen; /* data_version before the last read */
    struct td_decoded decoded;
};

/* ---- opening ---- */

static void close_all(void *ctx)
{
    struct outbox *o = ctx;

    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(o->statement[i]);
        o->statement[i] = NULL;
    }
    sqlite3_close(o->db); /* what was not committed is rolled back */
    o->db = NULL;
    if (o->lock >= 0)
        close(o->lock);
    o->lock = -1;
}

static tidings_err connect_db(struct outbox *o)
{
    int code = sqlite3_open_v2(
        o->path, &o->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (code != SQLITE_OK)
        return td_sqlite_failed(o->db, code);
    sqlite3_extended_result_codes(o->db, 1);
    td_sqlite_be_patient(o->db, &o->patience);
    return td_sqlite_run(o->db, "PRAGMA synchronous = FULL");
}

static bool read_claim(struct tidings_outbox_claim *out, const uint8_t *p,
                       size_t len)
{
    if (len % 8 != 0 || len / 8 > TIDINGS_LIST_MAX)
        return false;
    out->len = len / 8;
    for (size_t i = 0; i < out->len; i++) {
        uint64_t n = 0;

        for (int byte = 0; byte < 8; byte++)
            n = n << 8 | *p++;
        out->rows[i] = (int64_t)n;
    }
    return true;
}

static tidings_err read_state(struct outbox *o,
                              struct tidings_outbox_claim *out)
{
    sqlite3_stmt *s = NULL;
    tidings_err err = td_sqlite_statement(
        &s, o->db,
        "SELECT producer, term, first, claim FROM main.tidings_relay");
    int code;

    if (err)
        return err;
    code = sqlite3_step(s);
    if (code != SQLITE_ROW)
        err = code == SQLITE_DONE
                  ? td_sqlite_say(TIDINGS_ENOTFOUND,
                                  "tidings_relay has no row: "
                                  "tidings_sqlite_prepare() makes it")
                  : td_sqlite_failed(o->db, code);
    else {
        snprintf(out->producer, sizeof(out->producer), "%s",
                 (const char *)sqlite3_column_text(s, 0));
        o->term = sqlite3_column_int64(s, 1);
        out->first = (uint64_t)sqlite3_column_int64(s, 2);
        if (!read_claim(out, sqlite3_column_blob(s, 3),
                        (size_t)sqlite3_column_bytes(s, 3)))
            err = td_sqlite_say(TIDINGS_EPROTO,
                                "tidings_relay.claim is no claim");
    }
    sqlite3_finalize(s);
    return err;
}

/* A relay that lost its lock, whatever did that, loses its term with it. */
static tidings_err begin_term(struct outbox *o,
                              struct tidings_outbox_claim *out)
{
    int64_t version;
    tidings_err err = td_sqlite_version(&version, o->db);

    if (!err)
        err = td_sqlite_run(o->db, "UPDATE main.tidings_relay"
                                   " SET term = term + 1");
    return err ? err : read_state(o, out);
}

static tidings_err open_all(void *ctx, struct tidings_outbox_claim *out)
{
    struct outbox *o = ctx;
    tidings_err err = td_sqlite_lock(&o->lock, o->path);

    if (!err)
        err = connect_db(o);
    if (!err)
        err = begin_term(o, out);
    for (int i = 0; i < STATEMENTS && !err; i++)
        err = td_sqlite_statement(&o->statement[i], o->db, sqls[i]);
    return err == TIDINGS_ETIMEDOUT ? td_sqlite_say(TIDINGS_EIO, "it is busy")
                                    : err;
}

static void free_all(void *ctx)
{
    struct outbox *o = ctx;

    if (!o)
        return;
    close_all(o);
    td_decoded_fini(&o->decoded);
    free(o->path);
    free(o);
}

/* ---- reading ---- */

static tidings_err look(struct outbox *o, int64_t *out)
{
    sqlite3_stmt *s = o->statement[LOOK];
    int code = sqlite3_step(s);
    tidings_err err = TIDINGS_OK;

    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    else
        err = td_sqlite_failed(o->db, code);
    sqlite3_reset(s);
    return err;
}

/* SQLite takes such texts. */
static bool has_nul(sqlite3_stmt *s, int column)
{
    return strlen((const char *)sqlite3_column_text(s, column)) !=
           (size_t)sqlite3_column_bytes(s, column);
}

static tidings_err add_row(struct outbox *o, struct tidings_outbox_rows *rows,
                           size_t *bytes)
{
    sqlite3_stmt *s = o->statement[READ];
    struct td_decoded *d = &o->decoded;
    int64_t number = sqlite3_column_int64(s, 0);
    tidings_err err = td_decode_event(d, sqlite3_column_blob(s, 3),
                                      (size_t)sqlite3_column_bytes(s, 3));

    d->event.id = (const char *)sqlite3_column_text(s, 1);
    d->event.type = (const char *)sqlite3_column_text(s, 2);
    if (err == TIDINGS_ENOMEM || !d->event.id || !d->event.type)
        return TIDINGS_ENOMEM;
    if (err)
        return tidings_outbox_add_bad(rows, number, &d->event,
                                      "attributes is no map of an event's");
    if (has_nul(s, 1) || has_nul(s, 2))
        return tidings_outbox_add_bad(rows, number, &d->event,
                                      "id or type has a NUL in it");
    d->event.data = sqlite3_column_blob(s, 4);
    d->event.data_len = (size_t)sqlite3_column_bytes(s, 4);
    *bytes += d->event.data_len;
    return tidings_outbox_add(rows, number, &d->event);
}

static tidings_err read_rows(void *ctx, struct tidings_outbox_rows *rows,
                             size_t max_rows, size_t max_bytes)
{
    struct outbox *o = ctx;
    sqlite3_stmt *s = o->statement[READ];
    tidings_err err = look(o, &o->seen);
    size_t bytes = 0;
    int code = SQLITE_ROW;

    sqlite3_bind_int64(s, 1, (int64_t)max_rows);
    while (!err && bytes < max_bytes) {
        code = sqlite3_step(s);
        if (code != SQLITE_ROW)
            break;
        err = add_row(o, rows, &bytes);
    }
    if (!err && code != SQLITE_ROW && code != SQLITE_DONE)
        err = td_sqlite_failed(o->db, code);
    sqlite3_reset(s);
    return err;
}

static tidings_err count(void *ctx, uint64_t *waiting, int64_t *oldest_us)
{
    struct outbox *o = ctx;
    sqlite3_stmt *s = o->statement[COUNT];
    int code = sqlite3_step(s);
    tidings_err err = TIDINGS_OK;

    if (code == SQLITE_ROW) {
        *waiting = (uint64_t)sqlite3_column_int64(s, 0);
        *oldest_us = sqlite3_column_int64(s, 1);
    } else
        err = td_sqlite_failed(o->db, code);
    sqlite3_reset(s);
    return err;
}

/* ---- steps ---- */

static tidings_err once(struct outbox *o, enum statement which)
{
    tidings_err err = td_sqlite_finish(o->db, o->statement[which]);

    sqlite3_reset(o->statement[which]);
    return err;
}

static tidings_err write_claim(struct outbox *o,
                               const struct tidings_outbox_claim *c)
{
    uint8_t rows[TIDINGS_LIST_MAX * 8];
    uint8_t *p = rows;
    sqlite3_stmt *s = o->statement[CLAIM];
    tidings_err err;

    for (size_t i = 0; i < c->len; i++) {
        for (int shift = 56; shift >= 0; shift -= 8)
            *p++ = (uint8_t)((uint64_t)c->rows[i] >> shift);
    }
    sqlite3_bind_int64(s, 1, (int64_t)c->first);
    sqlite3_bind_blob64(s, 2, rows, (sqlite3_uint64)(p - rows), SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, o->term);
    err = once(o, CLAIM);
    if (!err && sqlite3_changes(o->db) == 0)
        err = td_sqlite_say(TIDINGS_EFENCED,
                            "another relay has taken this outbox");
    return err;
}

static tidings_err do_step(struct outbox *o,
                           const struct tidings_outbox_step *step)
{
    sqlite3_stmt *remove = o->statement[REMOVE];
    sqlite3_stmt *refuse = o->statement[REFUSE];
    tidings_err err = write_claim(o, step->claim);

    for (size_t i = 0; i < step->remove_len && !err; i++) {
        sqlite3_bind_int64(remove, 1, step->remove[i]);
        err = once(o, REMOVE);
    }
    if (step->refuse && !err) {
        sqlite3_bind_int64(refuse, 1, step->refuse);
        sqlite3_bind_text(refuse, 2, step->reason, -1, SQLITE_STATIC);
        err = once(o, REFUSE);
    }
    return err;
}

static tidings_err step(void *ctx, const struct tidings_outbox_step *todo)
{
    struct outbox *o = ctx;
    tidings_err err = td_sqlite_run(o->db, "BEGIN IMMEDIATE");

    if (err)
        return err;
    err = do_step(o, todo);
    if (!err)
        err = td_sqlite_run(o->db, "COMMIT");
    if (err && !sqlite3_get_autocommit(o->db)) {
        char why[512];

        snprintf(why, sizeof(why), "%s", tidings_detail());
        sqlite3_exec(o->db, "ROLLBACK", NULL, NULL, NULL);
        tidings_set_detail(why);
    }
    return err;
}

/* ---- waiting ---- */

#define WAIT_MS 1000 /* then it is read in any case */

static void wait_for_rows(void *ctx, int fd, int poll_ms)
{
    struct outbox *o = ctx;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int64_t now = o->seen;

    for (int ms = 0; ms < WAIT_MS && now == o->seen; ms += poll_ms) {
        if (poll(&ready, 1, poll_ms) != 0 || look(o, &now))
            return;
    }
}

static void end(void *ctx)
{
    struct outbox *o = ctx;

    td_sqlite_end_patience(&o->patience);
}

static const struct tidings_outbox_ops ops = {
    .open = open_all,
    .close = close_all,
    .read = read_rows,
    .step = step,
    .count = count,
    .wait = wait_for_rows,
    .free = free_all,
    .end = end,
};

/* ---- public ---- */

#define POLL_MS 20

/* NULL: no memory. */
static struct outbox *outbox_new(const char *path)
{
    struct outbox *o = calloc(1, sizeof(*o));

    if (!o)
        return NULL;
    o->lock = -1;
    o->path = strdup(path);
    if (o->path)
        return o;
    free_all(o);
    return NULL;
}

tidings_err tidings_sqlite_relay(tidings_relay **out, const char *path,
                                 const char *url,
                                 const struct tidings_relay_options *options)
{
    struct outbox *o;

    if (!path || !*path || *path == ':' || strncmp(path, "file:", 5) == 0)
        return td_sqlite_say(TIDINGS_EINVAL,
                             "path is that of a file: its relay has a "
                             "connection of its own");
    o = outbox_new(path);
    if (!o)
        return TIDINGS_ENOMEM;
    return tidings_relay_open(out, &ops, o, POLL_MS, url, options);
}
