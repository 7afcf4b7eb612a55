/* tidings/outbox.h: events that are published if, and only if, a transaction
 * of a database commits.
 *
 * A service that writes to its database and publishes an event has to do both
 * or neither. It writes the event into the table tidings_outbox, within the
 * transaction of its own writes: tidings/sqlite.h, tidings/postgres.h. A
 * **relay**, a thread with connections of its own to the database and to the
 * broker, publishes what is committed there, and removes it once it is confirmed
 * at TIDINGS_DISK. This header is about the relay, which is the same for both
 * databases, and for another one that has the operations at the end of it.
 *
 *     tidings_sqlite_relay(&relay, "orders.db", "tcp://127.0.0.1:7450", NULL);
 *     ...
 *     tidings_relay_close(relay);
 *
 * What is promised
 * - Each row is stored by the broker **once**, whatever is killed when: process,
 *   database or broker. Before it publishes, the relay writes down which rows
 *   and under which numbers of a named producer (tidings/durable.h) it does so;
 *   after a crash the broker's last number says whether they were stored,
 *   however long ago that was. An event's id is the row's own from the moment it
 *   is written, so that an inbox recognises it, too.
 * - Rows of one **key** (attribute partitionkey; without one: of one type) are
 *   stored in the order in which they were written. While one of them cannot be
 *   stored (TIDINGS_EFULL, TIDINGS_EIO, no broker) none that comes after it is.
 *   Up to 1,024 rows are published as one list, all or none.
 * - A row that is refused for good stands in nobody's way: it is marked in its
 *   column error, which begins with the code, told (TIDINGS_RELAY_REFUSED) and
 *   counted, and stays in the table. The broker refuses one that no stream takes
 *   (ENOSTREAM), whose id or number is another event's (ECONFLICT), or that it
 *   may not take (EINVAL); the relay itself one that is too large (ELIMIT,
 *   EINVAL) or no event (EINVAL), or whose attributes cannot be read (EPROTO), as
 *   when another program than these libraries wrote it. Later rows of its key
 *   **are** published. UPDATE tidings_outbox SET error = NULL, with what is wrong
 *   mended, has it tried again, then after those; DELETE drops it.
 * - One relay at a time has an outbox, in whatever process. Another stands by,
 *   and takes over when the first has closed or died. One that was thought dead
 *   and wakes up is fenced: nothing of it is stored any more.
 *
 * A stream of the broker that is full and rejects holds back what it takes, and
 * the keys of that; rows for other streams pass, as far as they are among the
 * next 4,096.
 *
 * A copy of a database has the same producer's name as the original: their
 * relays, on one broker, take the name from one another, again and again, told
 * as TIDINGS_EFENCED. Delete the row of tidings_relay in the copy.
 *
 * The broker needs a data folder. Terms: PROTOCOL.md 3 "Names", 10.1. Errors as
 * in tidings.h, which this header includes.
 */
#ifndef TIDINGS_OUTBOX_H
#define TIDINGS_OUTBOX_H

#include "tidings/tidings.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tidings_relay tidings_relay;

enum tidings_relay_kind {
    TIDINGS_RELAY_ACTIVE,  /* it has the outbox, and a broker: rows flow; also
                              after TROUBLE, when that is over */
    TIDINGS_RELAY_STANDBY, /* another relay has the outbox; it tries to take
                              over every second */
    TIDINGS_RELAY_TROUBLE, /* rows wait: err and text say what is wrong with the
                              database, the broker, or a full stream. It goes on
                              trying; told again only when the code changes */
    TIDINGS_RELAY_REFUSED  /* a row is refused for good: row, event_id,
                              event_type, and why */
};

/** What on_status is told. Pointers are valid during the call. */
struct tidings_relay_status {
    enum tidings_relay_kind kind;
    tidings_err err;
    const char *text;     /* one line, never NULL */
    int64_t row;          /* of REFUSED: its column number; else 0 */
    const char *event_id; /* of REFUSED; else NULL. "": it cannot be read, … */
    const char *event_type; /* … nor this */
};

/** Name of a kind, "active"; "?" for a value not in the enum. */
TIDINGS_API const char *tidings_relay_kind_name(enum tidings_relay_kind kind);

/** Settings of a relay. All zero: the defaults. */
struct tidings_relay_options {
    const char *name;   /* of its bus, for people; default "relay" */
    const char *source; /* of events that were written without one; default as
                           in struct tidings_options */
    int poll_ms;        /* how often it looks for rows that nobody woke it for:
                           10..TIDINGS_TIMEOUT_MAX_MS. Default, 0: SQLite 20,
                           where a look is one page's header, PostgreSQL 1000,
                           where it hears of them */
    void (*on_status)(void *arg, const struct tidings_relay_status *status);
    void *on_status_arg; /* called on the relay's thread; it may call all but
                            tidings_relay_flush() and tidings_relay_close() */
};

/** What a relay has done since it was opened. */
struct tidings_relay_info {
    bool active;       /* rows flow, at this moment */
    uint64_t relayed;  /* rows that were confirmed */
    uint64_t refused;  /* rows that were refused for good */
    uint64_t waiting;  /* rows in the table that are to be relayed, as it was
                          when it last looked; more than 100,000 are not
                          counted; 0 while it stands by … */
    int64_t oldest_ms; /* … and how long the first of them has been there */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL */
TIDINGS_API tidings_err tidings_relay_info(struct tidings_relay_info *out,
                                           tidings_relay *relay);

/**
 * Have the relay look now: a transaction that published has committed.
 *
 * Not needed: it polls; and with PostgreSQL a commit wakes it by itself.
 * Threads: any. NULL is allowed and does nothing.
 */
TIDINGS_API void tidings_relay_wake(tidings_relay *relay);

/**
 * Wait until each row that was committed before this call is stored by the
 * broker, or refused for good.
 *
 * @return TIDINGS_OK
 *         TIDINGS_ETIMEDOUT  not all of them; the detail says what is wrong, if
 *                            it is known. The relay goes on.
 *         TIDINGS_EINVAL
 * Threads: any, but its own.
 */
TIDINGS_API tidings_err tidings_relay_flush(tidings_relay *relay,
                                            int timeout_ms);

/**
 * End the relay: its thread, its bus and its connection. A list that is on its
 * way may still be confirmed, and a database that is slow still answer, for two
 * seconds in all; rows that were not confirmed stay where they are. Only a name
 * server that libpq asks just then is waited for longer: hostaddr= in the
 * connection's text asks none. NULL is allowed and does nothing.
 */
TIDINGS_API void tidings_relay_close(tidings_relay *relay);

/* ======================================================================
 * Another database
 *
 * The relay does all that it does through these operations, on its own thread,
 * one at a time.
 * ====================================================================== */

/** Rows that are being read. */
struct tidings_outbox_rows;

/** Add a row, in the order of their numbers, to those that are being read. One
 *  that is no event (tidings_event_check()) is refused for good.
 *  @param event  copied.
 *  @return TIDINGS_OK, TIDINGS_ENOMEM */
TIDINGS_API tidings_err tidings_outbox_add(struct tidings_outbox_rows *rows,
                                           int64_t number,
                                           const struct tidings_event *event);

/** The same for a row that cannot be read as an event: it is refused for good
 *  (TIDINGS_EPROTO).
 *  @param event   of which type and id, either may be NULL, are told.
 *  @param reason  one line. */
TIDINGS_API tidings_err
tidings_outbox_add_bad(struct tidings_outbox_rows *rows, int64_t number,
                       const struct tidings_event *event, const char *reason);

/** What the database remembers of its relay: one row. */
struct tidings_outbox_claim {
    char producer[65]; /* a name that no other outbox has: random */
    uint64_t first;    /* the number of the first event of the list that was
                          published last; 0: there was none */
    size_t len;        /* of that list */
    int64_t rows[TIDINGS_LIST_MAX]; /* and its rows */
};

/** What is done in one transaction: all of it or nothing. */
struct tidings_outbox_step {
    const int64_t *remove; /* rows that are stored */
    size_t remove_len;
    int64_t refuse;     /* a row that is refused for good; 0: none. Its column
                           error becomes … */
    const char *reason; /* … this */
    const struct tidings_outbox_claim *claim; /* whose first, len and rows are
                                                 what is remembered then */
};

struct tidings_outbox_ops {
    /** Connect, become the only relay, and read the claim. Called anew after
     *  close.
     *  @return TIDINGS_OK; TIDINGS_EEXIST: another relay has it; what else is
     *          wrong, which is tried again. */
    tidings_err (*open)(void *db, struct tidings_outbox_claim *out);
    /** Disconnect, whatever state it is in; also without open. */
    void (*close)(void *db);
    /** Read the first rows, at most max_rows and about max_bytes of data, at
     *  least one, that have no error.
     *  @return TIDINGS_OK, also when there are none. TIDINGS_ETIMEDOUT: the
     *          database is busy, and the same is to be called again. Other
     *          errors: the connection is of no use any more. */
    tidings_err (*read)(void *db, struct tidings_outbox_rows *rows,
                        size_t max_rows, size_t max_bytes);
    /** Do a step; errors as read. After TIDINGS_ETIMEDOUT nothing was done;
     *  after others it may have been. */
    tidings_err (*step)(void *db, const struct tidings_outbox_step *step);
    /** How many rows wait, and since when the first does (Unix microseconds;
     *  0: none does). */
    tidings_err (*count)(void *db, uint64_t *waiting, int64_t *oldest_us);
    /** Wait until there may be new rows, until fd is readable, or for
     *  timeout_ms. */
    void (*wait)(void *db, int fd, int timeout_ms);
    /** Free db. */
    void (*free)(void *db);
    /** The relay is to be closed: from two seconds after this on, no operation
     *  waits for the database any more. Called on another thread, while an
     *  operation may be at work. NULL: none waits for long. */
    void (*end)(void *db);
};

/**
 * Begin to relay.
 *
 * Never waits for database or broker: what is wrong, also with a URL, is told by
 * on_status, and tried again.
 *
 * @param out      closed with tidings_relay_close().
 * @param ops      static; copied.
 * @param db       the operations' own; freed by ops.free, also when this
 *                 function fails.
 * @param poll_ms  what 0 in options.poll_ms means.
 * @param url      of the broker, as for tidings_open().
 * @param options  borrowed during the call; NULL: the defaults.
 * @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ENOMEM, TIDINGS_EIO (a thread or
 *         pipe could not be made)
 */
TIDINGS_API tidings_err tidings_relay_open(
    tidings_relay **out, const struct tidings_outbox_ops *ops, void *db,
    int poll_ms, const char *url, const struct tidings_relay_options *options);

#ifdef __cplusplus
}
#endif
#endif
