/* What the files of libtidings_sqlite share: statements, and what SQLite's codes
 * mean. */
#ifndef OUTBOX_SQLITE_DB_H
#define OUTBOX_SQLITE_DB_H

#include <sqlite3.h>

#include "tidings/outbox.h"

#define TD_SQLITE_VERSION 1 /* of the tables */

/* The detail, and err. */
tidings_err td_sqlite_say(tidings_err err, const char *text);

/* The code for what SQLite answered; not OK. TIDINGS_ETIMEDOUT: it is busy. */
tidings_err td_sqlite_failed(sqlite3 *db, int code);

/* One statement without parameters. */
tidings_err td_sqlite_run(sqlite3 *db, const char *sql);

tidings_err td_sqlite_statement(sqlite3_stmt **out, sqlite3 *db,
                                const char *sql);
/* Steps one that gives no rows to its end. */
tidings_err td_sqlite_finish(sqlite3 *db, sqlite3_stmt *s);

/* How long statements wait for somebody else who writes: TD_OUTBOX_BUSY_MS, and
 * not for long after the end, which any thread may tell. All zero at first. */
struct td_sqlite_patience {
    int64_t since_ms;
    _Atomic int64_t end_ms;
};

void td_sqlite_be_patient(sqlite3 *db, struct td_sqlite_patience *p);
void td_sqlite_end_patience(struct td_sqlite_patience *p);

/* The version of the tables. TIDINGS_ENOTFOUND: there are none. */
tidings_err td_sqlite_version(int64_t *out, sqlite3 *db);

#endif
