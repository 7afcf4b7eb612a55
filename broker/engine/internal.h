/* What the rooms of the engine share: its structures, and who may call whom.
 * Nothing outside broker/engine/ includes this, tests excepted. */
#ifndef TD_ENGINE_INTERNAL_H
#define TD_ENGINE_INTERNAL_H

#include "broker/engine/append.h"
#include "broker/engine/block.h"
#include "broker/engine/commit.h"
#include "broker/engine/consumer.h"
#include "broker/engine/engine.h"
#include "broker/engine/expiry.h"
#include "broker/engine/hash.h"
#include "broker/engine/keys.h"
#include "broker/engine/naming.h"
#include "broker/engine/newest.h"
#include "broker/engine/queue.h"
#include "broker/engine/route.h"
#include "broker/engine/streams.h"
#include "broker/engine/trie.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/limits.h"

#include <msgpack.h>

/* Why an event that matched was not delivered. Names are the wire's. */
#define TD_DROP_MAP(X)                                                         \
    X(SLOW, "slow")                                                            \
    X(OLDEST, "oldest")                                                        \
    X(NEWEST, "newest")                                                        \
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

/* What a full queue does: PROTOCOL.md 6. */
enum td_policy {
    TD_BLOCK,
    TD_DROP_THE_OLDEST,
    TD_DROP_THE_NEWEST,
    TD_POLICIES
};

/* Which member an event goes to. */
enum td_share {
    TD_ROUND_ROBIN,
    TD_RANDOM,
    TD_LEAST_PENDING,
    TD_BY_KEY,
    TD_SINGLE,
    TD_SHARES
};

extern const char *const td_policy_names[TD_POLICIES];
extern const char *const td_share_names[TD_SHARES];

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
    uint8_t token[TD_TOKEN_BYTES];        /* another in each WELCOME … */
    uint8_t token_before[TD_TOKEN_BYTES]; /* … this one too until … */
    bool told;      /* … the last is known to have come: so far it is not */
    bool guarded;   /* one has come: its next HELLO has to show one */
    uint64_t taken; /* highest sequence */
    struct td_stored stored;
    struct td_stored kept;  /* as it was last written */
    uint64_t stored_ticket; /* where it changed last; 0: nowhere */
    bool dirty;             /* in the list: to be written */
    struct td_producer *dirty_next;
    struct td_naming *naming;   /* it has a name; NULL: it has none */
    struct td_session *session; /* NULL: its session is over … */
    int64_t ended_ms;           /* … since then, in the list of orphans if it
                                   has no name */
};

#define TD_HOLDS_KNOWN 8u /* per session; more are treated as one */

/* A queue that withholds its publishers' credit just now. */
struct td_hold {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t number; /* never used again */
};

/* What the next advisory of a kind has to tell, and from when on it may. */
struct td_news {
    uint64_t events;
    int64_t next_ms;
};

/* What a group needs only once it holds publishers back, or has dropped
 * something: made then. Without memory for it a group drops instead of
 * holding back, and what it dropped is no news: it is counted all the same. */
struct td_trouble {
    struct td_group *group;
    struct td_block block;
    struct td_hold hold;        /* in the engine's holds while blocking … */
    struct td_session *charged; /* … at the cost of this one's budget */
    struct td_news slow;
    struct td_news drops[TD_DROPS];
    bool newsworthy; /* in the engine's list by news_ */
    struct td_trouble *news_prev;
    struct td_trouble *news_next;
};

/* What a group needs only if it has a name. */
struct td_named {
    UT_hash_handle hh; /* by pattern and name */
    bool hh_failed;
    bool ready; /* has something to deal */
    struct td_named *ready_prev;
    struct td_named *ready_next;
    struct td_group *group;
    struct td_sub *turn;       /* whose it is next; NULL: the first member's;
                                  share TD_SINGLE: who has them all */
    struct td_keys keys;       /* share TD_BY_KEY */
    struct td_queue_sum dealt; /* of its members' own queues */
};

/* Whoever shares the events of one pattern: the members of a named group, or
 * one subscription, which is then a group without a name. There may be very
 * many of those, so that they are kept small. */
struct td_group {
    struct td_trie_entry entry; /* first: the trie hands it back */
    struct td_group *prev;      /* list of all */
    struct td_group *next;
    struct td_named *named;       /* NULL: it has no name */
    struct td_trouble *trouble;   /* NULL: there was none */
    struct td_consumer *consumer; /* it is fed from a stream; NULL: it is live,
                                     and in the trie */
    struct td_sub *members;       /* list by group_, in order of joining */
    uint32_t members_len;
    uint32_t route_class; /* publish.c, during one batch … */
    uint64_t route_stamp; /* … this one */
    enum td_share share;
    enum td_policy policy;
    struct td_queue queue;
    uint64_t queue_events_max;
    uint64_t queue_bytes_max;
    struct td_ledger ledger;
    uint64_t gap[TD_DROPS]; /* dropped, and nobody told yet */
    uint16_t pattern_len;
    uint16_t name_len;
    char text[]; /* the pattern, a NUL, the name */
};

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
    uint64_t loose; /* share TD_BY_KEY: what was sent up to here holds no key */
    uint64_t events_limit;
    uint64_t bytes_limit;
    bool pulls;             /* of a stream: it has credit only when it asks */
    uint64_t window_events; /* the first credit */
    uint64_t window_bytes;
    uint64_t gap_told;     /* events, since it began */
    enum td_drop gap_last; /* reason: also of what is told again */
    uint64_t want; /* deal.c, during one deal; away.c, during one HELLO */
};

struct td_session {
    UT_hash_handle hh;      /* by number: all */
    UT_hash_handle hh_peer; /* by peer: of those away, the link that is lost */
    bool hh_failed;
    bool linked;   /* is in that table */
    bool greeting; /* its WELCOME waits for the store, and so does all else */
    struct td_session *told_prev; /* list of those owed a TAKEN */
    struct td_session *told_next;
    struct td_session *held_prev; /* list of those whose credit is withheld */
    struct td_session *held_next;
    struct td_session *away_prev; /* list of those away, longest first */
    struct td_session *away_next;
    struct td_session *doomed_next;
    uint64_t number;
    int64_t heard_ms;
    struct td_producer *producer;
    bool away;       /* its link is lost … */
    int64_t away_ms; /* … since then */
    /* publishing; totals since it was greeted */
    uint64_t published; /* since it began */
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
    int64_t held_ms;      /* since then */
    uint64_t withheld_ms; /* before */
    /* confirms */
    struct td_confirm confirm; /* the last row, count 0: there is none … */
    struct td_buf confirms;    /* … and those before it, encoded */
    uint32_t confirm_rows;
    bool confirming; /* in the list: there are some to be sent */
    struct td_session *confirm_prev;
    struct td_session *confirm_next;
    /* delivering */
    struct td_sub *ready; /* list by ready_: what goes out together */
    bool queued;          /* in the engine's list by ready_ */
    struct td_session *ready_prev;
    struct td_session *ready_next;
    uint64_t messages_out;
    uint64_t messages_seen;
    int64_t unread_ms;   /* since then it has not said that it read any more */
    uint64_t gaps_out;   /* GAP told on this link … */
    uint64_t gaps_asked; /* … before the last PING … */
    uint64_t gaps_token; /* … which had this token … */
    uint64_t gaps_read;  /* … and before the last that was answered */
    struct td_sub *subs;
    struct td_block block; /* the budget of all its queues … */
    uint32_t blocking;     /* … and how many of them hold publishers back */
    size_t patterns_bytes; /* of all its subscriptions */
    bool doomed;           /* ends, or is away, when the turn does */
    bool keeps;            /* … is away */
    enum td_drop doom;
    const char *reason; /* static; for its advisory */
    char name[TD_NAME_BYTES_MAX + 1];
    size_t peer_len;
    uint8_t peer[TD_PEER_BYTES_MAX];
};

/* A piece that is to go out with others. */
struct td_pick {
    struct td_sub *sub;
    uint64_t tag; /* of its first event */
    struct td_piece piece;
    struct td_span span; /* of a consumer's */
};

struct td_counters {
    uint64_t published;
    uint64_t duplicates;
    uint64_t routed;
    uint64_t unmatched;
    uint64_t expirytime; /* of those: had passed when they came */
    uint64_t bad_frames;
    uint64_t breaches;
    uint64_t silent;
    uint64_t resumed;
    struct td_ledger all;  /* counted where it happens … */
    struct td_ledger gone; /* … and the ledgers of groups that have ended */
};

struct td_engine {
    struct td_engine_options options;
    int64_t started_ms;
    int64_t now_ms;
    int64_t ticked_ms;
    int64_t due_ms; /* when it asked to be called; TD_NEVER: it did not */
    bool draining;
    struct td_session *sessions; /* by number */
    struct td_session *peers;    /* by peer */
    struct td_session *owed;     /* list by told_ */
    struct td_session *held;     /* list by held_ */
    struct td_session *away;     /* list by away_ */
    size_t away_len;
    struct td_session *doomed; /* list by doomed_next */
    int64_t lazy_ms;           /* when the owed are told, TD_NEVER: none */
    uint64_t next_session;
    struct td_producer *producers;
    struct td_producer *orphans; /* list, oldest first */
    uint32_t names_len;          /* producers that have one */
    uint64_t gone_term;          /* the highest of names that were deleted */
    struct td_trie trie;
    struct td_routes routes;
    struct td_group *groups;  /* list of all */
    size_t groups_len;        /* of those with a name */
    struct td_named *named;   /* by pattern and name */
    struct td_named *dealing; /* list by ready_ */
    struct td_trouble *news;  /* list by news_ */
    struct td_session *ready; /* list by ready_ */
    size_t subs_len;
    struct td_hold *holds;
    uint64_t next_hold;
    bool hold_ended; /* in this turn */
    size_t held_bytes;
    struct td_counters counters;
    struct td_streams streams;
    uint64_t random;                     /* of share TD_RANDOM */
    uint8_t producer[TD_PRODUCER_BYTES]; /* of advisories … */
    uint64_t advised;                    /* … and their last sequence */
    /* scratch, so that a turn allocates little */
    struct td_batches batches;         /* publish.c: the message at hand */
    struct td_run runs[TD_RUNS_MAX];   /* … its batch cut to what is new */
    struct td_buf cut;                 /* … and that one's table */
    struct td_buf left;                /* expiry.c: that of what is routed */
    struct td_router *router;          /* … and where it goes */
    struct td_pick picks[TD_RUNS_MAX]; /* deliver.c: the message to be sent … */
    struct td_run slice[TD_RUNS_MAX];      /* … a batch of it */
    struct td_stream *taking[TD_RUNS_MAX]; /* append.c: of each run, or NULL */
    struct td_run pieces[TD_RUNS_MAX];     /* … and of a batch what is new */
    struct td_buf record_table;
    struct td_buf table;
    struct td_buf control; /* engine.c: the frame to be sent */
};

/* engine.c */
/* Encodes and sends; a failure loses the session. */
void td_engine_send(struct td_engine *e, struct td_session *s,
                    const struct td_frame *frame, struct td_body *body);
/* To a peer that has no session. */
void td_engine_bye(struct td_engine *e, struct td_str peer, tidings_err code,
                   const char *text);
void td_engine_reply(struct td_engine *e, struct td_session *s,
                     uint64_t request, tidings_err code, const char *text);
/* Each call from outside begins with it. */
void td_engine_set_now(struct td_engine *e, int64_t now_ms);
uint64_t td_engine_random(struct td_engine *e);
int64_t td_engine_unix_ms(struct td_engine *e);

/* session.c */
void td_session_hello(struct td_engine *e, struct td_str peer,
                      struct td_session *s, const struct td_frame *f);
void td_session_welcome(struct td_engine *e, struct td_session *s,
                        bool resumed);
/* Ends the session when the turn does; tells the peer unless text is NULL. */
void td_session_doom(struct td_engine *e, struct td_session *s,
                     enum td_drop why, tidings_err code, const char *text);
/* The same, but it may be resumed within the grace time. */
void td_session_lose(struct td_engine *e, struct td_session *s,
                     tidings_err code, const char *text);
void td_session_reap(struct td_engine *e); /* parts with the doomed */
void td_session_tick(struct td_engine *e);
void td_session_unlink(struct td_engine *e, struct td_session *s);
void td_session_free(struct td_engine *e, struct td_session *s);
void td_session_free_all(struct td_engine *e);

/* producer.c */
struct td_producer *td_producer_find(struct td_engine *e, struct td_str id);
/* Made if need be; NULL: no memory. */
struct td_producer *td_producer_get(struct td_engine *e, struct td_str id);
/* The session is its own from now on; the one before ends. */
void td_producer_attach(struct td_engine *e, struct td_producer *p,
                        struct td_session *s);
void td_producer_detach(struct td_engine *e, struct td_session *s);
void td_producer_tick(struct td_engine *e); /* forgets */
/* Something of it is about to be stored. */
void td_producer_storing(struct td_engine *e, struct td_producer *p);
/* As it was written. False: no memory. */
bool td_producer_load(struct td_engine *e, struct td_str id,
                      const struct td_stored *stored);
/* The same of one with a name. */
bool td_producer_load_named(struct td_engine *e, struct td_str id,
                            const struct td_stored *stored,
                            const struct td_naming *naming);
/* One with a name and without a session, all of which is written. */
void td_producer_delete(struct td_engine *e, struct td_producer *p);
/* What was not written is not stored. */
void td_producers_take_back(struct td_engine *e);
/* It has a name from now on, so it is never forgotten. False: no memory. */
bool td_producer_name(struct td_engine *e, struct td_producer *p,
                      struct td_str name);
/* Whether that is a token of its; data NULL: none was shown. */
bool td_producer_knows(const struct td_producer *p, struct td_str shown);
/* Whether who shows that may have a session of it. */
bool td_producer_admits(const struct td_producer *p, struct td_str shown);
/* The token of the next WELCOME, after that one was shown; false: there is
 * none to be had. Without random bytes there are no tokens. */
bool td_producer_renew(struct td_engine *e, struct td_producer *p,
                       struct td_str shown);
/* Something came after the WELCOME: so did that, and the token in it. */
void td_producer_heard(struct td_producer *p);

/* credit.c: publishers' */
void td_session_limits(struct td_engine *e, struct td_session *s);
void td_session_owe(struct td_engine *e, struct td_session *s, bool asked);
void td_session_owe_no_more(struct td_engine *e, struct td_session *s);
void td_session_tell_owed(struct td_engine *e);
void td_session_tell(struct td_engine *e, struct td_session *s);
/* Withholds the session's credit until the hold is over. */
void td_session_hold(struct td_engine *e, struct td_session *s, uint64_t hold);
void td_session_let_go(struct td_engine *e, struct td_session *s);
void td_session_release(struct td_engine *e);

/* holder.c: who holds the name of a producer */
/* What a HELLO says of it. */
struct td_claim {
    struct td_str name; /* data NULL: it says none */
    uint64_t term;      /* 0: a new holder */
};

/* What is wrong with a HELLO, and the text; changes nothing. p: its producer;
 * NULL: it is not known. */
tidings_err td_holder_check(const struct td_engine *e, const struct td_frame *f,
                            const struct td_producer *p, struct td_claim *out,
                            const char **text);
/* Checked before: the name is its own from now on, and whoever held it is
 * fenced. False: no memory. */
bool td_holder_take(struct td_engine *e, struct td_producer *p,
                    const struct td_claim *claim);
/* Its WELCOME waits until the store has its term. False: no memory. */
bool td_holder_wait(struct td_engine *e, struct td_session *s);
void td_holders_written(struct td_engine *e, uint64_t ticket);
void td_holders_failed(struct td_engine *e, tidings_err err); /* all */

/* away.c: sessions whose link is lost */
void td_away_begin(struct td_engine *e, struct td_session *s);
/* Takes the session up again under another peer, if the token shown is good;
 * false: a new session is to begin. */
bool td_away_resume(struct td_engine *e, struct td_session *s,
                    struct td_str peer, const struct td_frame *hello,
                    struct td_str token);
void td_away_tick(struct td_engine *e);

/* router.c */
struct td_router; /* its scratch */
/* If there is none yet; false: no memory. */
bool td_router_make(struct td_engine *e);
void td_router_free(struct td_router *r);
/* Queues a batch for whom it matches, and fills e->taking. s: whose it is, NULL:
 * the broker's. ENOMEM: nothing of it was queued. */
tidings_err td_router_take(struct td_engine *e, struct td_session *s,
                           const struct td_batch *batch, struct td_body *body,
                           size_t offset);

/* publish.c */
void td_publish(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body);
/* One batch of the broker's own. */
void td_publish_own(struct td_engine *e, const struct td_batch *batch,
                    struct td_body *body, size_t offset);

/* group.c: groups and their members */
/* Finds the one of that name on that pattern, NULL if there is none. */
struct td_group *td_group_find(struct td_engine *e, struct td_str pattern,
                               struct td_str name);
/* NULL: no memory. It has no members yet. */
struct td_group *td_group_new(struct td_engine *e, struct td_str pattern,
                              struct td_str name);
/* One that a consumer feeds: no event is routed to it, and it may be without
 * members. NULL: no memory. */
struct td_group *td_group_new_fed(struct td_consumer *consumer,
                                  struct td_str pattern, struct td_str name);
/* The member is not one any more; what it was dealt and not sent goes back. */
void td_group_take_out(struct td_engine *e, struct td_group *g,
                       struct td_sub *sub);
void td_group_free_fed(struct td_engine *e, struct td_group *g);
void td_group_join(struct td_engine *e, struct td_group *g, struct td_sub *sub);
/* What it was dealt and not sent goes back; the last one ends the group. */
void td_group_leave(struct td_engine *e, struct td_group *g, struct td_sub *sub,
                    enum td_drop why);
/* Its link is lost: what it was dealt and not sent goes to the others, but for
 * keys of which it was sent others that are not taken. */
void td_group_away(struct td_engine *e, struct td_sub *sub);
/* It pulls, and has less credit: what it was dealt beyond that goes to others,
 * but for keys that it holds. */
void td_group_give_up(struct td_engine *e, struct td_sub *sub);
/* It is back, and what it has not got was put back into its own queue: what
 * holds no key of that is dealt anew. */
void td_group_rewound(struct td_engine *e, struct td_sub *sub);
/* Share TD_BY_KEY: members that are away lose their keys, and what waits for
 * them goes to the others. False: there is nothing, or nobody is there. */
bool td_group_let_go(struct td_engine *e, struct td_group *g);
struct td_str td_group_pattern(const struct td_group *g);
struct td_str td_group_name(const struct td_group *g);
void td_group_ready(struct td_engine *e, struct td_group *g);
bool td_group_is_away(const struct td_group *g); /* all its members are */

/* bound.c: what waits for a group, and the bounds of that */
/* Queues an item; keeps the bounds, blocks or drops. from: whose it is, NULL:
 * the broker's. */
void td_group_push(struct td_engine *e, struct td_group *g,
                   struct td_session *from, struct td_item *item);
/* An item that there was no memory for. */
void td_group_lose(struct td_engine *e, struct td_group *g, uint64_t events);
/* What waits only for the turn's end goes now. */
void td_group_serve(struct td_engine *e, struct td_group *g);
/* Drops the oldest until at most so many wait. */
void td_group_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
                   uint64_t events, uint64_t bytes);
/* Counts what was dropped, and has it told. */
void td_group_book(struct td_engine *e, struct td_group *g, enum td_drop why,
                   uint64_t events);
/* Wakes one member that is there, if anything is to be told. */
void td_group_wake_to_tell(struct td_engine *e, const struct td_group *g);
/* What keeps it over its bound is not left to members that are away. */
void td_group_keep_flowing(struct td_engine *e, struct td_group *g);
uint64_t td_group_waiting(const struct td_group *g); /* events */
uint64_t td_group_waiting_bytes(const struct td_group *g);
uint64_t td_group_pending(const struct td_group *g);
bool td_group_is_over(const struct td_group *g); /* one of its bounds */

/* hold.c: groups that hold publishers back */
/* NULL: no memory. */
struct td_trouble *td_group_trouble(struct td_group *g);
bool td_group_is_holding(const struct td_group *g);
uint64_t td_group_blocked_ms(struct td_engine *e, struct td_group *g);
/* Its queue is over its bound: holds back whose events they are, or drops. */
void td_group_hold(struct td_engine *e, struct td_group *g,
                   struct td_session *from);
/* After its queue has shrunk: lets publishers go when it is half empty. */
void td_group_eased(struct td_engine *e, struct td_group *g);
/* After a member has left, NULL: or is away: somebody else's budget is charged,
 * or it waits for nobody any more, and drops. */
void td_group_pass_hold(struct td_engine *e, struct td_group *g,
                        const struct td_session *left);
void td_group_end_hold(struct td_engine *e, struct td_group *g);
/* The broker was stopped itself: its holds are not charged for it. */
void td_group_forgive_holds(struct td_engine *e, int64_t pause_ms);
/* Ends holds whose budget is spent; returns when the next one is. */
int64_t td_group_tick_holds(struct td_engine *e);

/* memory.c */
void td_memory_keep(struct td_engine *e);          /* --memory-max */
void td_memory_keep_sessions(struct td_engine *e); /* --session-memory-max */
uint64_t td_session_queued(const struct td_session *s); /* bytes */

/* deal.c */
/* Whether a member that may be dealt to has credit. */
bool td_deal_has_room(struct td_group *g);
uint64_t td_deal_room(const struct td_sub *sub);  /* events: its own credit */
uint64_t td_deal_holds(const struct td_sub *sub); /* events it has, or is to */
void td_deal(struct td_engine *e, struct td_group *g);
void td_deal_ready(struct td_engine *e);

/* deal_key.c */
/* What waits for a group of share TD_BY_KEY, once somebody is there. */
void td_deal_waiting_by_key(struct td_engine *e, struct td_group *g);
/* Share TD_BY_KEY: deals a piece at once, to the members' own queues; while all
 * are away it waits in the group's. Returns how many events were lost for lack
 * of memory. */
uint64_t td_deal_by_key(struct td_engine *e, struct td_group *g,
                        const struct td_piece *piece);
/* Those events, past the first so many, are not with their member any more. */
void td_deal_forget(struct td_group *g, const struct td_piece *piece,
                    uint64_t skip);
void td_deal_forget_all(struct td_group *g, const struct td_queue *q,
                        uint64_t skip);
/* Keys have begun to wait: what was dealt of them, and not sent, waits too. */
void td_deal_set_aside(struct td_engine *e, struct td_consumer *c);
/* Each event of a piece, with its key; 0: it has none. */
void td_deal_each(const struct td_piece *piece,
                  void (*visit)(void *ctx, const struct td_piece *event,
                                uint64_t key),
                  void *ctx);
/* How many of the first that it was sent and has not taken hold no key. */
uint64_t td_deal_loose(const struct td_sub *sub);

/* sub.c */
void td_sub_subscribe(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f);
void td_sub_unsubscribe(struct td_engine *e, struct td_session *s,
                        const struct td_frame *f);
void td_sub_end(struct td_engine *e, struct td_sub *sub, enum td_drop why);
void td_sub_ready(struct td_engine *e, struct td_sub *sub);
struct td_sub *td_sub_find(struct td_session *s, uint64_t number);
uint64_t td_sub_in_flight(const struct td_sub *sub); /* events */

/* deliver.c */
void td_deliver(struct td_engine *e, struct td_sub *sub);
void td_deliver_ready(struct td_engine *e);

/* gaps.c */
bool td_gaps_wait(const struct td_sub *sub); /* to be told */
/* Unread are as many as may be, but for those just before a DELIVER. */
/* What expired, of a durable group or reader; false: it cannot be told now. */
bool td_gaps_tell_expired(struct td_engine *e, struct td_sub *sub,
                          uint64_t events);
bool td_gaps_full(const struct td_session *s);
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

/* stats.c */
void td_stats_reply(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f);
void td_ledger_add(struct td_ledger *to, const struct td_ledger *more);

/* rows.c: the lists of STATS */
struct td_rows; /* one of them */
/* NULL: there is none of that name. */
const struct td_rows *td_rows_find(struct td_str name);
/* Two pairs of the answer's map: the rows, and how many there are. */
void td_rows_pack(struct td_engine *e, msgpack_packer *pk,
                  const struct td_rows *rows, uint64_t from);

/* advise.c: the broker's own events */
void td_advise_session(struct td_engine *e, const struct td_session *s, bool up,
                       bool flag);
void td_advise_slow(struct td_engine *e, struct td_group *g);
void td_advise_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
                    uint64_t events);
void td_advise_full(struct td_engine *e, const struct td_consumer *c);
/* The group is about to end, and its members are still there: what has waited
 * is told now. */
void td_advise_end(struct td_engine *e, struct td_group *g);
/* Tells what has waited; returns when there is more to tell. */
int64_t td_advise_tick(struct td_engine *e);

#endif
