/* Handling each event once. */
#include <poll.h>
#include <stdio.h>

#include "client/outbox/encode.h"
#include "client/outbox/postgres_db.h"
#include "proto/limits.h"

tidings_err tidings_postgres_once(bool *first, PGconn *db, const char *group,
                                  const struct tidings_event *event)
{
    static const char sql[] =
        "INSERT INTO tidings_inbox (of_group, source, id) VALUES"
        " (convert_from($1, 'UTF8'), convert_from($2, 'UTF8'),"
        " convert_from($3, 'UTF8')) ON CONFLICT DO NOTHING RETURNING 1";
    struct td_params p = {.len = 0};
    PGresult *r = NULL;
    tidings_err err;

    if (!first || !db || !group || !event || !event->source || !event->id)
        return td_postgres_say(TIDINGS_EINVAL,
                               "first, db, group, event, or its source or id, "
                               "is NULL");
    if (PQtransactionStatus(db) != PQTRANS_INTRANS)
        return td_postgres_say(TIDINGS_EINVAL,
                               "the connection is in no transaction: BEGIN, "
                               "look whether it is the first time, write, "
                               "COMMIT");
    td_param_text(&p, group);
    td_param_text(&p, event->source);
    td_param_text(&p, event->id);
    err = td_postgres_run(&r, db, sql, &p);
    if (!err)
        *first = PQntuples(r) > 0;
    PQclear(r);
    return err;
}

tidings_err tidings_postgres_prune(uint64_t *removed, PGconn *db,
                                   int64_t keep_ms, unsigned max_rows)
{
    static const char sql[] =
        "WITH gone AS (DELETE FROM tidings_inbox"
        " WHERE (of_group, source, id) IN (SELECT of_group, source, id"
        "  FROM tidings_inbox WHERE at < now() - $1 * interval '1 ms'"
        "  ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1)"
        " SELECT count(*) FROM gone";
    struct td_params p = {.len = 0};
    PGresult *r = NULL;
    tidings_err err;

    if (!db || keep_ms < 0)
        return td_postgres_say(TIDINGS_EINVAL,
                               "db is NULL, or keep_ms below 0");
    td_param_int(&p, keep_ms);
    td_param_int(&p, max_rows);
    err = td_postgres_run(&r, db, sql, &p);
    if (!err && removed)
        *removed = (uint64_t)td_result_int(r, 0, 0);
    PQclear(r);
    return err;
}

/* ---- a handler ---- */

/* How one try ended. */
struct end {
    tidings_err err;
    bool own; /* the code is the user's */
};

static tidings_err forget_old(const struct tidings_postgres_handler *h)
{
    if (h->keep_ms < 0)
        return TIDINGS_OK;
    return tidings_postgres_prune(NULL, h->db,
                                  h->keep_ms ? h->keep_ms : TD_INBOX_KEEP_MS,
                                  TD_INBOX_PRUNE_ROWS);
}

/* Within the transaction. */
static struct end handle(const struct tidings_postgres_handler *h,
                         const struct tidings_event *event)
{
    bool first = false;
    tidings_err err = tidings_postgres_once(&first, h->db, h->group, event);

    if (err || !first)
        return (struct end){err, false};
    err = h->handle(h->arg, h->db, event);
    if (err == TIDINGS_ELATER)
        err = td_postgres_say(TIDINGS_EINVAL,
                              "TIDINGS_ELATER: the transaction ends with the "
                              "handler");
    if (!err && PQtransactionStatus(h->db) == PQTRANS_INERROR)
        err = td_postgres_say(TIDINGS_EIO,
                              "a statement of the handler has failed");
    /* A lost connection is not the event's fault. */
    if (err)
        return (struct end){err, PQstatus(h->db) == CONNECTION_OK};
    return (struct end){forget_old(h), false};
}

static struct end try_once(const struct tidings_postgres_handler *h,
                           const struct tidings_event *event)
{
    struct end end = {td_postgres_run(NULL, h->db, "BEGIN", NULL), false};

    if (!end.err)
        end = handle(h, event);
    if (!end.err)
        end.err = td_postgres_run(NULL, h->db, "COMMIT", NULL);
    if (end.err && PQtransactionStatus(h->db) != PQTRANS_IDLE) {
        char why[512]; /* the reason that the handler gave goes along */

        snprintf(why, sizeof(why), "%s", tidings_detail());
        PQclear(PQexec(h->db, "ROLLBACK"));
        tidings_set_detail(why);
    }
    return end;
}

static tidings_err connect_again(PGconn *db, int64_t until_us)
{
    if (PQstatus(db) == CONNECTION_OK)
        return TIDINGS_OK;
    if (!PQresetStart(db))
        return tidings_postgres_err(db, NULL);
    return td_postgres_await(db, true, until_us);
}

tidings_err tidings_postgres_handle(void *handler,
                                    const struct tidings_event *event)
{
    const struct tidings_postgres_handler *h = handler;
    struct end end = {TIDINGS_OK, false};
    int64_t until_us;

    if (!h || !h->db || !h->group || !h->handle || !event)
        return td_postgres_say(TIDINGS_EINVAL,
                               "db, group or handle of the handler is NULL");
    until_us = td_unix_now_us() +
               (int64_t)(h->busy_ms > 0 ? h->busy_ms : TD_INBOX_BUSY_MS) * 1000;
    end.err = connect_again(h->db, until_us);
    if (!end.err) {
        do
            end = try_once(h, event);
        while (end.err == TIDINGS_ETIMEDOUT && td_unix_now_us() < until_us);
    }
    if (!end.err || (end.own && end.err != TIDINGS_ETIMEDOUT))
        return end.err;
    if (end.err != TIDINGS_ETIMEDOUT) /* it comes again at once */
        poll(NULL, 0, TD_INBOX_PAUSE_MS);
    return TIDINGS_ERELEASE;
}
