/* A service's own database: a SQLite file, one connection, one transaction at
 * a time. What a service writes and what it publishes go into the same
 * transaction; the relay publishes what was committed. */
#ifndef SHOP_DB_H
#define SHOP_DB_H

#include <pthread.h>
#include <sqlite3.h>

#include <tidings/sqlite.h>

struct shop_db {
    sqlite3 *db;
    pthread_mutex_t lock; /* held from begin to commit or rollback */
};

/** Open the file, make the service's tables, and those of outbox and inbox.
 *  The detail says what SQLite has to say. */
tidings_err shop_db_open(struct shop_db *db, const char *path,
                         const char *schema);
void shop_db_close(struct shop_db *db); /* zeroed: does nothing */

/* A transaction: begin, and if that succeeded one of the other two. */
tidings_err shop_db_begin(struct shop_db *db);
tidings_err shop_db_commit(struct shop_db *db); /* rolled back if it fails */
void shop_db_rollback(struct shop_db *db);

/**
 * Run a statement that returns nothing, in a transaction.
 *
 * @param changes  rows that it changed; may be NULL.
 * @param kinds    of the values for its question marks: "t" const char *,
 *                 "i" int64_t.
 * @return TIDINGS_OK, TIDINGS_EEXIST (a constraint says no), TIDINGS_EIO
 */
tidings_err shop_run(int *changes, sqlite3 *db, const char *sql,
                     const char *kinds, ...);

/**
 * The first row of a query, in a transaction.
 *
 * @param columns  of the row: "t" char *, size_t (cut to fit), "i" int64_t *;
 *                 after the values for its question marks.
 * @return TIDINGS_OK, TIDINGS_ENOTFOUND (no row), TIDINGS_EIO
 */
tidings_err shop_row(sqlite3 *db, const char *sql, const char *kinds,
                     const char *columns, ...);

/** The same in no transaction. */
tidings_err shop_look(struct shop_db *db, const char *sql, const char *kinds,
                      const char *columns, ...);

#endif
