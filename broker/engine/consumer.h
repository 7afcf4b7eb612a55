/* Consumers: durable groups, and readers, which have no state of their own.
 *
 *   stream: tail in memory, or read ──> feed.c ──> the group's queue ──> deal.c
 *                                          ^                              │
 *                                     retries <── lease.c <── deliver.c <─┘
 *                                          │          ^
 *                                      bury.c     SETTLE, time, members that end
 *
 * What was fed and is not settled is out: in the queue, with a member, leased,
 * or waiting among the retries. It is in one of these places, and counted once. */
#ifndef TD_CONSUMER_H
#define TD_CONSUMER_H

#include "broker/engine/counts.h"
#include "broker/engine/inflight.h"
#include "broker/engine/outage.h"
#include "broker/engine/park.h"
#include "broker/engine/retry.h"
#include "broker/engine/settled.h"
#include "broker/engine/streams.h"

struct td_group;
struct td_piece;
struct td_queue;
struct td_sub;

/* A dead letter that is delivered again: what the stream has under its sequence
 * is settled, and may be gone. */
struct td_redriven {
    UT_hash_handle hh; /* by sequence */
    bool hh_failed;
    uint64_t sequence;
    uint64_t number; /* of the dead letter; 0: that was purged */
    bool dying;      /* it is dead again, and that is not written */
};

/* A dead letter in a transaction that is not written. */
struct td_burial {
    uint64_t ticket;
    struct td_retry retry;
    bool again;     /* it was a dead letter before */
    bool forgotten; /* its group was told to go on elsewhere */
};

struct td_consumer_counts {
    uint64_t delivered; /* first deliveries and later ones */
    uint64_t redelivered;
    uint64_t acked;
    uint64_t naked;
    uint64_t timed_out;
    uint64_t lost; /* with a member */
    uint64_t released;
    uint64_t termed;
    uint64_t returned; /* unsettled, and not failed: its member has left, its
                          link had not taken it, or the group went elsewhere */
    uint64_t stale;
    uint64_t expired;
    uint64_t expirytime; /* had passed when it was their turn */
    uint64_t dead;       /* buried */
};

struct td_consumer {
    struct td_consumer *prev; /* list of all */
    struct td_consumer *next;
    struct td_consumer *stream_prev; /* of its stream */
    struct td_consumer *stream_next;
    uint32_t id; /* 0: a reader */
    struct td_stream *stream;
    struct td_group *group;
    struct td_buf text;                /* its options, as a map … */
    struct td_durable_options options; /* … read: borrows text */
    bool all; /* its pattern matches whatever a stream takes */
    bool paused;
    int64_t paused_until_ms;               /* Unix; 0: until resumed */
    struct td_outage outage;               /* its handlers have told of one */
    bool parked_told;                      /* that it is parked … */
    int64_t parked_told_ms;                /* … and not again before */
    char parked_by[TD_NAME_BYTES_MAX + 1]; /* the session that did it last */
    char parked_why[TD_REASON_BYTES_MAX + 1]; /* … and what it said */
    /* feeding */
    uint64_t cursor;      /* the sequence that is fed next */
    uint64_t out;         /* fed and not settled */
    struct td_read *read; /* of what cursor is in; or to locate */
    struct td_read *retry_read;
    uint64_t retry_sequence; /* for which that was asked */
    uint64_t read_to;        /* it ends before this one */
    uint64_t read_next; /* where the record after those read begins; 0: look */
    bool read_moving;   /* records were being rewritten when it was asked */
    bool placed;        /* the store knows where it is */
    struct td_lost untold;   /* gone, and no member was told */
    uint64_t overtaken;      /* expired before their turn, and not logged … */
    uint64_t overtaken_from; /* … from this sequence on */
    int64_t overtaken_ms;    /* not logged again before */
    uint64_t sifted; /* the queue has nothing that is gone below this one */
    bool hungry;     /* in the list */
    struct td_consumer *hungry_prev;
    struct td_consumer *hungry_next;
    uint64_t newest_to;  /* below it only the newest of each name; 0: all … */
    uint64_t newest_was; /* that bound, once a reader has passed it */
    uint32_t at;         /* … which goes on with this name; 0: look */
    bool locating;       /* it begins at a time: cursor is not known yet … */
    int64_t sought_ms;   /* … that one, Unix, … */
    uint64_t low;        /* … but is not below this, and */
    uint64_t high;       /* … not above that */
    bool full_told;      /* it is full, and that was told … */
    int64_t full_ms;     /* … and is not told again before */
    /* settling: durable groups */
    struct td_settled_set settled;
    struct td_counts counts; /* deliveries of events that have failed */
    struct td_retries retries;
    struct td_parks parks; /* share TD_BY_KEY */
    uint64_t dead_next;
    uint64_t dead_from; /* dead letters before it are from before a seek */
    uint64_t dead_len;  /* dead letters, those that are being written too */
    struct td_fifo
        burials; /* td_burial: in transactions that are not written */
    struct td_redriven *redriven;
    struct td_consumer_counts count;
    int64_t wake_ms; /* when it has to be looked at; TD_NEVER */
    bool ready;      /* in the list */
    struct td_consumer *ready_prev;
    struct td_consumer *ready_next;
    bool made;      /* the store knows of it */
    bool dirty;     /* in the list: its state is to be written */
    bool twice;     /* that was read, both times */
    bool dirty_row; /* … and who it is … */
    bool wipe; /* … and what is stored of what is settled is to go first */
    struct td_consumer *dirty_next;
    uint64_t wrote; /* the last ticket with something of it */
};

/* What of a stream a group has had, and where it was looking. */
struct td_placement {
    bool locating;
    int64_t sought_ms;
    uint64_t newest_to;
    struct td_settled_set settled;
    struct td_counts counts;
    uint64_t dead_from;
};

/* consumer.c: their life */
struct td_consumer *td_consumer_find(struct td_stream *stream,
                                     struct td_str group);
/* A group is declared, or *out is the one that is there. given: as
 * td_durable_options_read(). */
tidings_err td_consumer_add(struct td_engine *e, struct td_stream *stream,
                            const struct td_durable_options *options,
                            unsigned given, struct td_consumer **out,
                            const char **text);
/* NULL: no memory. */
struct td_consumer *td_reader_new(struct td_engine *e, struct td_stream *stream,
                                  const struct td_durable_options *options);
/* Its members end, told by a GAP; its rows in the store go. */
void td_consumer_delete(struct td_engine *e, struct td_consumer *c);
void td_consumer_free(struct td_engine *e, struct td_consumer *c);
void td_consumer_ready(struct td_engine *e, struct td_consumer *c);
void td_consumer_dirty(struct td_engine *e, struct td_consumer *c);
/* Forgets what is out, and goes on from there. was, zeroed: how it was. */
void td_consumer_seek(struct td_engine *e, struct td_consumer *c,
                      const struct td_start *start, struct td_placement *was);
/* It never left: what it has had since then it may have again. */
void td_consumer_put_back(struct td_engine *e, struct td_consumer *c,
                          struct td_placement *was);
bool td_consumer_is_durable(const struct td_consumer *c);
/* Its state is kept in the store. */
bool td_consumer_is_kept(const struct td_consumer *c);
/* Who joins it can rely on it: nothing is fed before. */
bool td_consumer_is_made(const struct td_consumer *c);
bool td_consumer_is_paused(struct td_engine *e, const struct td_consumer *c);

/* Events that it has not come to, that its members have, and that are dead. */
uint64_t td_consumer_lag(const struct td_consumer *c);
uint64_t td_consumer_in_flight(const struct td_consumer *c);
uint64_t td_consumer_dead(const struct td_consumer *c);
/* What is fed and not sent; and what is dead, which is not written. */
uint64_t td_consumer_queued(const struct td_consumer *c);
uint64_t td_consumer_dying(const struct td_consumer *c);

/* consume.c: members */
/* A text, and *code when it cannot be. */
const char *td_consume_subscribe(struct td_engine *e, struct td_session *s,
                                 const struct td_frame *f, tidings_err *code);
/* What a member is told, once its group is written. */
void td_consume_answer(struct td_engine *e, struct td_session *s,
                       const struct td_frame *f);
/* The REPLY, with what a member has to know of its group. */
void td_consume_welcome(struct td_engine *e, struct td_session *s,
                        uint64_t request, uint64_t subscription);
void td_consumer_leave(struct td_engine *e, struct td_consumer *c,
                       struct td_sub *sub, bool orderly);

/* feed.c */
void td_feed_ready(struct td_engine *e);
/* Somebody waits for what there is now. */
bool td_feed_can(const struct td_engine *e);
/* It waits for neither any more. */
void td_consumer_eats(struct td_engine *e, struct td_consumer *c);
/* Whether there is a member with credit, and room before it. */
bool td_feed_may(struct td_engine *e, struct td_consumer *c);
/* It is to be looked at then, or earlier. */
void td_consumer_wake_at(struct td_engine *e, struct td_consumer *c,
                         int64_t ms);
/* Consumers of a stream that has grown or shrunk. */
void td_consumers_wake(struct td_engine *e, struct td_stream *stream);
/* Looks at clocks; returns when to look again. */
int64_t td_consumers_tick(struct td_engine *e);
/* What was fed and is not sent goes back: it waits to be fed again. */
void td_consumer_unfeed(struct td_engine *e, struct td_consumer *c,
                        struct td_queue *q);
/* From the cursor on; false: there is no room, or no memory, for all of it. */
bool td_feed_from(struct td_engine *e, struct td_consumer *c,
                  struct td_item *item);
/* Nobody wants them: as good as settled. False: no memory. */
bool td_feed_skip(struct td_engine *e, struct td_consumer *c, uint64_t events);
/* It waits for memory, or to read. */
void td_feed_hunger(struct td_engine *e, struct td_consumer *c);

/* feed_item.c */
/* The item of a record that was read; NULL: it is damaged, *events is 1, or
 * there is no memory, it is 0. */
struct td_item *td_feed_item(struct td_engine *e,
                             const struct td_record *record,
                             struct td_body *bytes, uint64_t *first,
                             uint32_t *events);
/* The same of one whose head was read. */
struct td_item *td_feed_batch(struct td_engine *e,
                              const struct td_record_head *head,
                              struct td_body *bytes, uint32_t *events);
/* A record whose events are gone. */
bool td_feed_is_gone(const struct td_record *record, uint64_t *first,
                     uint32_t *events);
/* The item of a batch in bytes that were read; NULL: no memory. */
struct td_item *td_feed_keep(struct td_engine *e, const struct td_batch *batch,
                             struct td_body *bytes, size_t offset);

/* feed_read.c */
#define TD_FEED_READS_MAX                                                      \
    64u /* at once, so that what they bring does not fill memory */
#define TD_FEED_AGAIN_MS 500 /* after a read that failed */

/* Asks for the records from the cursor on. */
void td_feed_ask(struct td_engine *e, struct td_consumer *c);
/* Up to there nothing can be read: what it held is lost, and said so. */
void td_feed_lose(struct td_engine *e, struct td_consumer *c, uint64_t until);

/* overtaken.c */
/* They are gone, and were not settled: counted, and a member is told, or the
 * first that comes. */
void td_consumer_expire(struct td_engine *e, struct td_consumer *c,
                        const struct td_lost *lost);
/* Moves the cursor past what is gone. */
void td_overtaken_catch_up(struct td_engine *e, struct td_consumer *c);
void td_overtaken_log(struct td_engine *e, struct td_consumer *c);
/* What was not told, as far as members can be. */
void td_overtaken_tell(struct td_engine *e, struct td_consumer *c);
/* The last so many that this member was told of have not reached it. */
void td_overtaken_tell_again(struct td_engine *e, struct td_sub *sub,
                             uint64_t events);

/* outage_group.c: a group that is parked, and how it comes to run again */
/* How many events may be dealt now; UINT64_MAX: it runs. */
uint64_t td_outage_room(const struct td_consumer *c);
/* by: who says so, with this row; probed: as td_outage_park(). What was dealt
 * and not sent is not. */
void td_consumer_park(struct td_engine *e, struct td_consumer *c,
                      const struct td_session *by, const struct td_settle *row,
                      bool probed);
/* It was delivered since the group was parked last, or some of it. */
bool td_consumer_probed(const struct td_sub *sub, const struct td_lease *lease);
void td_consumer_acked(struct td_engine *e, const struct td_sub *sub,
                       const struct td_lease *lease);
/* Nothing waits that could be dealt. */
void td_consumer_caught_up(struct td_engine *e, struct td_consumer *c);
void td_consumer_unpark(struct td_engine *e, struct td_consumer *c);

/* full.c */
/* How many more it may be fed until something is settled. */
uint64_t td_full_room(const struct td_consumer *c);
/* That is none, and all that it was fed is with members, or was. */
bool td_full_is(const struct td_consumer *c);
/* Tells of it when it is. */
void td_full_look(struct td_engine *e, struct td_consumer *c);

/* again.c: what comes back. The reason is taken over by td_again() and
 * td_again_lease(). */
void td_again(struct td_engine *e, struct td_consumer *c,
              const struct td_retry *retry);
void td_again_piece(struct td_engine *e, struct td_consumer *c,
                    const struct td_piece *piece, const struct td_retry *retry);
/* retry: sequence and count of the lease. */
void td_again_lease(struct td_engine *e, struct td_consumer *c,
                    const struct td_sub *sub, const struct td_lease *lease,
                    const struct td_retry *retry);

/* retries.c */
void td_retries_feed(struct td_engine *e, struct td_consumer *c);
/* The first of them may be delivered again now. */
bool td_retries_due(struct td_engine *e, struct td_consumer *c);

/* locate.c */
/* Sets the cursor, or begins to look for it. */
void td_locate(struct td_engine *e, struct td_consumer *c,
               const struct td_start *start);

/* lease.c: what members have */
/* A piece is sent under tags from tag on; false: no memory. */
bool td_lease_sent(struct td_engine *e, struct td_sub *sub, uint64_t tag,
                   const struct td_piece *piece);
/* How many events from its front have been delivered as often as the first. */
uint32_t td_lease_alike(const struct td_sub *sub, const struct td_piece *piece);
/* Where a piece of such events stands. */
void td_lease_span(const struct td_sub *sub, const struct td_piece *piece,
                   struct td_span *out);
/* Of deliveries that have failed, or are never to be again. */
struct td_failure {
    uint64_t delay_ms; /* 0: the backoff */
    bool term;
    struct td_str reason;
};

void td_lease_fail(struct td_engine *e, const struct td_sub *sub,
                   const struct td_lease *lease, const struct td_failure *f);
/* It is given back, and that is no failure. */
void td_lease_release(struct td_engine *e, const struct td_sub *sub,
                      const struct td_lease *lease);
/* The member ends: what it has not settled has failed; or, where it ends in
 * order, is given back. */
void td_lease_clear(struct td_engine *e, struct td_sub *sub, bool orderly);
/* What was sent under tags above received has not arrived: given back. It is in
 * flight still. */
void td_lease_rewind(struct td_engine *e, struct td_sub *sub,
                     uint64_t received);
void td_lease_tick(struct td_engine *e, struct td_consumer *c);
/* When the first of its members' leases is over; TD_NEVER: there is none. */
int64_t td_lease_next(const struct td_consumer *c);
/* The event is done with: nothing of it is out any more. */
void td_consumer_done(struct td_engine *e, struct td_consumer *c,
                      uint64_t sequence, uint32_t count);
/* The same, but its dead letter stays. */
void td_consumer_settled(struct td_engine *e, struct td_consumer *c,
                         uint64_t sequence, uint32_t count);

/* settle.c */
void td_lease_settle(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f);

/* rows.c: how it is, in a word. */
const char *td_consumer_state(struct td_engine *e, const struct td_consumer *c);

/* bury.c: dead letters */
/* The first event of a retry, whose bytes the piece has, becomes one. */
void td_bury(struct td_engine *e, struct td_consumer *c,
             const struct td_piece *piece, const struct td_retry *retry);
/* It is dead, and compaction has taken its event: that is told and counted. */
void td_bury_nothing(struct td_engine *e, struct td_consumer *c,
                     const struct td_retry *retry);
/* Dead letters from first to last are delivered again, or are forgotten; returns how
 * many, in *more whether there are others of that range to come. Reads. */
bool td_redrive(struct td_engine *e, struct td_consumer *c, uint64_t number,
                uint64_t sequence);
/* Fetches the first retry, which is one; false: it is being read. */
bool td_redriven_feed(struct td_engine *e, struct td_consumer *c,
                      const struct td_redriven *r);
struct td_redriven *td_redriven_find(const struct td_consumer *c,
                                     uint64_t sequence);
/* It is settled: its dead letter goes. */
void td_redriven_done(struct td_engine *e, struct td_consumer *c,
                      struct td_redriven *r);
void td_redriven_clear(struct td_consumer *c);
void td_bury_written(struct td_engine *e, struct td_consumer *c);
void td_bury_take_back(struct td_engine *e, struct td_consumer *c);
/* How many there are for all to see: those that are written. */
uint64_t td_dead_len(const struct td_consumer *c);

/* consumer_store.c: their state in the store */
void td_consumers_write(struct td_engine *e);
void td_consumers_written(struct td_engine *e);
void td_consumers_take_back(struct td_engine *e);
/* When something is to be written that nothing else takes along. */
int64_t td_consumers_write_due(const struct td_engine *e);
tidings_err td_consumer_load(struct td_engine *e, uint32_t id,
                             const struct td_group_row *row);
struct td_consumer *td_consumer_by_id(struct td_engine *e, uint32_t id);

#endif
