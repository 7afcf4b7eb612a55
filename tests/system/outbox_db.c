#include "tests/system/outbox_db.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS    10000
#define CONNECT_MS 30000

static void must(tidings_err err, const char *what)
{
    if (!err)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, tidings_err_name(err),
            tidings_detail());
    exit(1);
}

static const char *path_of(const char *where)
{
    return strncmp(where, "sqlite:", 7) == 0 ? where + 7 : NULL;
}

static void silent(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

/* A server that was killed says for a moment that it is starting. */
static PGconn *connect_db(const char *conninfo)
{
    PGconn *db = PQconnectdb(conninfo);

    for (int ms = 0; PQstatus(db) != CONNECTION_OK && ms < CONNECT_MS;
         ms += 20) {
        sqlite3_sleep(20);
        PQreset(db);
    }
    PQsetNoticeReceiver(db, silent, NULL);
    return db;
}

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS written (k integer PRIMARY KEY, n integer);"
    "CREATE TABLE IF NOT EXISTS effects (k integer, n integer,"
    " good integer)";

void outbox_db_open(struct outbox_db *db, const char *where)
{
    memset(db, 0, sizeof(*db));
    if (path_of(where)) {
        if (sqlite3_open(path_of(where), &db->sqlite) != SQLITE_OK)
            must(TIDINGS_EIO, where);
        sqlite3_busy_timeout(db->sqlite, BUSY_MS);
        outbox_db_run(db, "PRAGMA journal_mode = WAL");
        must(tidings_sqlite_prepare(db->sqlite), "prepare");
    } else {
        db->postgres = connect_db(where);
        must(tidings_postgres_prepare(db->postgres), "prepare");
    }
    outbox_db_run(db, tables);
}

void outbox_db_close(struct outbox_db *db)
{
    sqlite3_close(db->sqlite);
    PQfinish(db->postgres);
    memset(db, 0, sizeof(*db));
}

tidings_err outbox_db_try(struct outbox_db *db, const char *sql)
{
    tidings_err err;
    PGresult *r;

    if (db->sqlite) {
        if (sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK)
            return TIDINGS_OK;
        tidings_set_detail(sqlite3_errmsg(db->sqlite));
        return TIDINGS_EIO;
    }
    r = PQexec(db->postgres, sql);
    err = tidings_postgres_err(db->postgres, r);
    PQclear(r);
    return err;
}

void outbox_db_run(struct outbox_db *db, const char *sql)
{
    must(outbox_db_try(db, sql), sql);
}

static int64_t number_of_sqlite(struct outbox_db *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t n = 0;

    if (sqlite3_prepare_v2(db->sqlite, sql, -1, &s, NULL) != SQLITE_OK)
        must(TIDINGS_EIO, sql);
    if (sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

int64_t outbox_db_number(struct outbox_db *db, const char *sql)
{
    PGresult *r;
    int64_t n = 0;

    if (db->sqlite)
        return number_of_sqlite(db, sql);
    r = PQexec(db->postgres, sql);
    must(tidings_postgres_err(db->postgres, r), sql);
    if (PQntuples(r) > 0)
        n = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return n;
}

tidings_err outbox_db_publish(struct outbox_db *db,
                              const struct tidings_event *event)
{
    return db->sqlite ? tidings_sqlite_publish(db->sqlite, event)
                      : tidings_postgres_publish(db->postgres, event);
}

void outbox_db_relay(tidings_relay **out, const char *where, const char *url)
{
    const char *path = path_of(where);

    must(path ? tidings_sqlite_relay(out, path, url, NULL)
              : tidings_postgres_relay(out, where, url, NULL),
         "relay");
}

static tidings_err handle_sqlite(void *arg, sqlite3 *db,
                                 const struct tidings_event *event)
{
    struct outbox_db *d = arg;

    (void)db;
    return d->handle(d, event);
}

static tidings_err handle_postgres(void *arg, PGconn *db,
                                   const struct tidings_event *event)
{
    struct outbox_db *d = arg;

    (void)db;
    return d->handle(d, event);
}

tidings_err outbox_db_subscribe(struct outbox_db *db, tidings_bus *bus,
                                const struct tidings_sub_options *options)
{
    db->sqlite_handler = (struct tidings_sqlite_handler){
        .db = db->sqlite, .group = "g", .handle = handle_sqlite, .arg = db};
    db->postgres_handler = (struct tidings_postgres_handler){
        .db = db->postgres, .group = "g", .handle = handle_postgres, .arg = db};
    return db->sqlite
               ? tidings_subscribe(NULL, bus, "kill.>", tidings_sqlite_handle,
                                   &db->sqlite_handler, options)
               : tidings_subscribe(NULL, bus, "kill.>", tidings_postgres_handle,
                                   &db->postgres_handler, options);
}
