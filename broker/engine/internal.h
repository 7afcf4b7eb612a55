/* What the rooms of the engine share: its structures, and who may call whom.
 * Nothing outside broker/engine/ includes this, tests excepted. */
#ifndef TD_ENGINE_INTERNAL_H
#define TD_ENGINE_INTERNAL_H

#include "broker/engine/block.h"
#include "broker/engine/engine.h"
#include "broker/engine/hash.h"
#include "broker/engine/queue.h"
#include "broker/engine/route.h"
#include "broker/engine/trie.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/limits.h"

/* Why an event that matched was not delivered. Names are the wire's. */
#define TD_DROP_MAP(X)                                                         \
    X(SLOW, "slow")                                                            \
    X(MEMORY, "memory")                                                        \
    X(SESSION_LOST, "session_lost")                                            \
    X(UNSUBSCRIBED, "unsubscribed")

enum td_drop {
#define TD_DROP_ENUM(name, text) TD_DROP_##name,
    TD_DROP_MAP(TD_DROP_ENUM)
#undef TD_DROP_ENUM
        TD_DROPS
};

extern const char *const td_drop_names[TD_DROPS];

/* matched = delivered + pending + the sum of dropped, at any moment. */
struct td_ledger {
    uint64_t matched;
    uint64_t delivered; /* taken by the client */
    uint64_t dropped[TD_DROPS];
};

/* A numbering of events, remembered past its session. */
struct td_producer {
    UT_hash_handle hh;
    struct td_producer *prev; /* among those without a session, oldest first */
    struct td_producer *next;
    bool hh_failed;
    uint8_t id[TD_PRODUCER_BYTES];
    uint64_t taken;             /* highest sequence */
    struct td_session *session; /* NULL: its session is over … */
    int64_t ended_ms;           /* … since then */
};

#define TD_HOLDS_KNOWN 8u /* per session; more are treated as one */

/* A subscription that withholds its publishers' credit just now. */
struct td_hold {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t number; /* never used again */
};

struct td_sub {
    struct td_trie_entry entry; /* first: the trie hands it back */
    UT_hash_handle hh;          /* in its session, by number */
    bool hh_failed;
    struct td_sub *ready_prev;
    struct td_sub *ready_next;
    bool ready; /* has something to deliver and perhaps credit */
    struct td_session *session;
    uint64_t number;
    struct td_queue queue;
    uint64_t queue_events_max;
    uint64_t queue_bytes_max;
    struct td_ledger ledger;
    uint64_t sent; /* events; sent - delivered are in flight */
    uint64_t sent_bytes;
    uint64_t events_limit;
    uint64_t bytes_limit;
    uint64_t window_events; /* the first credit */
    uint64_t window_bytes;
    struct td_block block;
    struct td_hold hold;    /* in the engine's holds while blocking */
    uint64_t gap[TD_DROPS]; /* dropped, and the subscriber not told yet */
    uint32_t route_class;   /* publish.c, during one batch */
    uint64_t route_stamp;
    size_t pattern_len;
    char pattern[];
};

struct td_session {
    UT_hash_handle hh; /* by peer */
    bool hh_failed;
    struct td_session *told_prev; /* list of those owed a TAKEN */
    struct td_session *told_next;
    struct td_session *held_prev; /* list of those whose credit is withheld */
    struct td_session *held_next;
    struct td_session *doomed_next;
    uint64_t number;
    int64_t heard_ms;
    struct td_producer *producer;
    /* publishing; totals of this session */
    uint64_t events_in;
    uint64_t bytes_in;
    uint64_t events_limit;
    uint64_t bytes_limit;
    bool owed;  /* in the list: something taken was not told */
    bool asked; /* and is wanted in this turn */
    uint64_t holds[TD_HOLDS_KNOWN]; /* numbers of the holds it is under */
    uint32_t holds_len;
    bool held_by_more; /* than are known: waits until nobody holds */
    bool held;
    /* delivering */
    uint64_t messages_out;
    uint64_t messages_seen;
    uint32_t gaps_out; /* GAP told since it was heard last */
    struct td_sub *subs;
    bool doomed; /* ends when the turn does */
    enum td_drop doom;
    char name[TD_NAME_BYTES_MAX + 1];
    size_t peer_len;
    char peer[];
};

struct td_counters {
    uint64_t published;
    uint64_t duplicates;
    uint64_t routed;
    uint64_t unmatched;
    uint64_t bad_frames;
    uint64_t breaches;
    uint64_t silent;
    struct td_ledger gone; /* of subscriptions that have ended */
};

struct td_engine {
    struct td_engine_options options;
    int64_t started_ms;
    int64_t now_ms;
    int64_t ticked_ms;
    int64_t due_ms; /* when it asked to be called; TD_NEVER: it did not */
    bool draining;
    struct td_session *sessions;
    struct td_session *owed;   /* list by told_ */
    struct td_session *held;   /* list by held_ */
    struct td_session *doomed; /* list by doomed_next */
    int64_t lazy_ms;           /* when the owed are told, TD_NEVER: none */
    uint64_t next_session;
    struct td_producer *producers;
    struct td_producer *orphans; /* list, oldest first */
    struct td_trie trie;
    struct td_routes routes;
    struct td_sub *ready; /* list by ready_ */
    size_t subs_len;
    struct td_hold *holds;
    uint64_t next_hold;
    bool hold_ended; /* in this turn */
    size_t held_bytes;
    struct td_counters counters;
    /* scratch, so that a turn allocates little */
    struct td_batches batches;        /* publish.c: the message at hand */
    struct td_run runs[TD_RUNS_MAX];  /* … its batch cut to what is new */
    struct td_buf cut;                /* … and that one's table */
    struct td_router *router;         /* … and where it goes */
    struct td_run slice[TD_RUNS_MAX]; /* deliver.c: the message to be sent */
    struct td_buf table;
    struct td_buf control; /* engine.c: the frame to be sent */
};

/* engine.c */
/* Encodes and sends; a failure dooms the session. */
void td_engine_send(struct td_engine *e, struct td_session *s,
                    const struct td_frame *frame, struct td_body *body);
/* To a peer that has no session. */
void td_engine_bye(struct td_engine *e, struct td_str peer, tidings_err code,
                   const char *text);

/* session.c */
void td_session_hello(struct td_engine *e, struct td_str peer,
                      struct td_session *s, const struct td_frame *f);
/* Ends the session when the turn does; tells the peer unless text is NULL. */
void td_session_doom(struct td_engine *e, struct td_session *s,
                     enum td_drop why, tidings_err code, const char *text);
void td_session_reap(struct td_engine *e); /* frees the doomed */
void td_session_owe(struct td_engine *e, struct td_session *s, bool asked);
void td_session_tell_owed(struct td_engine *e);
void td_session_tell(struct td_engine *e, struct td_session *s);
/* Withholds the session's credit until the hold is over. */
void td_session_hold(struct td_engine *e, struct td_session *s, uint64_t hold);
void td_session_release(struct td_engine *e);
void td_session_tick(struct td_engine *e);
void td_session_free_all(struct td_engine *e);

/* publish.c */
struct td_router; /* its scratch */
void td_publish(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body);
void td_router_free(struct td_router *r);

/* sub.c */
void td_sub_subscribe(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f);
void td_sub_unsubscribe(struct td_engine *e, struct td_session *s,
                        const struct td_frame *f);
void td_sub_end(struct td_engine *e, struct td_sub *sub, enum td_drop why);
/* Queues an item; keeps the bounds, blocks or drops. */
void td_sub_push(struct td_engine *e, struct td_sub *sub,
                 struct td_session *from, struct td_item *item);
/* An item that there was no memory for. */
void td_sub_lose(struct td_engine *e, struct td_sub *sub, uint64_t events);
void td_sub_ready(struct td_engine *e, struct td_sub *sub);
/* After the queue has shrunk: lets publishers go when it is half empty. */
void td_sub_eased(struct td_engine *e, struct td_sub *sub);
/* The broker was stopped itself: its holds are not charged for it. */
void td_sub_forgive_holds(struct td_engine *e, int64_t pause_ms);
/* Ends holds whose budget is spent; returns when the next one is. */
int64_t td_sub_tick_holds(struct td_engine *e);
void td_sub_keep_memory(struct td_engine *e); /* --memory-max */
uint64_t td_sub_pending(const struct td_sub *sub);

/* deliver.c */
void td_deliver(struct td_engine *e, struct td_sub *sub);
void td_deliver_ready(struct td_engine *e);
/* Tells the subscriber what was dropped since it was told last. */
void td_deliver_gaps(struct td_engine *e, struct td_sub *sub);
/* The session was heard: it may be told of gaps again. */
void td_deliver_heard(struct td_engine *e, struct td_session *s);
void td_deliver_credit(struct td_engine *e, struct td_session *s,
                       const struct td_frame *f);

/* stats.c */
void td_stats_reply(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f);
void td_ledger_add(struct td_ledger *to, const struct td_ledger *more);

#endif
