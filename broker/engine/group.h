/* Groups: who shares events, what waits for them, and how it is dealt. */
#ifndef TD_GROUP_H
#define TD_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/block.h"
#include "broker/engine/hash.h"
#include "broker/engine/keys.h"
#include "broker/engine/queue.h"
#include "broker/engine/trie.h"
#include "proto/scan.h"

struct td_consumer;
struct td_engine;
struct td_session;
struct td_sub;

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
    uint32_t route_class; /* router.c, during one batch … */
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

#endif
