/* Tables, and publishing into the outbox. */
#include "client/outbox/encode.h"
#include "client/outbox/postgres_db.h"

#include <stdio.h>

/* ---- tables ---- */

/* One statement each. The number of a row is taken while its key is locked, so
 * that the rows of a key are numbered in the order of their commits. */
static const char *const tables[] = {
    "CREATE TABLE tidings_outbox ("
    " number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " id text NOT NULL, type text NOT NULL, key text,"
    " at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " attributes bytea NOT NULL, data bytea,"
    " error text)", /* of a row that was refused for good */
    "CREATE TABLE tidings_inbox ("
    " of_group text NOT NULL, source text NOT NULL, id text NOT NULL,"
    " at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " PRIMARY KEY (of_group, source, id))",
    "CREATE INDEX tidings_inbox_at ON tidings_inbox (at)",
    "CREATE TABLE tidings_relay ("
    " one integer PRIMARY KEY CHECK (one = 1), version bigint NOT NULL,"
    " producer text NOT NULL, term bigint NOT NULL,"    /* of who relays */
    " first bigint NOT NULL, claim bigint[] NOT NULL)", /* turn.h */
    "CREATE FUNCTION tidings_publish(text, text, text, bytea, bytea)"
    " RETURNS bigint LANGUAGE plpgsql AS $$"
    " DECLARE given bigint;"
    " BEGIN"
    "  IF $3 IS NOT NULL THEN"
    "   PERFORM pg_advisory_xact_lock(hashtextextended($3, 7450));"
    "  END IF;"
    "  INSERT INTO tidings_outbox (id, type, key, attributes, data)"
    "   VALUES (coalesce($1, gen_random_uuid()::text), $2, $3, $4, $5)"
    "   RETURNING number INTO given;"
    "  PERFORM pg_notify('tidings_outbox', '');"
    "  RETURN given;"
    " END $$",
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* 0: there are none. */
static tidings_err read_version(int64_t *out, PGconn *db)
{
    PGresult *r = NULL;
    tidings_err err = td_postgres_run(
        &r, db, "SELECT (to_regclass('tidings_relay') IS NOT NULL)::int", NULL);

    *out = 0;
    if (err)
        return err;
    if (td_result_int(r, 0, 0)) {
        PQclear(r);
        r = NULL;
        err = td_postgres_run(&r, db, "SELECT max(version) FROM tidings_relay",
                              NULL);
        *out = err ? 0 : td_result_int(r, 0, 0);
        if (!err && *out == 0)
            *out = TD_POSTGRES_VERSION; /* its row was deleted: a copy */
    }
    PQclear(r);
    if (*out > TD_POSTGRES_VERSION)
        return td_postgres_say(TIDINGS_EVERSION,
                               "a newer library made the tables tidings_*");
    return err;
}

/* With a lock, since others may be about to do the same. */
static tidings_err make(PGconn *db)
{
    int64_t version = 0;
    tidings_err err =
        td_postgres_run(NULL, db, "SELECT pg_advisory_xact_lock(7450)", NULL);

    if (!err)
        err = read_version(&version, db);
    for (size_t i = 0; i < TABLES && !err && version == 0; i++)
        err = td_postgres_run(NULL, db, tables[i], NULL);
    if (!err)
        err = td_postgres_run(
            NULL, db,
            "INSERT INTO tidings_relay SELECT 1, 1, 'outbox-' ||"
            " replace(gen_random_uuid()::text, '-', ''), 0, 0, '{}'"
            " WHERE NOT EXISTS (SELECT FROM tidings_relay)",
            NULL);
    return err;
}

/* Its words are kept: undoing may say others. */
static tidings_err undo(PGconn *db, tidings_err err)
{
    char why[512];

    snprintf(why, sizeof(why), "%s", tidings_detail());
    PQclear(PQexec(db, "ROLLBACK"));
    tidings_set_detail(why);
    return err;
}

tidings_err tidings_postgres_prepare(PGconn *db)
{
    tidings_err err;

    if (!db)
        return td_postgres_say(TIDINGS_EINVAL, "db is NULL");
    if (PQtransactionStatus(db) == PQTRANS_INTRANS)
        return make(db);
    err = td_postgres_run(NULL, db, "BEGIN", NULL);
    if (err)
        return err;
    err = make(db);
    if (!err)
        err = td_postgres_run(NULL, db, "COMMIT", NULL);
    return err ? undo(db, err) : TIDINGS_OK;
}

/* ---- publishing ---- */

static tidings_err insert(PGconn *db, const struct tidings_event *event,
                          const void *attributes, size_t len)
{
    static const char sql[] =
        "SELECT tidings_publish(convert_from($1, 'UTF8'),"
        " convert_from($2, 'UTF8'), convert_from($3, 'UTF8'), $4, $5)";
    struct td_params p = {.len = 0};

    td_param_text(&p, event->id);
    td_param_text(&p, event->type);
    td_param_text(&p, tidings_event_attr(event, "partitionkey"));
    td_param_bytes(&p, attributes, len);
    td_param_bytes(&p, event->data, event->data_len);
    return td_postgres_run(NULL, db, sql, &p);
}

tidings_err tidings_postgres_publish(PGconn *db,
                                     const struct tidings_event *event)
{
    tidings_writer *w = NULL;
    const void *attributes = NULL;
    size_t len = 0;
    tidings_err err;

    if (!db)
        return td_postgres_say(TIDINGS_EINVAL, "db is NULL");
    if (PQtransactionStatus(db) != PQTRANS_INTRANS)
        return td_postgres_say(
            TIDINGS_EINVAL,
            PQtransactionStatus(db) == PQTRANS_INERROR
                ? "the transaction has failed: ROLLBACK"
                : "the connection is in no transaction: BEGIN, write, "
                  "publish, COMMIT");
    w = tidings_writer_new();
    err = td_encode_event(w, event);
    if (!err)
        err = tidings_writer_bytes(w, &attributes, &len);
    if (!err)
        err = insert(db, event, attributes, len);
    tidings_writer_free(w);
    return err;
}
