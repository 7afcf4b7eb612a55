/* Tables, and publishing into the outbox. */
#include "tidings/sqlite.h"

#include <stdio.h>
#include <string.h>

#include "client/outbox/encode.h"
#include "client/outbox/sqlite_db.h"

/* ---- tables ---- */

/* Numbers are never used again (AUTOINCREMENT): the relay remembers rows by
 * them. */
static const char tables[] =
    "CREATE TABLE IF NOT EXISTS main.tidings_outbox ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id TEXT NOT NULL, type TEXT NOT NULL, key TEXT,"
    " at INTEGER NOT NULL," /* Unix microseconds */
    " attributes BLOB NOT NULL, data BLOB,"
    " error TEXT);" /* of a row that was refused for good */
    "CREATE TABLE IF NOT EXISTS main.tidings_inbox ("
    " of_group TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,"
    " at INTEGER NOT NULL, PRIMARY KEY (of_group, source, id)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS main.tidings_inbox_at ON tidings_inbox (at);"
    "CREATE TABLE IF NOT EXISTS main.tidings_relay ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL,"
    " producer TEXT NOT NULL, term INTEGER NOT NULL," /* of who relays */
    " first INTEGER NOT NULL, claim BLOB NOT NULL);"  /* turn.h */
    "INSERT OR IGNORE INTO main.tidings_relay"
    " VALUES (1, 1, 'outbox-' || lower(hex(randomblob(16))), 0, 0, x'');";

tidings_err tidings_sqlite_prepare(sqlite3 *db)
{
    int64_t version;
    tidings_err err;

    if (!db)
        return td_sqlite_say(TIDINGS_EINVAL, "db is NULL");
    err = td_sqlite_version(&version, db);
    if (err && err != TIDINGS_ENOTFOUND)
        return err;
    if (!err && version == TD_SQLITE_VERSION)
        return TIDINGS_OK;
    /* A savepoint is a transaction of its own where there is none. */
    err = td_sqlite_run(db, "SAVEPOINT tidings_prepare");
    if (err)
        return err;
    err = td_sqlite_run(db, tables);
    if (!err)
        err = td_sqlite_run(db, "RELEASE tidings_prepare");
    if (err) { /* its words are kept: undoing may say others */
        char why[512];

        snprintf(why, sizeof(why), "%s", tidings_detail());
        sqlite3_exec(db, "ROLLBACK TO tidings_prepare; RELEASE tidings_prepare",
                     NULL, NULL, NULL);
        tidings_set_detail(why);
    }
    return err;
}

/* ---- publishing ---- */

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static tidings_err insert(sqlite3 *db, const struct tidings_event *event,
                          const void *attributes, size_t len)
{
    static const char sql[] =
        "INSERT INTO main.tidings_outbox (id, type, key, at, attributes, data)"
        " VALUES (coalesce(?1, lower(hex(randomblob(16)))),"
        " ?2, ?3, ?4, ?5, ?6)";
    sqlite3_stmt *s = NULL;
    tidings_err err = td_sqlite_statement(&s, db, sql);

    if (err)
        return err;
    bind_text(s, 1, event->id);
    bind_text(s, 2, event->type);
    bind_text(s, 3, tidings_event_attr(event, "partitionkey"));
    sqlite3_bind_int64(s, 4, td_unix_now_us());
    sqlite3_bind_blob64(s, 5, attributes, len, SQLITE_STATIC);
    if (event->data_len > 0)
        sqlite3_bind_blob64(s, 6, event->data, event->data_len, SQLITE_STATIC);
    err = td_sqlite_finish(db, s);
    sqlite3_finalize(s);
    return err;
}

tidings_err tidings_sqlite_publish(sqlite3 *db,
                                   const struct tidings_event *event)
{
    tidings_writer *w = NULL;
    const void *attributes = NULL;
    size_t len = 0;
    tidings_err err;

    if (!db)
        return td_sqlite_say(TIDINGS_EINVAL, "db is NULL");
    if (sqlite3_get_autocommit(db))
        return td_sqlite_say(TIDINGS_EINVAL,
                             "the connection is in no transaction: BEGIN, "
                             "write, publish, COMMIT");
    w = tidings_writer_new();
    err = td_encode_event(w, event);
    if (!err)
        err = tidings_writer_bytes(w, &attributes, &len);
    if (!err)
        err = insert(db, event, attributes, len);
    tidings_writer_free(w);
    return err;
}
