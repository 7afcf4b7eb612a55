/* tidings/postgres.h: outbox and inbox in a PostgreSQL database, through libpq.
 *
 * A library of its own, libtidings_postgres: libtidings needs no libpq.
 *
 *     tidings_postgres_prepare(db);                      // once, at the start
 *     tidings_postgres_relay(&relay, "dbname=orders", url, NULL);
 *
 *     PQexec(db, "BEGIN");
 *     ... INSERT INTO orders ...
 *     tidings_postgres_publish(db, &order_created);      // both or neither
 *     PQexec(db, "COMMIT");                              // wakes the relay
 *
 * and in a service that is told of it:
 *
 *     struct tidings_postgres_handler mails = {
 *         .db = db, .group = "mails", .handle = on_order};
 *     tidings_subscribe(&sub, bus, "order.*", tidings_postgres_handle, &mails,
 *                       &(struct tidings_sub_options){
 *                           .stream = "events", .group = "mails"});
 *
 * tidings/outbox.h says what the relay promises. Tables, and a function for
 * clients of the database in any language, are made in, and found by, the
 * connection's search_path. Versions 13 and later.
 *
 * tidings_publish(id text, type text, key text, attributes bytea, data bytea)
 * writes an event into the outbox, and returns its number. id NULL: a random
 * UUID. key: the event's partitionkey; NULL: none, or that of the attributes, whose
 * order in the table is not kept then. attributes: what else the event has, a
 * msgpack map of str to str, int, bool or bin: "time" (an int: Unix
 * microseconds), "source", "subject", "datacontenttype", "dataschema" and
 * extension attributes; '\x80' is the empty one: the time is then that of the
 * relay's publishing. data: any bytes, NULL for none; TIDINGS_DATA_MAX. What is
 * no event is refused by the relay, not by the function.
 *
 *     SELECT tidings_publish(NULL, 'order.created', 'user-7',
 *         '\x81af'::bytea || 'datacontenttype'::bytea ||
 *         '\xb0'::bytea || 'application/json'::bytea,
 *         convert_to('{"total": 5}', 'UTF8'));
 *
 * Order. A transaction that publishes an event with a partitionkey holds an
 * advisory lock on that key until it ends, so that the rows of a key stand in
 * the order of their transactions' commits. Two that publish the same two keys
 * in another order deadlock: PostgreSQL ends one of them (TIDINGS_ETIMEDOUT: roll
 * back, try again). Events without a key take no lock: those of transactions
 * that overlap in time are in the order of neither.
 *
 * A COMMIT that published wakes relays with NOTIFY, for which PostgreSQL lets
 * transactions commit one after the other.
 *
 * Threads: a connection is used by one thread at a time. A call waits for as
 * long as its connection does: connect_timeout, statement_timeout, lock_timeout
 * and the tcp_user_timeout of libpq bound that.
 */
#ifndef TIDINGS_POSTGRES_H
#define TIDINGS_POSTGRES_H

#include "tidings/outbox.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As libpq-fe.h says it, which is not in every compiler's way. */
typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;

/**
 * Make the tables tidings_outbox, tidings_inbox and tidings_relay and the
 * function tidings_publish(), if they are not there; in the caller's
 * transaction, or one of its own.
 *
 * @return TIDINGS_OK         they are there.
 *         TIDINGS_EVERSION   a newer library made them.
 *         TIDINGS_ETIMEDOUT  a deadlock, a lock that was not to be had: roll
 *                            back and try again.
 *         TIDINGS_EIO        PostgreSQL refused, or the connection is lost; the
 *                            detail has the words.
 *         TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_postgres_prepare(PGconn *db);

/**
 * Publish an event with the caller's transaction: when that commits, the relay
 * publishes it; when it does not, nothing happens.
 *
 * @param event  as for tidings_publish_event(), and checked as there; borrowed
 *               during the call. id: by default a random UUID. source: by
 *               default that of the relay.
 * @return TIDINGS_OK         it is in the table, with the transaction.
 *         TIDINGS_EINVAL     the event is not one, or the connection is in no
 *                            transaction, or in one that has failed.
 *         TIDINGS_ENOTFOUND  there is no table: tidings_postgres_prepare().
 *         TIDINGS_ETIMEDOUT, TIDINGS_EIO  as above; the transaction has failed.
 *         TIDINGS_ECONFLICT  a constraint or trigger of the table refuses it.
 *         TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err
tidings_postgres_publish(PGconn *db, const struct tidings_event *event);

/**
 * Relay what is written to the outbox of a database, in a thread with a
 * connection of its own, until tidings_relay_close().
 *
 * It holds an advisory lock, so that of several relays, in whatever process on
 * whatever machine, one is at work: each instance of a service may have one. A
 * connection that is lost is made anew. It needs a session of its own: no
 * pooler that shares sessions between transactions.
 *
 * @param conninfo  as for PQconnectdb().
 * @param url       of a broker with a data folder, as for tidings_open().
 * @param options   borrowed during the call; NULL: the defaults.
 * @return as tidings_relay_open(). Never waits: a server that does not answer
 *         is told by on_status.
 */
TIDINGS_API tidings_err tidings_postgres_relay(
    tidings_relay **out, const char *conninfo, const char *url,
    const struct tidings_relay_options *options);

/**
 * The code for a result of libpq, for handlers: TIDINGS_OK; TIDINGS_ETIMEDOUT:
 * a serialization failure, a deadlock or a lock that was not to be had, so that
 * the transaction is to be tried again; TIDINGS_ENOTFOUND: there is no such
 * table or function; TIDINGS_ECONFLICT: a constraint, or a trigger or function
 * that raises, does not allow it; TIDINGS_EINVAL: a value that there cannot be;
 * otherwise TIDINGS_EIO. The detail has PostgreSQL's words. NULL: what is wrong
 * with the connection.
 */
TIDINGS_API tidings_err tidings_postgres_err(PGconn *db,
                                             const PGresult *result);

/* ======================================================================
 * The inbox
 * ====================================================================== */

/**
 * Within the caller's transaction: remember that a group has handled an event,
 * and tell whether it had done so before. If it had, its effect is there: roll
 * back, and return TIDINGS_OK from the handler. Another transaction that is
 * handling the same event now is waited for.
 *
 * @param first  true: it had not; go on, and commit.
 * @param group  any text: each group handles an event once. Not NULL.
 * @param event  known by source and id.
 * @return as tidings_postgres_publish().
 */
TIDINGS_API tidings_err
tidings_postgres_once(bool *first, PGconn *db, const char *group,
                      const struct tidings_event *event);

/**
 * Forget events that were handled more than keep_ms ago, the oldest first; in
 * the caller's transaction, or one of its own. Keep them for longer than an
 * event may come again: a group's retries, a redrive of dead letters.
 *
 * @param removed   how many it were; may be NULL.
 * @param max_rows  at most so many in this call.
 * @return TIDINGS_OK, TIDINGS_ENOTFOUND, TIDINGS_ETIMEDOUT, TIDINGS_EIO,
 *         TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_postgres_prune(uint64_t *removed, PGconn *db,
                                               int64_t keep_ms,
                                               unsigned max_rows);

/** A handler with a database: arg of tidings_postgres_handle(). */
struct tidings_postgres_handler {
    PGconn *db;        /* not used by others while a handler may run: no workers
                          share it */
    const char *group; /* as for tidings_postgres_once() */
    /** Called in a transaction of db, which it neither commits nor rolls back;
     *  what it returns settles the event, and TIDINGS_OK commits. With
     *  TIDINGS_ETIMEDOUT, as tidings_postgres_err() says it of a statement that
     *  failed the transaction, it is called again in a new one. Its statements
     *  wait for as long as the connection does. */
    tidings_err (*handle)(void *arg, PGconn *db,
                          const struct tidings_event *event);
    void *arg;
    int busy_ms;     /* how long it goes on trying, and waits for a server that
                        does not answer, which cuts the connection: before
                        handle(), and again after it; default 5000; twice that,
                        and handle(), are less than the group's ack_wait. libpq
                        waits for a name server for as long as that takes:
                        hostaddr= in the connection's text asks none */
    int64_t keep_ms; /* each call forgets up to two events that were handled
                        more than this ago; default 0: 30 days; -1: never */
};

/**
 * A tidings_handler that handles each event once: BEGIN, look into the inbox,
 * handler->handle(), COMMIT. A connection that was lost is made anew.
 *
 * @param handler  a struct tidings_postgres_handler.
 * @return TIDINGS_OK        committed, or it had been before: done (ack).
 *         TIDINGS_ERELEASE  serialization failures for too long, or the server
 *                           is out of reach or of room, or does not answer:
 *                           given back, which does not count as a failure. When
 *                           the connection is lost with the COMMIT, it may have
 *                           been done: the inbox knows, when the event comes
 *                           again.
 *         TIDINGS_ECONFLICT, TIDINGS_EINVAL  PostgreSQL refused the COMMIT, as
 *                           for a deferred constraint: rolled back (nak).
 *         what handle() returned: rolled back (nak, term); TIDINGS_EIO when it
 *                           returned TIDINGS_OK although a statement of its
 *                           failed. TIDINGS_ELATER is TIDINGS_EINVAL: the
 *                           transaction ends with the call.
 */
TIDINGS_API tidings_err
tidings_postgres_handle(void *handler, const struct tidings_event *event);

#ifdef __cplusplus
}
#endif
#endif
