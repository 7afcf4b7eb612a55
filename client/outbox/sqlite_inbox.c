/* Handling each event once. */
#include <stdio.h>

#include "client/outbox/encode.h"
#include "client/outbox/sqlite_db.h"
#include "proto/limits.h"
#include "tidings/sqlite.h"

static tidings_err insert(bool *first, sqlite3 *db, const char *group,
                          const struct tidings_event *event)
{
    sqlite3_stmt *s = NULL;
    tidings_err err = td_sqlite_statement(
        &s, db,
        "INSERT OR IGNORE INTO main.tidings_inbox VALUES (?1, ?2, ?3,"
        " ?4)");

    if (err)
        return err;
    sqlite3_bind_text(s, 1, group, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, event->source, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, event->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, td_unix_now_us());
    err = td_sqlite_finish(db, s);
    if (!err)
        *first = sqlite3_changes(db) > 0;
    sqlite3_finalize(s);
    return err;
}

tidings_err tidings_sqlite_once(bool *first, sqlite3 *db, const char *group,
                                const struct tidings_event *event)
{
    if (!first || !db || !group || !event || !event->source || !event->id)
        return td_sqlite_say(TIDINGS_EINVAL,
                             "first, db, group, event, or its source or id, "
                             "is NULL");
    if (sqlite3_get_autocommit(db))
        return td_sqlite_say(TIDINGS_EINVAL,
                             "the connection is in no transaction: BEGIN, "
                             "look whether it is the first time, write, "
                             "COMMIT");
    return insert(first, db, group, event);
}

tidings_err tidings_sqlite_prune(uint64_t *removed, sqlite3 *db,
                                 int64_t keep_ms, unsigned max_rows)
{
    static const char sql[] =
        "DELETE FROM main.tidings_inbox WHERE (of_group, source, id) IN"
        " (SELECT of_group, source, id FROM main.tidings_inbox"
        " WHERE at < ?1 ORDER BY at LIMIT ?2)";
    sqlite3_stmt *s = NULL;
    tidings_err err;

    if (!db || keep_ms < 0)
        return td_sqlite_say(TIDINGS_EINVAL, "db is NULL, or keep_ms below 0");
    err = td_sqlite_statement(&s, db, sql);
    if (err)
        return err;
    sqlite3_bind_int64(s, 1, td_unix_now_us() - keep_ms * 1000);
    sqlite3_bind_int64(s, 2, max_rows);
    err = td_sqlite_finish(db, s);
    if (!err && removed)
        *removed = (uint64_t)sqlite3_changes(db);
    sqlite3_finalize(s);
    return err;
}

/* ---- a handler ---- */

/* Others write: again, until the time is over. */
static tidings_err begin(const struct tidings_sqlite_handler *h)
{
    int64_t busy_ms = h->busy_ms > 0 ? h->busy_ms : TD_INBOX_BUSY_MS;
    int64_t until_us = td_unix_now_us() + busy_ms * 1000;
    tidings_err err = td_sqlite_run(h->db, "BEGIN IMMEDIATE");

    while (err == TIDINGS_ETIMEDOUT && td_unix_now_us() < until_us) {
        sqlite3_sleep(1);
        err = td_sqlite_run(h->db, "BEGIN IMMEDIATE");
    }
    return err;
}

static tidings_err forget_old(const struct tidings_sqlite_handler *h)
{
    if (h->keep_ms < 0)
        return TIDINGS_OK;
    return tidings_sqlite_prune(NULL, h->db,
                                h->keep_ms ? h->keep_ms : TD_INBOX_KEEP_MS,
                                TD_INBOX_PRUNE_ROWS);
}

/* The effect; *own: the code is the user's. */
static tidings_err handle(const struct tidings_sqlite_handler *h,
                          const struct tidings_event *event, bool *own)
{
    bool first = false;
    tidings_err err = tidings_sqlite_once(&first, h->db, h->group, event);

    if (err || !first)
        return err;
    err = h->handle(h->arg, h->db, event);
    *own = err != TIDINGS_OK;
    if (err == TIDINGS_ELATER)
        return td_sqlite_say(TIDINGS_EINVAL,
                             "TIDINGS_ELATER: the transaction ends with the "
                             "handler");
    return err ? err : forget_old(h);
}

/* The reason that the handler gave goes with what it returned. */
static void roll_back(sqlite3 *db)
{
    char why[512];

    if (sqlite3_get_autocommit(db))
        return; /* SQLite did it itself, as for a full disk */
    snprintf(why, sizeof(why), "%s", tidings_detail());
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    tidings_set_detail(why);
}

/* The event comes again at once: not in a circle without rest. */
static tidings_err give_back(tidings_err err)
{
    if (err != TIDINGS_ETIMEDOUT)
        sqlite3_sleep(TD_INBOX_PAUSE_MS);
    return TIDINGS_ERELEASE;
}

tidings_err tidings_sqlite_handle(void *handler,
                                  const struct tidings_event *event)
{
    const struct tidings_sqlite_handler *h = handler;
    bool own = false;
    tidings_err err;

    if (!h || !h->db || !h->group || !h->handle || !event)
        return td_sqlite_say(TIDINGS_EINVAL,
                             "db, group or handle of the handler is NULL");
    err = begin(h);
    if (err)
        return give_back(err);
    err = handle(h, event, &own);
    if (!err) {
        err = td_sqlite_run(h->db, "COMMIT");
        own = err == TIDINGS_ECONFLICT; /* what was written may not be */
    }
    if (!err) {
        tidings_relay_wake(h->relay);
        return TIDINGS_OK;
    }
    roll_back(h->db);
    return own ? err : give_back(err);
}
