#include "client/outbox/sqlite_db.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/limits.h"

tidings_err td_sqlite_say(tidings_err err, const char *text)
{
    tidings_set_detail(text);
    return err;
}

tidings_err td_sqlite_failed(sqlite3 *db, int code)
{
    const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    char said[512];

    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return TIDINGS_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return td_sqlite_say(TIDINGS_ETIMEDOUT, text);
    case SQLITE_CONSTRAINT:
        return td_sqlite_say(TIDINGS_ECONFLICT, text);
    default:
        break;
    }
    if (strstr(text, "no such table: ")) {
        snprintf(said, sizeof(said), "%s: tidings_sqlite_prepare() makes it",
                 text);
        return td_sqlite_say(TIDINGS_ENOTFOUND, said);
    }
    return td_sqlite_say(TIDINGS_EIO, text);
}

tidings_err td_sqlite_run(sqlite3 *db, const char *sql)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? TIDINGS_OK : td_sqlite_failed(db, code);
}

tidings_err td_sqlite_statement(sqlite3_stmt **out, sqlite3 *db,
                                const char *sql)
{
    int code = sqlite3_prepare_v2(db, sql, -1, out, NULL);

    return code == SQLITE_OK ? TIDINGS_OK : td_sqlite_failed(db, code);
}

tidings_err td_sqlite_finish(sqlite3 *db, sqlite3_stmt *s)
{
    int code = sqlite3_step(s);

    return code == SQLITE_DONE ? TIDINGS_OK : td_sqlite_failed(db, code);
}

/* ---- waiting for others ---- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether a statement is tried again, for the n-th time. */
static int on_busy(void *ctx, int n)
{
    struct td_sqlite_patience *p = ctx;
    int64_t now = now_ms();
    int64_t end = atomic_load(&p->end_ms);

    if (n == 0)
        p->since_ms = now;
    if (now - p->since_ms >= TD_OUTBOX_BUSY_MS || (end && now >= end))
        return 0;
    sqlite3_sleep(n < 10 ? 1 : 10);
    return 1;
}

void td_sqlite_be_patient(sqlite3 *db, struct td_sqlite_patience *p)
{
    sqlite3_busy_handler(db, on_busy, p);
}

void td_sqlite_end_patience(struct td_sqlite_patience *p)
{
    atomic_store(&p->end_ms, now_ms() + TD_OUTBOX_END_MS);
}

tidings_err td_sqlite_version(int64_t *out, sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    tidings_err err = td_sqlite_statement(
        &s, db, "SELECT max(version) FROM main.tidings_relay");
    int code;

    if (err)
        return err;
    code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    else
        err = td_sqlite_failed(db, code);
    sqlite3_finalize(s);
    if (!err && *out > TD_SQLITE_VERSION)
        err = td_sqlite_say(TIDINGS_EVERSION,
                            "a newer library made the tables tidings_*");
    return err;
}
