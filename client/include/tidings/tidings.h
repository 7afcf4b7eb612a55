/* tidings: typed domain events between services.
 *
 * This header is the manual. A service opens a bus by URL, publishes events
 * of a type ("user.created"), and subscribes handlers to patterns ("user.*",
 * ">"). The same calls work in one process (inproc://), on one machine
 * (ipc://) and over a network (tcp://); only the URL differs.
 *
 *     tidings_bus *bus;
 *     tidings_open(&bus, "tcp://127.0.0.1:7450", NULL);
 *     tidings_subscribe(NULL, bus, "user.*", on_user, NULL, NULL);
 *     tidings_publish(bus, "user.created", data, len);
 *     tidings_close(bus);
 *
 * Invariants
 * - Every function that can fail returns tidings_err; results go through
 *   pointers and are written only on success. tidings_detail() has the words.
 * - A tidings_bus or tidings_sub is a handle, not memory: using it after it
 *   was closed, closing it twice, or passing NULL is an error, never a crash.
 * - After fork() the child's handles answer TIDINGS_EFORKED; it opens its own.
 * - Every call that waits has a deadline. Timeouts are milliseconds,
 *   0..86400000; 0 tries once. A timeout outside that is TIDINGS_EINVAL.
 * - The library never prints, exits, aborts or touches signals.
 * - Strings passed in are NUL-terminated and copied before the call returns.
 *
 * Threads: every function may be called from any thread unless it says
 * otherwise. Handlers of one bus run one at a time, in the order of arrival,
 * unless a subscription asks for workers.
 *
 * Terms are those of CloudEvents 1.0 and proto/PROTOCOL.md, section 1.
 */
#ifndef TIDINGS_TIDINGS_H
#define TIDINGS_TIDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/data.h"
#include "tidings/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the product; CMake reads it from here. */
#define TIDINGS_VERSION_MAJOR 0
#define TIDINGS_VERSION_MINOR 1
#define TIDINGS_VERSION_PATCH 0

/** "0.1.0": the version of the library that is linked. */
TIDINGS_API const char *tidings_version(void);

/** Where tidingsd listens and the command line connects by default. */
#define TIDINGS_DEFAULT_URL "tcp://127.0.0.1:7450"

/* Bounds of what may be published; the broker enforces the same. */
#define TIDINGS_TYPE_MAX        255         /* bytes of a type or pattern */
#define TIDINGS_TYPE_TOKENS_MAX 16          /* tokens of a type or pattern */
#define TIDINGS_DATA_MAX        (1u << 20)  /* bytes of an event's data */
#define TIDINGS_ATTRS_MAX       64          /* attributes of an event */
#define TIDINGS_ATTRS_BYTES_MAX (64u << 10) /* all of them, encoded */
#define TIDINGS_ATTR_NAME_MAX   20          /* bytes, [a-z0-9] */
#define TIDINGS_SOURCE_MAX      1023        /* bytes of a source */
#define TIDINGS_ID_MAX          255 /* bytes of an id chosen by the caller */
#define TIDINGS_TIMEOUT_MAX_MS  86400000

typedef struct tidings_bus tidings_bus;
typedef struct tidings_sub tidings_sub;
typedef struct tidings_breaker tidings_breaker; /* tidings/resilience.h */

/**
 * What the last failed call of this thread has to add to its code: which
 * argument, which bound, what to do next. One line, never NULL, "" if there
 * is nothing to add. Valid until the thread's next call.
 */
TIDINGS_API const char *tidings_detail(void);

/** Set what tidings_detail() says next on this thread; for libraries that
 *  extend this one, such as libtidings_json. Copied, cut at 511 bytes. */
TIDINGS_API void tidings_set_detail(const char *text);

/* ======================================================================
 * Types and patterns
 *
 * A type is 1..16 tokens of printable ASCII (33..126) without '.', '*' and
 * '>', joined by dots, at most 255 bytes. In a pattern a whole token may be
 * '*' (exactly one token), and the last may be '>' (one or more tokens).
 * Types beginning with '$' are the system's: they can be subscribed to, not
 * published. Term: PROTOCOL.md 1; NATS subjects are the model.
 * ====================================================================== */

/** TIDINGS_OK if type may be published; TIDINGS_EINVAL otherwise. */
TIDINGS_API tidings_err tidings_type_check(const char *type);

/** TIDINGS_OK if pattern may be subscribed to; TIDINGS_EINVAL otherwise. */
TIDINGS_API tidings_err tidings_pattern_check(const char *pattern);

/** Whether a valid pattern matches a valid type; false if either is not. */
TIDINGS_API bool tidings_pattern_matches(const char *pattern, const char *type);

/* ======================================================================
 * Events
 * ====================================================================== */

enum tidings_attr_kind {
    TIDINGS_ATTR_STRING, /* CloudEvents String, URI, URI-reference, Timestamp */
    TIDINGS_ATTR_INTEGER,
    TIDINGS_ATTR_BOOLEAN,
    TIDINGS_ATTR_BINARY
};

/** One extension attribute, e.g. partitionkey, traceparent, correlationid. */
struct tidings_attr {
    const char *name; /* 1..20 bytes, [a-z0-9] */
    enum tidings_attr_kind kind;
    const char *string; /* STRING: UTF-8, NUL-terminated */
    int32_t integer;    /* INTEGER */
    bool boolean;       /* BOOLEAN */
    const void *binary; /* BINARY: binary_len bytes */
    size_t binary_len;
};

/**
 * A CloudEvents 1.0 event; specversion is always "1.0".
 *
 * Handed to a handler, everything in it is set, and belongs to the library
 * until the handler returns. Given to tidings_publish_event(), fields may be
 * left 0 for the defaults named below, and stay the caller's.
 */
struct tidings_event {
    const char *type;            /* required */
    const char *id;              /* default: generated, unique and sortable; one
                                    of your own is stored once with its source,
                                    within the window of its stream */
    const char *source;          /* default: the bus's source */
    int64_t time_us;             /* Unix microseconds, years 1 to 9999; default
                                    (0): now */
    const char *subject;         /* NULL: none */
    const char *datacontenttype; /* NULL: "application/msgpack" */
    const char *dataschema;      /* NULL: none; a URI */
    const void *data;            /* data_len bytes; NULL only when that is 0 */
    size_t data_len;
    const struct tidings_attr *attrs; /* extension attributes */
    size_t attrs_len;
};

/** The value of a STRING attribute of an event, NULL if it has none such. */
TIDINGS_API const char *tidings_event_attr(const struct tidings_event *event,
                                           const char *name);

/** Whether tidings_publish_event() would take it: TIDINGS_OK; TIDINGS_EINVAL,
 *  and tidings_detail() says what is wrong; TIDINGS_ENOMEM. */
TIDINGS_API tidings_err tidings_event_check(const struct tidings_event *event);

#define TIDINGS_EXPIRYTIME_MAX 28 /* bytes of its text, with the NUL */

/**
 * The extension attribute expirytime: after that moment the event is handed to
 * nobody. Brokers leave it out where it is delivered, and the library looks
 * once more before it calls a handler; both count it.
 *
 * @param out      to stand among an event's attrs.
 * @param text     where out->string will point; the caller's.
 * @param time_us  Unix microseconds, years 1 to 9999.
 * @return TIDINGS_OK, TIDINGS_EINVAL
 * Term: CloudEvents "expirytime"; PROTOCOL.md 10.5.
 */
TIDINGS_API tidings_err tidings_expirytime(struct tidings_attr *out,
                                           char text[TIDINGS_EXPIRYTIME_MAX],
                                           int64_t time_us);

/** A copy that outlives the handler: the caller's, one block of memory, freed
 *  with tidings_free(). TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ENOMEM. */
TIDINGS_API tidings_err tidings_event_copy(struct tidings_event **out,
                                           const struct tidings_event *event);

/* ======================================================================
 * A bus
 * ====================================================================== */

enum tidings_status_kind {
    TIDINGS_UP,             /* greeted by the broker; publishing flows */
    TIDINGS_DOWN,           /* link lost; err and text say why; retrying */
    TIDINGS_NEW_EPOCH,      /* another broker than before: live events may be
                               missing; count events were sent again, that the
                               old one may have delivered */
    TIDINGS_NEW_SESSION,    /* the same broker, after it gave up waiting for us:
                               live events may be missing */
    TIDINGS_GAP,            /* sub missed count events; text says why */
    TIDINGS_REFUSED,        /* sub is over: the broker refused to renew it, or,
                               with TIDINGS_ECLOSED, its durable group was
                               deleted, or the stream that it reads; text says
                               which */
    TIDINGS_HANDLER_FAILED, /* a handler of sub returned err; event_type and
                               event_id name the event */
    TIDINGS_BAD_EVENT,      /* an event for sub could not be read: skipped */
    TIDINGS_HANDLER_LATE,   /* a handler of sub has been running for longer than
                               its handler_timeout_ms, count ms, and still is;
                               told once for each call */
    TIDINGS_STALE,          /* the broker did not believe the settlement of
                               count deliveries of sub: they came too late, and
                               the events are delivered again, or have been */
    TIDINGS_UNSTORED,       /* count events, for which a confirm but no callback
                               was asked, were not stored; err and text say
                               why */
    TIDINGS_FENCED,         /* another process has taken the producer's name:
                               this bus is over, and only to be closed */
    TIDINGS_GROUP_FULL /* the durable group that sub is a member of is full:
                               max_in_flight events are not settled, or one has
                               not been for very long; no more come until some
                               are. At most once a second */
};

/** What on_status is told. Pointers are valid during the call. */
struct tidings_status {
    enum tidings_status_kind kind;
    tidings_err err;
    const char *text; /* one line, never NULL */
    tidings_sub *sub; /* NULL when it is about the bus */
    uint64_t count;
    const char *event_type; /* NULL when not about an event */
    const char *event_id;
    uint64_t first; /* of TIDINGS_GAP: as in struct tidings_gap; else 0 */
    uint64_t last;
};

/** What on_gap is told: what a subscription missed. */
struct tidings_gap {
    uint64_t missed;    /* events */
    const char *reason; /* one of PROTOCOL.md 7 */
    uint64_t first;     /* of what a stream keeps: all that was missed was from
                           this sequence … */
    uint64_t last; /* … to this one; between them may be others, that were
                           not. 0: not known, and of live events */
};

/** Name of a kind, "up", "handler_failed"; "?" for a value not in the enum. */
TIDINGS_API const char *tidings_status_name(enum tidings_status_kind kind);

/** How safe an event is to be before it is confirmed. Each includes those
 *  before it. PROTOCOL.md 10.1. */
enum tidings_level {
    TIDINGS_NO_CONFIRM, /* nobody is told */
    TIDINGS_MEMORY,     /* the broker has it: lost when it is killed */
    TIDINGS_OS,         /* written: lost in a power cut */
    TIDINGS_DISK        /* written and synced */
};

/** Settings of tidings_open(). All zero is a good choice: the defaults. */
struct tidings_options {
    const char *name;   /* for people, stats and dead letters, which say whose
                           handler failed; at most 64 bytes; default "" */
    const char *source; /* CloudEvents source of what is published: a URI
                           reference; default "/" + name, "/tidings" if that
                           is empty */
    const char
        *producer; /* a name for what numbers the events of this bus, 1..64
                             of [A-Za-z0-9_.-]: see "Publishing under a name" in
                             tidings/durable.h. NULL: none */
    int publish_timeout_ms; /* how long a publish may wait for room; default
                               5000; -1: not at all */
    int close_timeout_ms;   /* how long tidings_close() may wait for the broker
                               to take what was published; default 2000; -1:
                               not at all */
    size_t unconfirmed_events; /* most events kept until taken, and confirmed if
                                  that is asked; default 262144 */
    size_t unconfirmed_bytes;  /* default 32 MiB, at least 2 MiB; what waits for
                                  its callback counts too */
    enum tidings_level confirm; /* what is published on this bus is confirmed
                                   at this level: tidings_flush() waits for it;
                                   see tidings/durable.h. Default: it is not;
                                   with a producer: TIDINGS_DISK */
    bool own_loop; /* handlers run only in tidings_dispatch(); see below */
    void (*on_status)(void *arg, const struct tidings_status *status);
    void *on_status_arg; /* called like a handler: same thread, same order; but
                            TIDINGS_HANDLER_LATE is told by another thread,
                            while the handler runs, and what workers have to
                            tell by theirs: one call at a time */
};

/**
 * Open a bus.
 *
 * Never waits for a connection: that is made, and made again when it is
 * lost, in the background (tidings_wait() waits for it). Publishing before
 * then fills a bounded list that is sent once there is a broker.
 *
 * @param out      the handle; closed with tidings_close().
 * @param url      inproc://NAME    a broker inside this process; every bus
 *                                  opened under one NAME shares it, and it
 *                                  lives while one is open.
 *                                  NAME: 1..64 of [A-Za-z0-9_.-].
 *                 inproc://NAME?data=DIR  one that keeps streams in the folder
 *                                  DIR, which is made if it is not there; no
 *                                  '&' in DIR.
 *                 ipc:///PATH      tidingsd on this machine.
 *                 tcp://HOST:PORT  tidingsd.
 * @param options  borrowed during the call; NULL: the defaults.
 * @return TIDINGS_OK       open; perhaps not yet connected.
 *         TIDINGS_EINVAL   URL or an option; tidings_detail() names it.
 *         TIDINGS_ENOTSUP  a scheme that this build does not have.
 *         TIDINGS_EEXIST   another broker has DIR open, or NAME is open with
 *                          another folder or none; the detail says which.
 *         TIDINGS_ELIMIT   1024 buses are open in this process.
 *         TIDINGS_ENOMEM, TIDINGS_EIO  nothing was opened.
 */
TIDINGS_API tidings_err tidings_open(tidings_bus **out, const char *url,
                                     const struct tidings_options *options);

/**
 * Wait until the bus is connected and greeted.
 *
 * @return TIDINGS_OK         it is, at this moment.
 *         TIDINGS_EUNREACH   not within timeout_ms; still trying. The detail
 *                            names the URL and what went wrong last.
 *         TIDINGS_EVERSION   the broker speaks no common version; still
 *                            trying, in case it is replaced.
 *         TIDINGS_ENOTSUP    the bus has a producer, and the broker keeps
 *                            nothing: give it a data folder. Still trying.
 *         TIDINGS_EFENCED    another process has taken the producer's name.
 *         TIDINGS_ECLOSED    the bus is or was being closed.
 */
TIDINGS_API tidings_err tidings_wait(tidings_bus *bus, int timeout_ms);

/**
 * Close a bus: give what was published close_timeout_ms to be taken, and
 * confirmed where that was asked, end all subscriptions, wait for a running handler to return, free everything.
 *
 * NULL is allowed and does nothing. Waiting calls of other threads return
 * TIDINGS_ECLOSED.
 *
 * @return TIDINGS_OK         closed; everything published was taken.
 *         TIDINGS_ETIMEDOUT  closed; the detail says how many events were
 *                            not taken, or not confirmed.
 *         TIDINGS_ECLOSED    it is closed already.
 *         TIDINGS_EDEADLK    called inside a handler of this bus; it stays
 *                            open.
 */
TIDINGS_API tidings_err tidings_close(tidings_bus *bus);

/* ======================================================================
 * Publishing
 *
 * Events of one thread keep their order. What is published while there is no
 * link waits; what the broker had not taken when a link was lost is sent
 * again, and recognised if it had been taken after all.
 * ====================================================================== */

/**
 * Publish one event with generated id, the bus's source and the time of now
 * (under load, of the last tick of the system's clock, some milliseconds ago).
 *
 * Packs a copy into the current batch and returns; it does not wait for the
 * broker. tidings_flush() does.
 *
 * @param type  1..255 bytes, no wildcards, not beginning with '$'.
 * @param data  len bytes of any content; by default a msgpack map, see
 *              tidings/data.h. NULL only when len is 0.
 * @param len   bytes, 0..TIDINGS_DATA_MAX.
 * @return TIDINGS_OK       packed; not yet delivered, not yet stored.
 *         TIDINGS_EINVAL   a bound above is broken; nothing was packed.
 *         TIDINGS_EFULL    no room came within publish_timeout_ms; nothing
 *                          was packed, retry later.
 *         TIDINGS_EFENCED  another process has taken the producer's name.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_ENOMEM  nothing packed.
 * Threads: any; also inside a handler.
 * Term: CloudEvents 1.0 "type", "data"; PROTOCOL.md 4 "PUBLISH".
 */
TIDINGS_API tidings_err tidings_publish(tidings_bus *bus, const char *type,
                                        const void *data, size_t len);

/**
 * Publish one event with attributes of the caller's.
 *
 * @param event  borrowed during the call; fields left 0 get their defaults.
 *               An id must be unique within its source; 1..255 bytes.
 *               Extension attributes travel untouched; names are [a-z0-9],
 *               1..20 bytes, and none of CloudEvents' own.
 * @return as tidings_publish().
 */
TIDINGS_API tidings_err
tidings_publish_event(tidings_bus *bus, const struct tidings_event *event);

/**
 * Wait until the broker has taken everything published so far, and confirmed
 * what was to be confirmed.
 *
 * @return TIDINGS_OK         taken by the broker, not necessarily delivered;
 *                            stored where a confirm was asked.
 *         TIDINGS_ETIMEDOUT  not all of it; it is still being sent.
 *         TIDINGS_ENOSTREAM, TIDINGS_EFULL, TIDINGS_EIO, TIDINGS_ECONFLICT
 *                            all is answered, but since the last flush some
 *                            events without a callback of their own were not
 *                            stored; the first reason, and the detail says
 *                            how many. ECONFLICT: see struct
 *                            tidings_confirm.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_EINVAL
 * Threads: any; inside a handler as well.
 */
TIDINGS_API tidings_err tidings_flush(tidings_bus *bus, int timeout_ms);

/* ======================================================================
 * Subscribing
 * ====================================================================== */

/**
 * Called once for each event.
 *
 * @param arg    as given to tidings_subscribe().
 * @param event  the library's; valid until the handler returns.
 * @return TIDINGS_OK, or any other code: the event counts as failed, and
 *         on_status is told TIDINGS_HANDLER_FAILED. Other handlers and later
 *         events are not affected.
 * Threads: one of the library's, or the caller of tidings_dispatch(). A
 * handler may call every function except tidings_close() on its own bus; while
 * it runs no other handler of this bus does, and the link is kept alive.
 */
typedef tidings_err (*tidings_handler)(void *arg,
                                       const struct tidings_event *event);

/** What happens when events come faster than a subscription's queue at the
 *  broker can pass them on. PROTOCOL.md 6. */
enum tidings_policy {
    TIDINGS_BLOCK,       /* its publishers wait, for up to two seconds in ten;
                            then the oldest are dropped, down to half a queue */
    TIDINGS_DROP_OLDEST, /* the oldest are dropped at once */
    TIDINGS_DROP_NEWEST  /* those that do not fit are dropped */
};

/** Which member of a group an event goes to. PROTOCOL.md 6, "Groups". */
enum tidings_group_policy {
    TIDINGS_ROUND_ROBIN,   /* the next: totals differ by at most one */
    TIDINGS_RANDOM,        /* any */
    TIDINGS_LEAST_PENDING, /* the one with the fewest events not yet handled */
    TIDINGS_BY_KEY,        /* the one that has events of the same partitionkey
                              not yet handled, so that those keep their order */
    TIDINGS_SINGLE         /* one has them all, the others stand by: the next
                              takes over when it has left or is lost, and what
                              it was given is handled or lost too */
};

/** Which events workers of a subscription may handle at the same time. */
enum tidings_order {
    TIDINGS_KEY_ORDER, /* those of different partitionkeys; those without one */
    TIDINGS_ANY_ORDER  /* all: the next free worker takes the next event */
};

/** Where a durable group, or a reader, begins. */
enum tidings_start_kind {
    TIDINGS_START_DEFAULT,  /* a new group, or a reader: NEW; a group that is
                               there: where it is */
    TIDINGS_START_NEW,      /* what is stored from now on */
    TIDINGS_START_ALL,      /* the oldest that is kept */
    TIDINGS_START_SEQUENCE, /* that one, or the next that is kept: what is
                               not any more is told as missed */
    TIDINGS_START_TIME,     /* what was stored at that time or later, to the
                               precision of a batch; a time to come is NEW, and
                               is not waited for */
    TIDINGS_START_LAST /* first the newest event of each type, or in a keyed
                               stream of each partitionkey, in their order; then
                               all that is stored from now on */
};

struct tidings_start {
    enum tidings_start_kind kind;
    uint64_t sequence;
    int64_t time_ms; /* Unix */
};

/** Settings of tidings_subscribe(). All zero: the defaults. */
struct tidings_sub_options {
    size_t window_events; /* most events in flight to this process; default
                             32768. By default of a member of a durable group:
                             what waits for its handler is as much as that does
                             in about 250 ms, so that others who join find
                             something to do: at least 16, and two for each
                             of its workers; at most 32768 */
    size_t window_bytes;  /* default 4 MiB, at least 2 MiB */
    size_t queue_events;  /* most events waiting at the broker; default 65536,
                             at most 1048576 */
    size_t queue_bytes;   /* default 32 MiB, at most 1 GiB, and at most what the
                             broker allows a session */
    int timeout_ms;       /* for the broker's answer; default 5000 */
    enum tidings_policy policy;
    const char *group; /* share the events with every other subscription to
                             this pattern under this name, in any process: each
                             goes to one; 1..64 of [A-Za-z0-9_.-]. NULL: see
                             them all */
    enum tidings_group_policy group_policy; /* of the group. This one, policy
                             and the queue's bounds are set by its first
                             member; another may leave them 0 or repeat them */
    unsigned workers;         /* handlers run on so many threads of their own,
                             1..64; default 0: on the bus's, one at a time.
                             Not with own_loop */
    enum tidings_order order; /* of workers */
    int handler_timeout_ms;   /* a handler that runs for longer is told as
                             TIDINGS_HANDLER_LATE and counted; it is not
                             stopped. Default 0: never */
    const char *stream; /* what this stream keeps, from start on, instead of
                           live events: with group a member of that durable
                           group, else a reader, which has nothing to settle:
                           tidings/durable.h. policy and the queue's bounds are
                           not used. NULL: live events */
    struct tidings_start start; /* of a stream: where a new group, or this
                                   reader, begins */
    bool progress; /* of a durable group: while handlers run, the broker is told
                      every 10 s that they are at it, or three times in the
                      group's ack_wait, so that this does not pass */
    tidings_breaker *breaker; /* of a durable group: the handler is called only
                  when this lets it, and what it returns is the result of that
                  call; while it is open the group is parked: tidings/durable.h.
                  The caller's, until the subscription has ended; subscriptions
                  may share one. NULL: none */
    bool pull; /* of a stream: there is no handler, NULL is passed for it;
                  events come when tidings_fetch() asks for them */
    /** Called where events were dropped at the broker, on the same thread as
     *  the handler: before the events that came after them, and with policy
     *  DROP_NEWEST perhaps earlier. gap is valid during the call. TIDINGS_GAP
     *  is told as well. NULL: not called. */
    void (*on_gap)(void *arg, const struct tidings_gap *gap);
};

/**
 * Subscribe a handler to a pattern, and wait until the broker has it.
 *
 * Sees every event of a matching type that the broker takes after this call
 * returned, and none that it took before it began. When the link is lost and
 * comes back within the broker's grace time (15 s), nothing is missed and
 * nothing delivered twice; after that, or when the broker was restarted, the
 * subscription is renewed, and what was published in between is missed
 * (TIDINGS_NEW_SESSION, TIDINGS_NEW_EPOCH). Two subscriptions that match the
 * same event both get it, unless they are of one group.
 *
 * What a slow handler costs its publishers, or itself, its policy says; what
 * it misses is told (TIDINGS_GAP, on_gap).
 *
 * @param out      the handle; NULL if it is never unsubscribed alone.
 * @param pattern  see "Types and patterns".
 * @param handler  required, but with options.pull, where it is NULL. It may be
 *                 called before this function returns.
 * @param arg      passed to handler; the caller's, until tidings_unsubscribe()
 *                 or tidings_close() returned.
 * @param options  borrowed during the call; NULL: the defaults.
 * @return TIDINGS_OK         the broker has it.
 *         TIDINGS_EINVAL     pattern or an option; nothing is subscribed.
 *         TIDINGS_ELIMIT     1024 subscriptions on this bus, or as many in the
 *                            broker, or members in the group, as it allows.
 *         TIDINGS_ENOTFOUND  the broker has no stream of options.stream's
 *                            name, or keeps none; nothing is subscribed.
 *         TIDINGS_EUNREACH   no broker within timeout_ms; nothing subscribed.
 *         TIDINGS_ETIMEDOUT  connected, but no answer; nothing subscribed.
 *         TIDINGS_EFULL, TIDINGS_EIO  a durable group that it begins cannot be
 *                            written; nothing is subscribed.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err
tidings_subscribe(tidings_sub **out, tidings_bus *bus, const char *pattern,
                  tidings_handler handler, void *arg,
                  const struct tidings_sub_options *options);

/**
 * End one subscription. When this returns its handler is not running and is
 * never called again, except that called inside that handler it returns
 * first.
 *
 * What had arrived and no handler has begun with is dropped; so it is when a
 * bus is closed. tidings_drain() has it handled first. A durable group gives
 * it to its other members; a live one cannot.
 *
 * @return TIDINGS_OK         ended, here and at the broker.
 *         TIDINGS_ETIMEDOUT  ended here, but not in timeout_ms: the broker did
 *                            not answer, and forgets it with the session; or
 *                            its handler is still running, and will return to
 *                            nothing. The detail says which.
 *         TIDINGS_ECLOSED    it or its bus is closed already.
 */
TIDINGS_API tidings_err tidings_unsubscribe(tidings_sub *sub, int timeout_ms);

/**
 * Come to rest: stop receiving, let handlers finish what has arrived, and
 * have the broker take all that was published, also by those handlers.
 * Subscriptions are ended; the bus stays open for publishing. What this bus
 * had published before reaches its own subscriptions first, as far as their
 * windows allow. With own_loop the handlers run inside this call.
 *
 * @return TIDINGS_OK         at rest.
 *         TIDINGS_ETIMEDOUT  not within timeout_ms; subscriptions are ended
 *                            all the same.
 *         TIDINGS_ELIMIT     at rest, but more was queued at the broker than the
 *                            windows allowed: it was left behind, told as
 *                            TIDINGS_GAP and counted as missed. The detail
 *                            says how much.
 *         TIDINGS_EDEADLK    called inside a handler of this bus.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_drain(tidings_bus *bus, int timeout_ms);

/* ======================================================================
 * A loop of one's own
 *
 * With options.own_loop the library calls handlers and on_status only inside
 * tidings_dispatch(). The descriptor is readable while something waits to be
 * dispatched: poll it (level-triggered) with whatever the program already
 * polls. The link is kept alive in the background whatever the loop does.
 * ====================================================================== */

/**
 * The descriptor to poll for reading. It belongs to the bus: never read,
 * write or close it; it is gone after tidings_close().
 *
 * @return TIDINGS_OK, TIDINGS_ENOTSUP without own_loop, TIDINGS_ECLOSED
 */
TIDINGS_API tidings_err tidings_fd(int *out, tidings_bus *bus);

/**
 * Run handlers for at most max_events events that have arrived; never waits.
 *
 * @param dispatched  how many were; may be NULL.
 * @return TIDINGS_OK, also when there were none.
 *         TIDINGS_EINVAL    max_events is 0.
 *         TIDINGS_ENOTSUP   without own_loop.
 *         TIDINGS_EDEADLK   inside a handler of this bus, or while another
 *                           thread dispatches.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED
 */
TIDINGS_API tidings_err tidings_dispatch(size_t *dispatched, tidings_bus *bus,
                                         size_t max_events);

/* ======================================================================
 * Looking at it
 * ====================================================================== */

/** What this bus has done since it was opened. */
struct tidings_info {
    bool up;              /* greeted, at this moment */
    uint64_t epoch;       /* of the broker greeted last; 0: none yet */
    uint64_t connects;    /* greetings so far */
    uint64_t published;   /* events packed */
    uint64_t taken;       /* of those, taken by a broker */
    uint64_t unconfirmed; /* of those, not taken yet, or not confirmed though
                             that was asked */
    uint64_t confirmed;   /* of those, stored, as was asked */
    uint64_t unstored;    /* of those, not stored, though that was asked */
    uint64_t resent;      /* events sent more than once */
    uint64_t delivered;   /* events handed to handlers that returned */
    uint64_t failed;      /* of those, not TIDINGS_OK */
    uint64_t missed;      /* events the broker dropped for our slowness */
    uint64_t waiting;     /* events arrived and not yet handled */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ECLOSED, TIDINGS_EFORKED */
TIDINGS_API tidings_err tidings_info(struct tidings_info *out,
                                     tidings_bus *bus);

/** What one subscription has done since it began. */
struct tidings_sub_info {
    uint64_t delivered;  /* events handed to its handler that returned */
    uint64_t failed;     /* of those, not TIDINGS_OK */
    uint64_t pending;    /* events arrived and not yet handled */
    uint64_t missed;     /* events the broker dropped, as far as told */
    uint64_t duplicates; /* events that another broker had delivered before:
                            not handed over again */
    uint64_t expired;    /* events whose expirytime had passed when they came:
                            not handed over; of a durable group, settled */
    uint64_t unreadable; /* events that were malformed, or that there was no
                            memory to open: skipped, TIDINGS_BAD_EVENT */
    uint64_t late;       /* calls that took longer than handler_timeout_ms */
    unsigned running;    /* handlers that run at this moment */
    /* of a durable group: events that were settled, and how */
    uint64_t acked;
    uint64_t naked;
    uint64_t released;
    uint64_t termed;
    uint64_t stale;          /* of those, that the broker did not believe */
    uint64_t redelivered;    /* events that had been delivered before */
    uint64_t handler_us;     /* time that handlers took, added up */
    uint64_t handler_max_us; /* the longest call; an upper bound where calls
                                are shorter than the clock is worth reading */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ECLOSED, TIDINGS_EFORKED */
TIDINGS_API tidings_err tidings_sub_info(struct tidings_sub_info *out,
                                         tidings_sub *sub);

/**
 * The time of a round trip to the broker and back, through its engine.
 *
 * @param out_us  microseconds.
 * @return TIDINGS_OK, TIDINGS_EUNREACH (no link within timeout_ms),
 *         TIDINGS_ETIMEDOUT, TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_ping(int64_t *out_us, tidings_bus *bus,
                                     int timeout_ms);

/**
 * The broker's counters: a msgpack map, PROTOCOL.md 7. Read it with
 * tidings/data.h.
 *
 * @param out      the bytes; the caller's, freed with tidings_free().
 * @param out_len  their number.
 * @return as tidings_ping(), and TIDINGS_ENOMEM.
 */
TIDINGS_API tidings_err tidings_stats(void **out, size_t *out_len,
                                      tidings_bus *bus, int timeout_ms);

/**
 * The same with rows of another kind, or of a later page.
 *
 * @param rows  "subscriptions", "groups", "types", "sessions", "streams",
 *              "consumers" (durable groups) or "none".
 * @param from  how many rows to skip; an answer has at most 250, and their
 *              number in all as "<rows>_total".
 * @return as tidings_stats(); TIDINGS_EINVAL for other rows.
 */
TIDINGS_API tidings_err tidings_stats_rows(void **out, size_t *out_len,
                                           tidings_bus *bus, const char *rows,
                                           uint64_t from, int timeout_ms);

/** Free what the library allocated for the caller; NULL does nothing. */
TIDINGS_API void tidings_free(void *memory);

#ifdef __cplusplus
}
#endif

#include "tidings/durable.h"
#include "tidings/resilience.h"
#include "tidings/service.h"
#endif
