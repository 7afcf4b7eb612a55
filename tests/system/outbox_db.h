/* One of the two databases with an outbox and an inbox, for a test and the
 * processes that it kills. What fails ends the process with words. */
#ifndef TESTS_SYSTEM_OUTBOX_DB_H
#define TESTS_SYSTEM_OUTBOX_DB_H

#include "tidings/postgres.h"
#include "tidings/sqlite.h"

struct outbox_db {
    sqlite3 *sqlite; /* or … */
    PGconn *postgres;
    struct tidings_sqlite_handler sqlite_handler;
    struct tidings_postgres_handler postgres_handler;
    tidings_err (*handle)(struct outbox_db *db,
                          const struct tidings_event *event);
};

/** where: "sqlite:PATH", or else a conninfo. Made ready, with tables. */
void outbox_db_open(struct outbox_db *db, const char *where);
void outbox_db_close(struct outbox_db *db);

/** A statement, also one that fails with a conflict: TIDINGS_ETIMEDOUT. */
tidings_err outbox_db_try(struct outbox_db *db, const char *sql);
void outbox_db_run(struct outbox_db *db, const char *sql);
/** The number that a query gives. */
int64_t outbox_db_number(struct outbox_db *db, const char *sql);

tidings_err outbox_db_publish(struct outbox_db *db,
                              const struct tidings_event *event);
void outbox_db_relay(tidings_relay **out, const char *where, const char *url);
/** Subscribe db->handle(), which runs in a transaction. */
tidings_err outbox_db_subscribe(struct outbox_db *db, tidings_bus *bus,
                                const struct tidings_sub_options *options);

#endif
