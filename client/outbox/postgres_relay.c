/* The relay's side of a PostgreSQL database: struct tidings_outbox_ops. */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/outbox/encode.h"
#include "client/outbox/postgres_db.h"
#include "proto/limits.h"

#define POLL_MS     1000
#define ARRAY_BYTES (TIDINGS_LIST_MAX * 21 + 3) /* {-9223372036854775808,…} */

struct outbox {
    char *conninfo;
    PGconn *db;
    int64_t term;
    _Atomic int64_t end_us; /* it is to be closed: then nothing is waited for */
    struct td_decoded decoded;
    char *text; /* id, type and key of a row, with their NULs */
    size_t text_size;
    char remove[ARRAY_BYTES]; /* as PostgreSQL writes arrays */
    char claim[ARRAY_BYTES];
};

static struct td_deadline deadline(const struct outbox *o)
{
    return (struct td_deadline){
        td_postgres_now_us() + TD_OUTBOX_SERVER_MS * 1000, &o->end_us};
}

static tidings_err run(struct outbox *o, PGresult **out, const char *sql,
                       const struct td_params *params)
{
    return td_postgres_run_until(out, o->db, sql, params, deadline(o));
}

/* ---- opening ---- */

static void close_all(void *ctx)
{
    struct outbox *o = ctx;

    PQfinish(o->db); /* and with it the lock */
    o->db = NULL;
}

/* The library never prints. */
static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static tidings_err connect_db(struct outbox *o)
{
    tidings_err err;

    o->db = PQconnectStart(o->conninfo);
    if (!o->db)
        return TIDINGS_ENOMEM;
    err = td_postgres_await(o->db, false, deadline(o));
    if (err)
        return err;
    PQsetNoticeProcessor(o->db, ignore_notice, NULL);
    err = run(o, NULL, "SET synchronous_commit = on", NULL);
    return err ? err : run(o, NULL, "LISTEN tidings_outbox", NULL);
}

/* Of the outbox of this schema. */
static tidings_err lock(struct outbox *o)
{
    static const char sql[] =
        "SELECT pg_try_advisory_lock((7450::bigint << 32) |"
        " 'tidings_outbox'::regclass::oid::bigint)::int";
    PGresult *r = NULL;
    tidings_err err = run(o, &r, sql, NULL);

    if (!err && !td_result_int(r, 0, 0))
        err = TIDINGS_EEXIST;
    PQclear(r);
    return err;
}

static tidings_err read_claim(struct outbox *o, const PGresult *r,
                              struct tidings_outbox_claim *out)
{
    const unsigned char *p =
        (const unsigned char *)PQgetvalue(r, 0, 4); /* eight bytes each */
    size_t len = (size_t)PQgetlength(r, 0, 4);

    if (td_result_int(r, 0, 0) > TD_POSTGRES_VERSION)
        return td_postgres_say(TIDINGS_EVERSION,
                               "a newer library made the tables tidings_*");
    if (len % 8 != 0 || len / 8 > TIDINGS_LIST_MAX)
        return td_postgres_say(TIDINGS_EPROTO,
                               "tidings_relay.claim is no claim");
    snprintf(out->producer, sizeof(out->producer), "%.*s", PQgetlength(r, 0, 1),
             PQgetvalue(r, 0, 1));
    o->term = td_result_int(r, 0, 2);
    out->first = (uint64_t)td_result_int(r, 0, 3);
    out->len = len / 8;
    for (size_t i = 0; i < out->len; i++) {
        uint64_t n = 0;

        for (int byte = 0; byte < 8; byte++)
            n = n << 8 | *p++;
        out->rows[i] = (int64_t)n;
    }
    return TIDINGS_OK;
}

static tidings_err begin_term(struct outbox *o,
                              struct tidings_outbox_claim *out)
{
    static const char sql[] =
        "UPDATE tidings_relay SET term = term + 1"
        " RETURNING version, convert_to(producer, 'UTF8'), term, first,"
        " (SELECT coalesce(string_agg(int8send(n), ''::bytea ORDER BY i), '')"
        "  FROM unnest(claim) WITH ORDINALITY AS c (n, i))";
    PGresult *r = NULL;
    tidings_err err = run(o, &r, sql, NULL);

    if (!err && PQntuples(r) != 1)
        err = td_postgres_say(TIDINGS_ENOTFOUND,
                              "tidings_relay has no row: "
                              "tidings_postgres_prepare() makes it");
    if (!err)
        err = read_claim(o, r, out);
    PQclear(r);
    return err;
}

static tidings_err open_all(void *ctx, struct tidings_outbox_claim *out)
{
    struct outbox *o = ctx;
    tidings_err err = connect_db(o);

    if (!err)
        err = lock(o);
    return err ? err : begin_term(o, out);
}

static void free_all(void *ctx)
{
    struct outbox *o = ctx;

    if (!o)
        return;
    close_all(o);
    td_decoded_fini(&o->decoded);
    free(o->conninfo);
    free(o->text);
    free(o);
}

/* ---- reading ---- */

/* NUL-terminated; returns where the next goes. */
static char *take_text(const char **out, char *to, const PGresult *r, int row,
                       int column)
{
    size_t len = (size_t)PQgetlength(r, row, column);

    memcpy(to, PQgetvalue(r, row, column), len);
    to[len] = '\0';
    *out = to;
    return to + len + 1;
}

/* A key of whoever wrote the row in SQL is the event's. */
static void take_key(struct td_decoded *d, const char *key)
{
    if (tidings_event_attr(&d->event, "partitionkey") ||
        d->event.attrs_len == TIDINGS_ATTRS_MAX)
        return;
    d->attrs[d->event.attrs_len++] =
        (struct tidings_attr){.name = "partitionkey", .string = key};
}

static bool take_texts(struct outbox *o, const PGresult *r, int row)
{
    size_t size = (size_t)PQgetlength(r, row, 1) +
                  (size_t)PQgetlength(r, row, 2) +
                  (size_t)PQgetlength(r, row, 6) + 3;
    const char *key;
    char *at;

    if (o->text_size < size) {
        char *text = realloc(o->text, size);

        if (!text)
            return false;
        o->text = text;
        o->text_size = size;
    }
    at = take_text(&o->decoded.event.id, o->text, r, row, 1);
    at = take_text(&o->decoded.event.type, at, r, row, 2);
    take_text(&key, at, r, row, 6);
    if (!PQgetisnull(r, row, 6))
        take_key(&o->decoded, key);
    return true;
}

static tidings_err add_row(struct outbox *o, struct tidings_outbox_rows *rows,
                           const PGresult *r, int row)
{
    struct td_decoded *d = &o->decoded;
    int64_t number = td_result_int(r, row, 0);
    tidings_err err = td_decode_event(d, PQgetvalue(r, row, 3),
                                      (size_t)PQgetlength(r, row, 3));

    if (err == TIDINGS_ENOMEM || !take_texts(o, r, row))
        return TIDINGS_ENOMEM;
    if (td_result_int(r, row, 5))
        return tidings_outbox_add_bad(rows, number, &d->event,
                                      "attributes or data is too large");
    if (err)
        return tidings_outbox_add_bad(rows, number, &d->event,
                                      "attributes is no map of an event's");
    d->event.data = PQgetvalue(r, row, 4);
    d->event.data_len = (size_t)PQgetlength(r, row, 4);
    return tidings_outbox_add(rows, number, &d->event);
}

/* Sizes are looked at where the rows are, so that no more come than wanted, and
 * of a row that is too large none of it. A database in SQL_ASCII has texts of any
 * bytes: they come as they are, and what is not UTF-8 is refused like any other
 * row that is no event. */
static tidings_err read_rows(void *ctx, struct tidings_outbox_rows *rows,
                             size_t max_rows, size_t max_bytes)
{
    static const char sql[] =
        "SELECT number, convert_to(id, texts), convert_to(type, texts),"
        " CASE WHEN large THEN '' ELSE attributes END,"
        " CASE WHEN large THEN '' ELSE data END, large::int,"
        " convert_to(key, texts)"
        " FROM (SELECT CASE getdatabaseencoding() WHEN 'SQL_ASCII'"
        "  THEN 'SQL_ASCII' ELSE 'UTF8' END AS texts) AS encoding,"
        " (SELECT *, octet_length(attributes) > $3"
        "  OR coalesce(octet_length(data) > $3, false) AS large,"
        " sum(octet_length(data))"
        " OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) AS bytes"
        " FROM (SELECT * FROM tidings_outbox WHERE error IS NULL"
        " ORDER BY number LIMIT $1) AS first) AS summed"
        " WHERE coalesce(bytes - octet_length(data), 0) < $2 ORDER BY number";
    struct outbox *o = ctx;
    struct td_params p = {.len = 0};
    PGresult *r = NULL;
    tidings_err err;

    td_param_int(&p, (int64_t)max_rows);
    td_param_int(&p, (int64_t)max_bytes);
    td_param_int(&p, TIDINGS_DATA_MAX);
    err = run(o, &r, sql, &p);
    for (int i = 0; !err && i < PQntuples(r); i++)
        err = add_row(o, rows, r, i);
    PQclear(r);
    return err;
}

static tidings_err count(void *ctx, uint64_t *waiting, int64_t *oldest_us)
{
    static const char sql[] =
        "SELECT count(*), (extract(epoch FROM min(at)) * 1000000)::bigint"
        " FROM (SELECT at FROM tidings_outbox WHERE error IS NULL"
        " LIMIT 100000) AS first";
    PGresult *r = NULL;
    tidings_err err = run(ctx, &r, sql, NULL);

    if (!err) {
        *waiting = (uint64_t)td_result_int(r, 0, 0);
        *oldest_us = td_result_int(r, 0, 1);
    }
    PQclear(r);
    return err;
}

/* ---- steps ---- */

static void write_array(char *out, const int64_t *rows, size_t len)
{
    char *p = out;

    *p++ = '{';
    for (size_t i = 0; i < len; i++)
        p += snprintf(p, 22, "%s%lld", i > 0 ? "," : "", (long long)rows[i]);
    memcpy(p, "}", 2);
}

/* One statement is a transaction. */
static tidings_err step(void *ctx, const struct tidings_outbox_step *s)
{
    static const char sql[] =
        "WITH held AS (UPDATE tidings_relay SET first = $1,"
        "  claim = $2::bigint[] WHERE term = $3 RETURNING 1),"
        " stored AS (DELETE FROM tidings_outbox"
        "  WHERE number = ANY ($4::bigint[]) AND EXISTS (SELECT FROM held)),"
        " refused AS (UPDATE tidings_outbox SET error ="
        "  convert_from($6, 'UTF8')"
        "  WHERE number = $5 AND EXISTS (SELECT FROM held))"
        " SELECT count(*) FROM held";
    struct outbox *o = ctx;
    struct td_params p = {.len = 0};
    PGresult *r = NULL;
    tidings_err err;

    write_array(o->claim, s->claim->rows, s->claim->len);
    write_array(o->remove, s->remove, s->remove_len);
    td_param_int(&p, (int64_t)s->claim->first);
    td_param_notation(&p, o->claim);
    td_param_int(&p, o->term);
    td_param_notation(&p, o->remove);
    td_param_int(&p, s->refuse);
    td_param_text(&p, s->reason);
    err = run(o, &r, sql, &p);
    if (!err && !td_result_int(r, 0, 0))
        err = td_postgres_say(TIDINGS_EFENCED,
                              "another relay has taken this outbox");
    PQclear(r);
    return err;
}

/* ---- waiting ---- */

/* Whether one has come since the last look. */
static bool take_notices(PGconn *db)
{
    PGnotify *n;
    bool any = false;

    while ((n = PQnotifies(db)) != NULL) {
        PQfreemem(n);
        any = true;
    }
    return any;
}

static void wait_for_rows(void *ctx, int fd, int timeout_ms)
{
    struct outbox *o = ctx;
    struct pollfd ready[2] = {{.fd = fd, .events = POLLIN},
                              {.fd = PQsocket(o->db), .events = POLLIN}};

    if (take_notices(o->db))
        return;
    poll(ready, 2, timeout_ms);
    PQconsumeInput(o->db); /* what is wrong with it, the next read says */
    take_notices(o->db);
}

static void end(void *ctx)
{
    struct outbox *o = ctx;

    atomic_store(&o->end_us, td_postgres_now_us() + TD_OUTBOX_END_MS * 1000);
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

tidings_err tidings_postgres_relay(tidings_relay **out, const char *conninfo,
                                   const char *url,
                                   const struct tidings_relay_options *options)
{
    struct outbox *o;

    if (!conninfo)
        return td_postgres_say(TIDINGS_EINVAL, "conninfo is NULL");
    o = calloc(1, sizeof(*o));
    if (o)
        o->conninfo = strdup(conninfo);
    if (!o || !o->conninfo) {
        free_all(o);
        return TIDINGS_ENOMEM;
    }
    return tidings_relay_open(out, &ops, o, POLL_MS, url, options);
}
