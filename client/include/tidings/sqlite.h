/* tidings/sqlite.h: outbox and inbox in a SQLite database.
 *
 * A library of its own, libtidings_sqlite: libtidings needs no SQLite.
 *
 *     tidings_sqlite_prepare(db);                        // once, at the start
 *     tidings_sqlite_relay(&relay, "orders.db", url, NULL);
 *
 *     sqlite3_exec(db, "BEGIN IMMEDIATE", ...);
 *     ... INSERT INTO orders ...
 *     tidings_sqlite_publish(db, &order_created);        // both or neither
 *     sqlite3_exec(db, "COMMIT", ...);
 *     tidings_relay_wake(relay);                         // not needed: sooner
 *
 * and in a service that is told of it:
 *
 *     struct tidings_sqlite_handler mails = {
 *         .db = db, .group = "mails", .handle = on_order};
 *     tidings_subscribe(&sub, bus, "order.*", tidings_sqlite_handle, &mails,
 *                       &(struct tidings_sub_options){
 *                           .stream = "events", .group = "mails"});
 *
 * on_order() is called in a transaction: what it writes, also into the outbox,
 * happens once for each event, although an event may be delivered again.
 *
 * tidings/outbox.h says what the relay promises. Tables are those of the
 * database "main"; a file in WAL mode lets the relay read while others write.
 *
 * Threads: a connection is used by one thread at a time.
 */
#ifndef TIDINGS_SQLITE_H
#define TIDINGS_SQLITE_H

#include <sqlite3.h>

#include "tidings/outbox.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make the tables tidings_outbox, tidings_inbox and tidings_relay, if they are
 * not there; in the caller's transaction, or one of its own.
 *
 * @return TIDINGS_OK         they are there.
 *         TIDINGS_EVERSION   a newer library made them.
 *         TIDINGS_ETIMEDOUT  the database is busy, for longer than the
 *                            connection's sqlite3_busy_timeout().
 *         TIDINGS_EIO        SQLite refused; the detail has its words.
 *         TIDINGS_EINVAL, TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err tidings_sqlite_prepare(sqlite3 *db);

/**
 * Publish an event with the caller's transaction: when that commits, the relay
 * publishes it; when it does not, nothing happens. Order is that of the commits,
 * and within a transaction that of the calls.
 *
 * @param event  as for tidings_publish_event(), and checked as there; borrowed
 *               during the call. id: by default a random UUID. source: by
 *               default that of the relay.
 * @return TIDINGS_OK         it is in the table, with the transaction.
 *         TIDINGS_EINVAL     the event is not one, or the connection is in no
 *                            transaction: BEGIN before.
 *         TIDINGS_ENOTFOUND  there is no table: tidings_sqlite_prepare().
 *         TIDINGS_ETIMEDOUT  the database is busy: roll back and try again.
 *         TIDINGS_EIO, TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err
tidings_sqlite_publish(sqlite3 *db, const struct tidings_event *event);

/**
 * Relay what is written to the outbox of a database file, in a thread of its
 * own, until tidings_relay_close().
 *
 * It holds a lock on the file "PATH-relay", which it makes beside the database,
 * whatever symbolic link that was opened by, so that of several relays, in
 * whatever process, one is at work. Threads of this process and other processes
 * may write meanwhile. (Hard links are no names for a SQLite database.)
 *
 * @param path     of a file; prepared, or the relay waits for it to be. Not
 *                 "", not ":memory:", no URI.
 * @param url      of a broker with a data folder, as for tidings_open().
 * @param options  borrowed during the call; NULL: the defaults.
 * @return as tidings_relay_open(). Never waits: a file that cannot be opened is
 *         told by on_status.
 */
TIDINGS_API tidings_err
tidings_sqlite_relay(tidings_relay **out, const char *path, const char *url,
                     const struct tidings_relay_options *options);

/* ======================================================================
 * The inbox
 * ====================================================================== */

/**
 * Within the caller's transaction: remember that a group has handled an event,
 * and tell whether it had done so before. If it had, its effect is there: roll
 * back, and return TIDINGS_OK from the handler.
 *
 * @param first  true: it had not; go on, and commit.
 * @param group  any text: each group handles an event once. Not NULL.
 * @param event  known by source and id.
 * @return as tidings_sqlite_publish().
 */
TIDINGS_API tidings_err tidings_sqlite_once(bool *first, sqlite3 *db,
                                            const char *group,
                                            const struct tidings_event *event);

/**
 * Forget events that were handled more than keep_ms ago, the oldest first; in
 * the caller's transaction, or one of its own. Keep them for longer than an
 * event may come again: a group's retries, a redrive of dead letters.
 *
 * @param max_rows  at most so many in this call.
 * @param removed   how many it were; may be NULL.
 * @return TIDINGS_OK, TIDINGS_ENOTFOUND, TIDINGS_ETIMEDOUT, TIDINGS_EIO,
 *         TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_sqlite_prune(uint64_t *removed, sqlite3 *db,
                                             int64_t keep_ms,
                                             unsigned max_rows);

/** A handler with a database: arg of tidings_sqlite_handle(). */
struct tidings_sqlite_handler {
    sqlite3 *db;       /* not used by others while a handler may run: no workers
                          share it */
    const char *group; /* as for tidings_sqlite_once() */
    /** Called in a transaction of db, which it neither commits nor rolls back;
     *  what it returns settles the event, and TIDINGS_OK commits. */
    tidings_err (*handle)(void *arg, sqlite3 *db,
                          const struct tidings_event *event);
    void *arg;
    int busy_ms;     /* how long it waits for a database that others write to;
                        default 5000; less than the group's ack_wait */
    int64_t keep_ms; /* each call forgets up to two events that were handled
                        more than this ago; default 0: 30 days; -1: never */
    tidings_relay *relay; /* woken after each commit; NULL: none */
};

/**
 * A tidings_handler that handles each event once: BEGIN IMMEDIATE, look into
 * the inbox, handler->handle(), COMMIT.
 *
 * @param handler  a struct tidings_sqlite_handler.
 * @return TIDINGS_OK        committed, or it had been before: done (ack).
 *         TIDINGS_ERELEASE  the database is busy, full or cannot be read or
 *                           written: rolled back; given back, which does not
 *                           count as a failure.
 *         what handle() returned: rolled back (nak, term). TIDINGS_ELATER is
 *                           TIDINGS_EINVAL: the transaction ends with the call.
 *         TIDINGS_ECONFLICT a deferred constraint refused the COMMIT of what it
 *                           wrote: rolled back (nak).
 */
TIDINGS_API tidings_err
tidings_sqlite_handle(void *handler, const struct tidings_event *event);

#ifdef __cplusplus
}
#endif
#endif
