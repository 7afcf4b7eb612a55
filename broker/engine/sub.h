/* Subscriptions: members of groups, and what is on its way to them. */
#ifndef TD_ENGINE_SUB_H
#define TD_ENGINE_SUB_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/consumer.h"
#include "broker/engine/group.h"
#include "broker/engine/hash.h"
#include "broker/engine/queue.h"
#include "proto/frame.h"

struct td_engine;
struct td_session;

struct td_sub {
    UT_hash_handle hh; /* in its session, by number */
    bool hh_failed;
    struct td_sub *ready_prev; /* in its session's list */
    struct td_sub *ready_next;
    bool ready; /* has something to deliver and perhaps credit */
    struct td_sub *group_prev;
    struct td_sub *group_next;
    struct td_session *session;
    struct td_group *group;
    uint64_t number;
    struct td_queue own;        /* dealt to it and not sent yet */
    struct td_inflight *leases; /* of a durable group; NULL */
    struct td_queue *from;  /* where it sends from: own, or without a group's
                               name the group's queue */
    struct td_queue flight; /* sent, its first piece not all taken */
    uint64_t flight_first;  /* how many events were sent before that piece:
                               what is below cannot be sent again */
    uint64_t sent;          /* events; sent - delivered are in flight */
    uint64_t sent_bytes;
    uint64_t delivered;
    uint64_t parked_tag; /* of a durable group: sent when it was parked last */
    uint64_t loose; /* share TD_BY_KEY: what was sent up to here holds no key */
    uint64_t events_limit;
    uint64_t bytes_limit;
    bool pulls;             /* of a stream: it has credit only when it asks */
    bool began;             /* there was no such durable group before */
    uint64_t window_events; /* the first credit */
    uint64_t window_bytes;
    uint64_t gap_told;        /* events, since it began … */
    uint64_t gap_heard;       /* … and of those, when it was resumed last */
    enum td_drop gap_last;    /* reason: also of what is told again */
    struct td_lost lost_told; /* of a stream: since its session was here last */
    struct td_lost lost_last; /* … in the last GAP */
    uint64_t want; /* deal.c, during one deal; away.c, during one HELLO */
};

/* A piece that is to go out with others. */
struct td_pick {
    struct td_sub *sub;
    uint64_t tag; /* of its first event */
    struct td_piece piece;
    struct td_span span; /* of a consumer's */
};

/* sub.c */
void td_sub_subscribe(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f);
void td_sub_unsubscribe(struct td_engine *e, struct td_session *s,
                        const struct td_frame *f);
void td_sub_end(struct td_engine *e, struct td_sub *sub, enum td_drop why);
void td_sub_ready(struct td_engine *e, struct td_sub *sub);
struct td_sub *td_sub_find(struct td_session *s, uint64_t number);
uint64_t td_sub_in_flight(const struct td_sub *sub); /* events */
/* Events that were sent to it and not settled, or of a live group not taken. */
bool td_sub_has_unsettled(const struct td_sub *sub);

/* deliver.c */
void td_deliver(struct td_engine *e, struct td_sub *sub);
void td_deliver_ready(struct td_engine *e);

/* gaps.c */
bool td_gaps_wait(const struct td_sub *sub); /* to be told */
/* Unread are as many as may be, but for those just before a DELIVER. */
/* What a durable group or reader lost; false: it cannot be told now. */
bool td_gaps_tell_lost(struct td_engine *e, struct td_sub *sub,
                       const struct td_lost *lost);
bool td_gaps_full(const struct td_session *s);
/* Its group or stream was deleted: it is over. */
void td_gaps_tell_deleted(struct td_engine *e, struct td_session *s,
                          uint64_t subscription);
/* Its durable group is full. */
void td_gaps_tell_full(struct td_engine *e, struct td_sub *sub);
/* Tells the subscriber what was dropped since it was told last. */
void td_gaps_tell(struct td_engine *e, struct td_sub *sub);
/* The session has answered a PING: what was told before that, it has read. */
void td_gaps_pong(struct td_engine *e, struct td_session *s, uint64_t token);

/* taken.c: subscribers' credit */
void td_taken_credit(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f);
void td_taken_wake_all(struct td_engine *e, struct td_session *s);

#endif
