/* Handling each event once. */
#include <poll.h>
#include <stdio.h>

#include "client/outbox/postgres_db.h"
#include "proto/limits.h"

/* A statement of the handler's own has a deadline; 0: it has none. */
static tidings_err run(PGresult **out, PGconn *db, const char *sql,
                       const struct td_params *params, int64_t until_us)
{
    return until_us
               ? td_postgres_run_until(out, db, sql, params,
                                       (struct td_deadline){until_us, NULL})
               : td_postgres_run(out, db, sql, params);
}

static tidings_err once(bool *first, PGconn *db, const char *group,
                        const struct tidings_event *event, int64_t until_us)
{
    static const char sql[] =
        "INSERT INTO tidings_inbox (of_group, source, id) VALUES"
        " (convert_from($1, 'UTF8'), convert_from($2, 'UTF8'),"
        " convert_from($3, 'UTF8')) ON CONFLICT DO NOTHING RETURNING 1";
    struct td_params p = {.len = 0};
    PGresult *r = NULL;
    tidings_err err;

    td_param_text(&p, group);
    td_param_text(&p, event->source);
    td_param_text(&p, event->id);
    err = run(&r, db, sql, &p, until_us);
    if (!err)
        *first = PQntuples(r) > 0;
    PQclear(r);
    return err;
}

tidings_err tidings_postgres_once(bool *first, PGconn *db, const char *group,
                                  const struct tidings_event *event)
{
    if (!first || !db || !group || !event || !event->source || !event->id)
        return td_postgres_say(TIDINGS_EINVAL,
                               "first, db, group, event, or its source or id, "
                               "is NULL");
    if (PQtransactionStatus(db) != PQTRANS_INTRANS)
        return td_postgres_say(TIDINGS_EINVAL,
                               "the connection is in no transaction: BEGIN, "
                               "look whether it is the first time, write, "
                               "COMMIT");
    return once(first, db, group, event, 0);
}

static tidings_err prune(uint64_t *removed, PGconn *db, int64_t keep_ms,
                         unsigned max_rows, int64_t until_us)
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

    td_param_int(&p, keep_ms);
    td_param_int(&p, max_rows);
    err = run(&r, db, sql, &p, until_us);
    if (!err && removed)
        *removed = (uint64_t)td_result_int(r, 0, 0);
    PQclear(r);
    return err;
}

tidings_err tidings_postgres_prune(uint64_t *removed, PGconn *db,
                                   int64_t keep_ms, unsigned max_rows)
{
    if (!db || keep_ms < 0)
        return td_postgres_say(TIDINGS_EINVAL,
                               "db is NULL, or keep_ms below 0");
    return prune(removed, db, keep_ms, max_rows, 0);
}

/* ---- a handler ---- */

/* How one try ended. */
struct end {
    tidings_err err;
    bool own;   /* it is the handler's, or the event's: it counts */
    bool again; /* the database says that another try may succeed */
};

/* What PostgreSQL says of a statement of ours, or of the COMMIT: that what was
 * written may not be so; or that it is busy, out of reach, or not set up. */
static struct end ended(tidings_err err)
{
    return (struct end){
        .err = err,
        .own = err == TIDINGS_EINVAL || err == TIDINGS_ECONFLICT,
        .again = err == TIDINGS_ETIMEDOUT,
    };
}

static int64_t deadline(const struct tidings_postgres_handler *h)
{
    return td_postgres_now_us() +
           (int64_t)(h->busy_ms > 0 ? h->busy_ms : TD_INBOX_BUSY_MS) * 1000;
}

/* What the program's function answered. A transaction that has failed was to be
 * tried again if the function hands on that; the same code without one is of
 * something else. A lost connection is not the event's fault. */
static struct end answered(PGconn *db, tidings_err err)
{
    bool failed = PQtransactionStatus(db) == PQTRANS_INERROR;

    if (err == TIDINGS_ELATER)
        err = td_postgres_say(TIDINGS_EINVAL,
                              "TIDINGS_ELATER: the transaction ends with the "
                              "handler");
    if (!err && failed)
        err = td_postgres_say(TIDINGS_EIO,
                              "a statement of the handler has failed");
    return (struct end){
        .err = err,
        .own = PQstatus(db) == CONNECTION_OK,
        .again = err == TIDINGS_ETIMEDOUT && failed,
    };
}

/* Within the transaction. */
static struct end handle(const struct tidings_postgres_handler *h,
                         const struct tidings_event *event, int64_t until_us)
{
    bool first = false;
    struct end end = ended(once(&first, h->db, h->group, event, until_us));

    if (!end.err && first)
        end = answered(h->db, h->handle(h->arg, h->db, event));
    return end;
}

/* The handler has had its own time. */
static struct end commit(const struct tidings_postgres_handler *h)
{
    int64_t until_us = deadline(h);
    tidings_err err = TIDINGS_OK;

    if (h->keep_ms >= 0)
        err = prune(NULL, h->db, h->keep_ms ? h->keep_ms : TD_INBOX_KEEP_MS,
                    TD_INBOX_PRUNE_ROWS, until_us);
    if (!err)
        err = run(NULL, h->db, "COMMIT", NULL, until_us);
    return ended(err);
}

static void roll_back(const struct tidings_postgres_handler *h)
{
    PGTransactionStatusType status = PQtransactionStatus(h->db);
    char why[512]; /* the reason that the handler gave goes along */

    if (status != PQTRANS_INTRANS && status != PQTRANS_INERROR)
        return;
    snprintf(why, sizeof(why), "%s", tidings_detail());
    run(NULL, h->db, "ROLLBACK", NULL, deadline(h));
    tidings_set_detail(why);
}

static struct end try_once(const struct tidings_postgres_handler *h,
                           const struct tidings_event *event, int64_t until_us)
{
    struct end end = ended(run(NULL, h->db, "BEGIN", NULL, until_us));

    if (!end.err)
        end = handle(h, event, until_us);
    if (!end.err)
        end = commit(h);
    if (end.err)
        roll_back(h);
    return end;
}

static tidings_err connect_again(PGconn *db, int64_t until_us)
{
    if (PQstatus(db) == CONNECTION_OK)
        return TIDINGS_OK;
    if (!PQresetStart(db))
        return tidings_postgres_err(db, NULL);
    return td_postgres_await(db, true, (struct td_deadline){until_us, NULL});
}

/* A moment for whoever is in the way; false: a further try would have no time,
 * and cost the connection. */
static bool await_turn(int64_t until_us)
{
    poll(NULL, 0, TD_INBOX_AGAIN_MS);
    return td_postgres_now_us() + TD_INBOX_AGAIN_MS * 1000 < until_us;
}

tidings_err tidings_postgres_handle(void *handler,
                                    const struct tidings_event *event)
{
    const struct tidings_postgres_handler *h = handler;
    struct end end;
    int64_t until_us;

    if (!h || !h->db || !h->group || !h->handle || !event)
        return td_postgres_say(TIDINGS_EINVAL,
                               "db, group or handle of the handler is NULL");
    until_us = deadline(h);
    end = ended(connect_again(h->db, until_us));
    if (!end.err) {
        do
            end = try_once(h, event, until_us);
        while (end.again && await_turn(until_us));
    }
    if (!end.err || (end.own && !end.again))
        return end.err;
    if (!end.again) /* it comes again at once */
        poll(NULL, 0, TD_INBOX_PAUSE_MS);
    return TIDINGS_ERELEASE;
}
