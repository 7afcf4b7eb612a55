/* SQLite, as little of it as the services need. */
#include "db.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#define BUSY_MS 5000 /* another instance may be writing */

/* What SQLite says, in words of ours. */
static tidings_err told(sqlite3 *db, int code)
{
    if (code == SQLITE_OK || code == SQLITE_DONE)
        return TIDINGS_OK;
    tidings_set_detail(db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return TIDINGS_EEXIST;
    case SQLITE_BUSY:
        return TIDINGS_ETIMEDOUT;
    case SQLITE_NOMEM:
        return TIDINGS_ENOMEM;
    default:
        return TIDINGS_EIO;
    }
}

static tidings_err exec(sqlite3 *db, const char *sql)
{
    return told(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

tidings_err shop_db_open(struct shop_db *out, const char *path,
                         const char *schema)
{
    struct shop_db db = {0};
    tidings_err err = told(NULL, sqlite3_open(path, &db.db));

    if (!err)
        err = told(db.db, sqlite3_busy_timeout(db.db, BUSY_MS));
    if (!err)
        err = exec(db.db, "PRAGMA journal_mode = WAL");
    if (!err)
        err = exec(db.db, "PRAGMA foreign_keys = ON");
    if (!err)
        err = exec(db.db, schema);
    if (!err)
        err = tidings_sqlite_prepare(db.db);
    if (!err && pthread_mutex_init(&db.lock, NULL))
        err = TIDINGS_ENOMEM;
    if (err)
        sqlite3_close(db.db);
    else
        *out = db;
    return err;
}

void shop_db_close(struct shop_db *db)
{
    if (!db->db)
        return;
    sqlite3_close(db->db);
    pthread_mutex_destroy(&db->lock);
    db->db = NULL;
}

/* ---- transactions ---- */

tidings_err shop_db_begin(struct shop_db *db)
{
    tidings_err err;

    pthread_mutex_lock(&db->lock);
    err = exec(db->db, "BEGIN IMMEDIATE");
    if (err)
        pthread_mutex_unlock(&db->lock);
    return err;
}

tidings_err shop_db_commit(struct shop_db *db)
{
    tidings_err err = exec(db->db, "COMMIT");

    if (err)
        sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&db->lock);
    return err;
}

void shop_db_rollback(struct shop_db *db)
{
    sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&db->lock);
}

/* ---- statements ---- */

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, const char *kinds,
                             va_list *values)
{
    sqlite3_stmt *s;
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

    for (int i = 0; code == SQLITE_OK && kinds[i]; i++) {
        if (kinds[i] == 't')
            code = sqlite3_bind_text(s, i + 1, va_arg(*values, const char *),
                                     -1, SQLITE_TRANSIENT);
        else
            code = sqlite3_bind_int64(s, i + 1, va_arg(*values, int64_t));
    }
    if (code == SQLITE_OK)
        return s;
    told(db, code);
    sqlite3_finalize(s);
    return NULL;
}

tidings_err shop_run(int *changes, sqlite3 *db, const char *sql,
                     const char *kinds, ...)
{
    sqlite3_stmt *s;
    tidings_err err;
    va_list values;

    va_start(values, kinds);
    s = prepare(db, sql, kinds, &values);
    va_end(values);
    if (!s)
        return TIDINGS_EIO;
    err = told(db, sqlite3_step(s));
    sqlite3_finalize(s);
    if (!err && changes)
        *changes = sqlite3_changes(db);
    return err;
}

static void read_columns(sqlite3_stmt *s, const char *columns, va_list *out)
{
    for (int i = 0; columns[i]; i++) {
        if (columns[i] == 't') {
            char *text = va_arg(*out, char *);
            size_t size = va_arg(*out, size_t);
            const unsigned char *value = sqlite3_column_text(s, i);

            snprintf(text, size, "%s", value ? (const char *)value : "");
        } else {
            *va_arg(*out, int64_t *) = sqlite3_column_int64(s, i);
        }
    }
}

static tidings_err row(sqlite3 *db, const char *sql, const char *kinds,
                       const char *columns, va_list *args)
{
    sqlite3_stmt *s = prepare(db, sql, kinds, args);
    tidings_err err = TIDINGS_OK;
    int code;

    if (!s)
        return TIDINGS_EIO;
    code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        read_columns(s, columns, args);
    else
        err = code == SQLITE_DONE ? TIDINGS_ENOTFOUND : told(db, code);
    sqlite3_finalize(s);
    return err;
}

tidings_err shop_row(sqlite3 *db, const char *sql, const char *kinds,
                     const char *columns, ...)
{
    tidings_err err;
    va_list args;

    va_start(args, columns);
    err = row(db, sql, kinds, columns, &args);
    va_end(args);
    return err;
}

tidings_err shop_look(struct shop_db *db, const char *sql, const char *kinds,
                      const char *columns, ...)
{
    tidings_err err;
    va_list args;

    pthread_mutex_lock(&db->lock);
    va_start(args, columns);
    err = row(db->db, sql, kinds, columns, &args);
    va_end(args);
    pthread_mutex_unlock(&db->lock);
    return err;
}
