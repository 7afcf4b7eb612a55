/* tidings, durable: events that are kept in streams.
 *
 * A broker with a data folder (tidingsd --data DIR, inproc://NAME?data=DIR)
 * keeps events in streams: ordered, numbered, and there after a crash. The
 * stream "events" is there from the start and takes every type, so that
 *
 *     struct tidings_options safe = {.confirm = TIDINGS_DISK};
 *     tidings_open(&bus, "tcp://127.0.0.1:7450", &safe);
 *     tidings_publish(bus, "order.placed", data, len);
 *     tidings_flush(bus, 5000);       // it is on the disk now
 *
 *     struct tidings_sub_options mails = {.stream = "events", .group = "mails"};
 *     tidings_subscribe(NULL, bus, "order.*", on_order, NULL, &mails);
 *
 * is all that a service and a worker need: what on_order returns settles the
 * event, and while the worker is down its events wait.
 *
 * Terms: PROTOCOL.md 10. Threads and errors as in tidings.h, which includes
 * this header.
 */
#ifndef TIDINGS_DURABLE_H
#define TIDINGS_DURABLE_H

#include "tidings/tidings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================
 * Publishing with confirms
 * ====================================================================== */

/** What became of one event. Pointers are valid during the call. */
struct tidings_confirm {
    tidings_err err; /* TIDINGS_OK: it is stored. TIDINGS_ENOSTREAM: no stream
                          takes its type, or the broker keeps nothing.
                          TIDINGS_EFULL, TIDINGS_EIO: it was not stored; publish
                          it again later. TIDINGS_ECONFLICT: what it expected
                          is not so, or another event is stored under its
                          number. TIDINGS_EFENCED: another process has taken the
                          producer's name. TIDINGS_ECLOSED: the bus was closed.
                          After these two it may be stored or not: no answer
                          came before */
    const char *stream;       /* "" if err; but with TIDINGS_EFULL the stream
                                 that is full and rejects, and "" where the
                                 broker's disk is full, or its memory */
    uint64_t sequence;        /* in the stream; 0: not known. With
                                 TIDINGS_ECONFLICT the last one of the stream,
                                 or of the key, if that was expected to be
                                 another */
    enum tidings_level level; /* what was reached: what was asked for; in a
                                 stream in memory TIDINGS_MEMORY */
    bool duplicate;           /* it had been stored before: its confirm was
                                 lost with a link, or it has the source and id
                                 of an event that the stream took not long ago;
                                 sequence is that one's */
};

/** Called once for each event that was published with it, in the order of
 *  publishing within one stream; perhaps before tidings_publish_with() has
 *  returned, and at the latest by tidings_close(). Threads: that of handlers
 *  without workers, in tidings_dispatch() with own_loop, and tidings_close()'s
 *  own for what is left; one call at a time. It may do what a handler may. */
typedef void (*tidings_on_confirm)(void *arg,
                                   const struct tidings_confirm *confirm);

/** Settings of one publish. All zero: those of the bus, and no callback. */
struct tidings_publish_options {
    enum tidings_level level;      /* TIDINGS_NO_CONFIRM: that of the bus, or
                                 TIDINGS_DISK if there is a callback and the bus
                                 asks for none */
    tidings_on_confirm on_confirm; /* NULL: tidings_flush() tells */
    void *arg;
    bool expects;      /* store it only if the stream's last sequence is … */
    uint64_t expected; /* … this one, 0: none ever was; below 2^63, or it is
                          TIDINGS_EINVAL at once. Otherwise its confirm is
                          TIDINGS_ECONFLICT, and names the one that there is:
                          read what has come, decide anew, try again */
    int64_t at_ms;     /* publish it at this time, Unix, and not now … */
    uint64_t after_ms; /* … or so long after the broker has accepted it; one of
                          them at most, and not with expects. 0: now. It is
                          confirmed when it is accepted, at TIDINGS_OS or
                          TIDINGS_DISK: then it is published once, whatever
                          happens to the broker meanwhile. The confirm's stream
                          is TIDINGS_SCHEDULE and its sequence the number to
                          cancel it by. PROTOCOL.md 10.4 */
    bool expects_key;  /* the same with the last sequence of its partitionkey,
                          in a keyed stream: all events of a list have the same
                          one. 0: none that is kept. Not with expects. The
                          confirm is TIDINGS_EINVAL where the stream is not
                          keyed or there is no such key, and TIDINGS_ELIMIT
                          where it has more keys than it knows the last
                          sequence of */
    uint64_t sequence; /* with a producer: its number of this event, 2^62 at
                          most, see "Publishing under a name". 0: the next */
};

#define TIDINGS_SCHEDULE "$schedule"

/**
 * Publish one event, and have it confirmed.
 *
 * What is not confirmed is kept, within unconfirmed_events and
 * unconfirmed_bytes of the bus, and sent again when a link was lost; it is
 * stored once. What is confirmed, or refused, is not sent again: an event that
 * on_confirm was told is not stored will not be.
 *
 * @param event    as for tidings_publish_event().
 * @param options  borrowed; NULL: as tidings_publish_event().
 * @return as tidings_publish_event(); TIDINGS_EINVAL also for a level outside
 *         its enum. on_confirm is called only after TIDINGS_OK.
 */
TIDINGS_API tidings_err
tidings_publish_with(tidings_bus *bus, const struct tidings_event *event,
                     const struct tidings_publish_options *options);

#define TIDINGS_LIST_MAX 1024 /* events */

/**
 * Publish a list of events as a whole: all of them are stored, one after the
 * other in one stream, or none is. They are confirmed, at TIDINGS_DISK if
 * neither options nor bus say otherwise.
 *
 * @param events   len of them, as for tidings_publish_event(); together at most
 *                 about TIDINGS_DATA_MAX bytes.
 * @param len      1..TIDINGS_LIST_MAX.
 * @param options  for all of them: on_confirm is called for each.
 * @return as tidings_publish_with(); TIDINGS_ELIMIT: they are too large
 *         together. Nothing is packed then. The confirm of a list whose types
 *         are taken by several streams is TIDINGS_EINVAL.
 */
TIDINGS_API tidings_err
tidings_publish_all(tidings_bus *bus, const struct tidings_event *events,
                    size_t len, const struct tidings_publish_options *options);

/**
 * Cancel an event that waits for its time: it is not published then.
 *
 * "schedule.list" of tidings_call() tells what waits.
 *
 * @param number  the sequence of its confirm.
 * @return TIDINGS_OK         it is not published, now or ever.
 *         TIDINGS_ENOTFOUND  it does not wait: it was published or cancelled,
 *                            or never was.
 *         as tidings_call(); after TIDINGS_ETIMEDOUT it may be either.
 */
TIDINGS_API tidings_err tidings_schedule_cancel(tidings_bus *bus,
                                                uint64_t number,
                                                int timeout_ms);

/* ======================================================================
 * Publishing under a name
 *
 * A bus that is opened with options.producer = "orders-1" numbers its events
 * 1, 2, 3, ... under that name, wherever and however often it is opened: the
 * broker remembers the last number that is stored. A program that publishes what
 * stands in a table of its own gives each row its number, or publishes in order
 * and counts; after a crash tidings_producer_last() says how far it had come,
 * and what is published again is not stored again:
 *
 *     tidings_producer_last(bus, &last, 5000);
 *     for each row above last, in order:
 *         options.sequence = row.number;
 *         tidings_publish_with(bus, &row.event, &options);
 *
 * Numbers rise, and may leave some out. An event at or below the last stored one
 * is confirmed as a duplicate if it is the one that was stored, and with
 * TIDINGS_ECONFLICT if it is another, or if its number was left out. The same is:
 * type, data and attributes; not the time. The broker compares the last 128
 * events of a name, and takes what is older for the same. An event that was
 * refused (TIDINGS_EFULL, TIDINGS_EIO) may be published again under its number.
 *
 * One bus at a time has a name. Opening another under it, in any process, takes
 * it: the bus before is fenced. Nothing of it is stored any more; what it had
 * not confirmed is confirmed with TIDINGS_EFENCED, and so does every call on it
 * answer; on_status is told TIDINGS_FENCED. So a process that was thought dead
 * does no harm when it wakes up. There is no password: whoever knows a name may
 * take it.
 *
 * What is published before the broker has greeted the bus waits for that, for
 * publish_timeout_ms. The broker needs a data folder: TIDINGS_ENOTSUP. It
 * remembers names until they are deleted, at most 4,096: a name is for a
 * program that comes again, not for each run of it. tidings_call()
 * "producer.list" shows them, and "producer.delete" makes room.
 * ====================================================================== */

/**
 * The last number of the bus's producer that is stored, as far as this bus
 * knows: what the broker said when it greeted, and what was confirmed since.
 * Waits for the broker to greet.
 *
 * @param sequence  0: none is.
 * @return TIDINGS_OK.
 *         TIDINGS_EINVAL   the bus has no producer, or an argument is wrong.
 *         TIDINGS_EUNREACH, TIDINGS_ENOTSUP, TIDINGS_EFENCED, TIDINGS_EVERSION,
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED   as tidings_wait().
 */
TIDINGS_API tidings_err tidings_producer_last(tidings_bus *bus,
                                              uint64_t *sequence,
                                              int timeout_ms);

/* ======================================================================
 * Consuming: what a handler may know and say of its delivery
 *
 * A subscription with options.stream and options.group is a member of a
 * durable group. Its handler's return value settles the event:
 *
 *   TIDINGS_OK        ack: done
 *   TIDINGS_ERELEASE  release: given back, delivered again at once, does not
 *                     count
 *   TIDINGS_ETERM     term: never again: to the dead letters
 *   TIDINGS_EBREAKER  park: given back like release, and the whole group is
 *                     parked, see below
 *   TIDINGS_ELATER    nothing yet: tidings_settle() will say
 *   any other         nak: delivered again after the group's backoff, and after
 *                     max_deliver deliveries to the dead letters
 *
 * What tidings_set_detail() was given inside the handler goes along with nak
 * and term as the reason that operators find with a dead letter, beside the
 * name of the bus (tidings_options) whose handler it was; and with park as what
 * "tidings group" and $tidings.group.parked say.
 *
 * nak and term count as failed, and on_status is told TIDINGS_HANDLER_FAILED. A
 * live subscription, or a reader, has nothing to settle: any code but
 * TIDINGS_OK counts as failed there, TIDINGS_EBREAKER too.
 *
 * A handler whose database, or whatever else it needs, does not answer returns
 * TIDINGS_EBREAKER instead of failing event after event. The broker then parks
 * the group: nothing is delivered to any member, and no delivery counts; what
 * waits in this process goes back unhandled. After 5 s one event comes, alone:
 * if it is acked, two come, four, eight and so on until the group runs again;
 * if its handler returns TIDINGS_EBREAKER the group is parked for twice as
 * long, up to a minute. tidings_settle() with TIDINGS_PARK says for how long.
 *
 * With options.breaker (tidings/resilience.h) the library does so itself: it asks
 * the breaker before each call of the handler, and tells it what came of that.
 * Events that fail until it opens count as failed; from then on the group is
 * parked for as long as the breaker is open, and a probe that fails does not
 * count against its event either. TIDINGS_HANDLER_FAILED is told of it all the
 * same.
 *
 * All this is for handlers that all need the same thing; one member that is ill
 * alone is to unsubscribe. "tidings group show" and "tidings stats" tell of it,
 * and "tidings group resume" ends it.
 *
 * The group's ack_wait is the handler's: it begins anew when the handler does,
 * however long the event has been waiting in this process; the library tells
 * the broker. A handler that takes longer is late, and its event is delivered
 * again, unless options.progress or TIDINGS_PROGRESS say that it is at it.
 * While it is late, what waits behind it goes back, to others that are free. An
 * event whose delivery is not valid any more when its turn comes, since the
 * link was away for too long, is not handed over: it comes again.
 *
 * In a group with policy TIDINGS_BY_KEY (said by each member, and not with
 * TIDINGS_ANY_ORDER) later events of a key that has failed, which are here
 * already, go back unhandled, so that they come again in order.
 *
 * tidings_unsubscribe() and tidings_close() let handlers finish, settle what
 * they return, and give back the rest, also what was to be settled later.
 * Called inside a handler, tidings_unsubscribe() gives back that handler's
 * event too: settle it before with tidings_settle(). tidings_drain() waits for
 * what is to be settled later as well.
 * ====================================================================== */

/** A delivery of a durable group; a value that may be copied and kept. */
struct tidings_delivery {
    tidings_sub *sub;
    uint64_t tag;         /* its number in the subscription */
    uint64_t sequence;    /* the event's, in its stream */
    uint32_t deliveries;  /* how often it was delivered, this time included */
    uint64_t incarnation; /* the library's own */
};

/**
 * The delivery of the event that a handler is being called with.
 *
 * @return TIDINGS_OK; TIDINGS_ENOTFOUND outside a handler, or when the event
 *         did not come from a stream.
 */
TIDINGS_API tidings_err tidings_delivery(struct tidings_delivery *out,
                                         const struct tidings_event *event);

enum tidings_settlement {
    TIDINGS_ACK = 1,
    TIDINGS_NAK,
    TIDINGS_RELEASE,
    TIDINGS_TERM,
    TIDINGS_PROGRESS, /* still working on it: ack_wait begins anew */
    TIDINGS_PARK /* as RELEASE, and its group is parked: what waits here, and
                    was not fetched, goes back as well */
};

/**
 * Settle a delivery whose handler returned TIDINGS_ELATER, or say that one is
 * being worked on.
 *
 * Returns at once: the broker hears of it with the next message. If it comes
 * too late, on_status is told TIDINGS_STALE.
 *
 * @param delay_ms  NAK: delivered again after so long; 0: the group's backoff.
 *                  PARK: so long nothing is delivered, an hour at most; 0: 5 s,
 *                  and twice as long each time that a probe ends so, up to a
 *                  minute.
 * @param reason    NAK, TERM, PARK: at most 255 bytes, cut; NULL: none.
 * @return TIDINGS_OK         noted.
 *         TIDINGS_EINVAL     not in the enum, or a delay beyond
 *                            TIDINGS_TIMEOUT_MAX_MS.
 *         TIDINGS_EEXIST     this delivery has been settled here before.
 *         TIDINGS_ENOTFOUND  it is of a session that is over: the event is
 *                            delivered again.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED
 * Threads: any; also inside the handler, which then returns TIDINGS_ELATER.
 */
TIDINGS_API tidings_err tidings_settle(const struct tidings_delivery *delivery,
                                       enum tidings_settlement settlement,
                                       int delay_ms, const char *reason);

/**
 * Wait until what was settled is on the disk: a broker that loses its power
 * now does not deliver it again.
 *
 * That is all that tidings_settle() has said before, and what handlers have
 * returned; of those that run at this moment, or did within the last 20 ms,
 * perhaps not. A settlement needs no such wait to be believed: without it the
 * broker writes it with its next commit.
 *
 * @return TIDINGS_OK         it is.
 *         TIDINGS_ENOTSUP    the stream is in memory, or this is no member of a
 *                            durable group.
 *         TIDINGS_ENOTFOUND  the session was lost meanwhile: some may be
 *                            delivered again.
 *         TIDINGS_EIO, TIDINGS_EFULL  the broker could not write it.
 *         TIDINGS_ETIMEDOUT, TIDINGS_EUNREACH  no answer: it may be.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_EINVAL, TIDINGS_ENOMEM
 * Threads: any; also inside a handler, whose own event is not among it.
 */
TIDINGS_API tidings_err tidings_settled(tidings_sub *sub, int timeout_ms);

/* ======================================================================
 * Pulling: a loop that asks for events, instead of a handler
 *
 *     struct tidings_sub_options jobs = {
 *         .stream = "events", .group = "jobs", .pull = true};
 *     struct tidings_fetched got[10];
 *     tidings_subscribe(&sub, bus, "job.*", NULL, NULL, &jobs);
 *     while (running) {
 *         if (tidings_fetch(&n, got, sub, 10, 1000))
 *             continue;    // TIDINGS_ETIMEDOUT: there was nothing to do
 *         for (size_t i = 0; i < n; i++) {
 *             work(got[i].event);
 *             tidings_settle(&got[i].delivery, TIDINGS_ACK, 0, NULL);
 *             tidings_free(got[i].event);
 *         }
 *     }
 * ====================================================================== */

struct tidings_fetched {
    struct tidings_event *event;      /* the caller's: tidings_free() */
    struct tidings_delivery delivery; /* of a durable group: to be settled. Of a
                                         reader: where it stands */
};

/**
 * Fetch events from a subscription with options.pull.
 *
 * Waits until there is at least one, and returns what there is. The broker
 * delivers what is fetched and no more: others of the group get the rest.
 * What is on its way when a call gives up waits here for the next one; it is
 * given back when the subscription ends.
 *
 * The group's ack_wait runs from this call on, so fetch what is handled within
 * it, or settle with TIDINGS_PROGRESS meanwhile. Settle every delivery: one that
 * never is holds the subscription back once window_bytes of others have come
 * after it. In a group with policy TIDINGS_BY_KEY what was fetched is not taken
 * back when an event of its key fails: release it.
 *
 * @param fetched     how many; written on success.
 * @param out         room for max_events of them.
 * @param max_events  1..1048576.
 * @param timeout_ms  0: what has come already; max_events are asked for all the
 *                    same, and wait here for the next call.
 * @return TIDINGS_OK         1 to max_events of them.
 *         TIDINGS_ETIMEDOUT  none came.
 *         TIDINGS_EUNREACH   none came, and there is no link.
 *         TIDINGS_ENOTSUP    the subscription has a handler.
 *         TIDINGS_ECLOSED    the subscription has ended, or its group or stream
 *                            was deleted.
 *         TIDINGS_EINVAL, TIDINGS_EFORKED; what the broker said when it refused
 *         to renew the subscription.
 * Threads: any, several at once; each event goes to one of them. Also inside a
 * handler, and with own_loop, where it waits in the call.
 */
TIDINGS_API tidings_err tidings_fetch(size_t *fetched,
                                      struct tidings_fetched out[],
                                      tidings_sub *sub, size_t max_events,
                                      int timeout_ms);

/* ======================================================================
 * Streams and groups
 * ====================================================================== */

enum tidings_on_full { TIDINGS_DISCARD_OLD, TIDINGS_REJECT };
enum tidings_storage { TIDINGS_STORE_DISK, TIDINGS_STORE_MEMORY };

#define TIDINGS_NO_DEDUP UINT64_MAX

/** A stream. PROTOCOL.md 10. */
struct tidings_stream_options {
    const char *name;            /* 1..64 of [A-Za-z0-9_.-] */
    const char *const *patterns; /* what it takes; no other stream may take any
                                    of it. Of "events", which takes what no
                                    other takes, ">" */
    size_t patterns_len;         /* 1..16; of "events" also 0: that one */
    uint64_t max_age_ms;         /* older events are deleted; 0: never */
    uint64_t max_bytes;          /* more is deleted, or rejected; 0: no bound */
    uint64_t max_events;         /* the same */
    uint64_t dedup_ms;     /* an event with an id of its publisher's choosing is
                              not stored again if one of the same source and id
                              was, less than this before; 0: two minutes,
                              TIDINGS_NO_DEDUP: it is */
    uint64_t dedup_events; /* … and it is among the last so many such events, at
                              most 1,048,576; 0: 100,000 */
    enum tidings_on_full on_full;
    enum tidings_storage storage;
    bool keyed;   /* it knows the last event of each partitionkey, for
                   TIDINGS_START_LAST and expects_key; otherwise, and of events
                   without one, of each type */
    bool compact; /* keyed, on disk: of each key only the newest event is kept,
                     and those of the last batch: others go after a minute,
                     in a stream of more than 4 MiB when as many have come as
                     there are keys, or later where to cut them out would take
                     more room than they do. Sequences stay as they are; who
                     reads passes over those that are gone. An event without
                     data is a tombstone … */
    uint64_t tombstone_ms; /* … and goes after this, all of its key with it;
                              later by a quarter of this at most, or by two
                              minutes, in a large stream by six hours. Default
                              24 h */
};

/**
 * Declare a stream. One that is there with the same options is no error.
 *
 * @return TIDINGS_OK, TIDINGS_EINVAL (an option, or patterns that overlap with
 *         another stream's: the detail names both), TIDINGS_EEXIST (it is there
 *         with other options: the detail names one; tidings_stream_set()), TIDINGS_ENOTSUP (the broker keeps nothing: give
 *         it a data folder), TIDINGS_ELIMIT, TIDINGS_EFULL, TIDINGS_EIO,
 *         and as tidings_call().
 */
TIDINGS_API tidings_err tidings_stream_add(
    tidings_bus *bus, const struct tidings_stream_options *options,
    int timeout_ms);

/**
 * Give a stream that is there other bounds: max_age_ms, max_bytes, max_events,
 * dedup_ms, dedup_events, on_full and tombstone_ms.
 *
 * They count from now on, and on the disk when this returns. What is beyond a
 * smaller bound goes as if it had come to it: groups are told what they lost.
 * What a narrower dedup window has let go of does not come back with a wider
 * one.
 *
 * @param options  the whole declaration, as for tidings_stream_add(): a bound
 *                 that is left out is taken away. tidings_call() "stream.set"
 *                 changes one alone.
 * @return TIDINGS_OK; TIDINGS_ENOTFOUND (there is no such stream);
 *         TIDINGS_EEXIST (it has other patterns or storage, or is keyed or
 *         compact otherwise: that is chosen once, and nothing was changed);
 *         TIDINGS_EINVAL, TIDINGS_EFULL, TIDINGS_EIO, and as tidings_call().
 */
TIDINGS_API tidings_err tidings_stream_set(
    tidings_bus *bus, const struct tidings_stream_options *options,
    int timeout_ms);

/** A durable group; 0 and NULL: the defaults of PROTOCOL.md 10.2. */
struct tidings_group_options {
    const char *stream;
    const char *group;   /* 1..64 of [A-Za-z0-9_.-] */
    const char *pattern; /* default ">" */
    struct tidings_start start;
    enum tidings_group_policy policy;
    uint32_t max_in_flight;
    uint32_t ack_wait_ms;
    uint32_t max_deliver;
    uint32_t backoff_ms;
    uint32_t backoff_max_ms;
};

/** Declare a durable group before it has members; otherwise the first
 *  subscription makes it. Errors as tidings_stream_add(). */
TIDINGS_API tidings_err
tidings_group_add(tidings_bus *bus, const struct tidings_group_options *options,
                  int timeout_ms);

/**
 * One of the broker's calls, PROTOCOL.md 10.3: "stream.list", "dlq.redrive".
 *
 * @param options      a msgpack map, written with tidings/data.h; NULL: empty.
 * @param out          the result, a msgpack map; the caller's, freed with
 *                     tidings_free(). NULL: it is not wanted.
 * @return TIDINGS_OK         done.
 *         TIDINGS_EUNREACH   no link within timeout_ms; nothing was done.
 *         TIDINGS_ETIMEDOUT  no answer: it may have been done.
 *         what the broker answered, with its text as the detail;
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_EINVAL, TIDINGS_ENOMEM.
 */
TIDINGS_API tidings_err tidings_call(void **out, size_t *out_len,
                                     tidings_bus *bus, const char *name,
                                     const void *options, size_t options_len,
                                     int timeout_ms);

/**
 * The event of a dead letter, to be looked at or published anew.
 *
 * @param out  a copy in one piece, freed with tidings_free().
 * @param row  a row of the call dlq.list with the option "data".
 * @return TIDINGS_OK         *out is as it was published.
 *         TIDINGS_ENOTFOUND  the row has no event: without "data", or because
 *                            it is too large for an answer.
 *         TIDINGS_EPROTO     it is not what PROTOCOL.md says.
 *         TIDINGS_EINVAL, TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err tidings_dead_event(struct tidings_event **out,
                                           struct tidings_value row);

/* ======================================================================
 * A data folder
 * ====================================================================== */

/** What tidings_store_verify() found. */
struct tidings_store_report {
    uint64_t records; /* that were looked at */
    uint64_t damaged; /* of them: with a wrong checksum */
    bool broken;      /* the store's own structure is: there may be more */
    char first[256];  /* what was found first, and where; "" */
    bool unlocked;    /* the folder may not be written, and has no lock: was it
                         in use meanwhile, this report may be wrong */
};

/**
 * Check a data folder that no broker has open: every record's checksum, in a
 * child process, so that nothing in it can end this one. Changes nothing. One
 * that may not be written, a backup, is read as well.
 *
 * @param progress  called on this thread, about ten times a second and at the
 *                  end, with how much of the folder was read: done of total
 *                  pages, never more. NULL: nobody looks.
 * @param arg       is handed to progress.
 * @return TIDINGS_OK       it was read; *out says whether it is sound.
 *         TIDINGS_EEXIST   a broker has it open; the detail names its process.
 *         TIDINGS_EVERSION a newer program wrote it; the detail names both.
 *         TIDINGS_ENOTFOUND there is no data folder, or no store in it.
 *         TIDINGS_EIO      it cannot be read.
 *         TIDINGS_EINVAL, TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err tidings_store_verify(
    struct tidings_store_report *out, const char *dir,
    void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg);

#ifdef __cplusplus
}
#endif
#endif
