/* What the model knows, and who of model.c, owed.c, group.c, resume.c, sent.c,
 * group_check.c, check.c, bound.c and ledger.c may call whom. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/internal.h"
#include "tests/sim/sizes.h"

struct sim;
struct sim_link;
struct sim_message;

#define SIM_GAPS_MAX  100u /* told to somebody who does not answer … */
#define SIM_GAPS_MANY 64u  /* … and where they are held back */

struct sim_span {
    int64_t begin_ms;
    int64_t end_ms;
};

#define SIM_SPANS      64u
#define SIM_PUSHERS    16u
#define SIM_PARTITIONS 6u /* partition keys in use */

/* For how long somebody held publishers back, and when. */
struct sim_watch {
    bool blocking;
    int64_t since_ms;
    struct sim_span spans[SIM_SPANS]; /* ring, by number */
    uint64_t spans_len;
};

/* A queue's bound and its hold. */
struct sim_bound {
    bool came_back; /* something did, in this turn */
    bool was_over;  /* in the turn before … */
    uint64_t was_matched;
    uint64_t was_events;
    struct sim_watch watch;
    uint64_t hold;
    uint64_t slow;   /* dropped so far */
    uint64_t pushed; /* by the message at hand */
    struct {
        uint64_t session;
        uint64_t events;
    } pushers[SIM_PUSHERS]; /* during the present hold */
    uint32_t pushers_len;
};

/* A session's budget of block. */
struct sim_esession {
    struct sim_esession *prev;
    struct sim_esession *next;
    uint64_t number;
    struct sim_watch watch;
};

/* An event that matched a group and was not taken. */
struct sim_gevent {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t key; /* sim_event_key() */
    uint8_t partition;
    struct sim_esub *holder; /* sent to it; NULL: waits, or was dropped */
    bool loose; /* it does not hold its key: its member is, or was, away */
    bool stray; /* that has come back without it, so that it may be late;
                   or, sent, was late */
};

/* A group with a name, as it ought to be. */
struct sim_egroup {
    struct sim_egroup *prev;
    struct sim_egroup *next;
    struct sim_gevent *events;
    uint64_t matched;
    uint64_t waiting;  /* events without a holder */
    uint64_t lost;     /* with a member */
    uint64_t gap_told; /* to all its members */
    uint64_t *added;   /* by the message at hand */
    uint64_t added_len;
    uint64_t added_cap;
    struct sim_bound bound;
    uint32_t members;
    struct {
        const struct sim_esub *holder;
        uint64_t held; /* sent to it and not taken */
    } keys[SIM_PARTITIONS + 1];
    uint64_t last[SIM_PRODUCERS_MAX][SIM_PARTITIONS + 1]; /* sent, by key */
    /* round robin: what the present count began with */
    uint64_t rr_dropped;
    bool rr_fresh; /* begins anew */
    enum td_share share;
    size_t pattern_len;
    char pattern[TD_TYPE_BYTES_MAX + 1];
    char name[TD_GROUP_BYTES_MAX + 1];
};

/* What a subscriber was sent, by tag. */
struct sim_sent {
    uint64_t key;
    uint64_t bytes;
};

/* A subscription at the broker, as it ought to be. */
struct sim_esub {
    struct sim_esub *prev;
    struct sim_esub *next;
    uint64_t session;
    uint64_t number;
    struct sim_link *link;
    /* what matched and was not delivered yet, oldest first */
    uint64_t *ring;
    uint64_t ring_cap;
    uint64_t head;
    uint64_t tail;
    uint64_t mark; /* tail before the message at hand */
    uint64_t matched;
    uint64_t gap_told;
    uint64_t skipped; /* of the ring, as told; less than gap_told until the
                       next DELIVER, more until what was told is told again */
    bool inexact;     /* what was dropped need not be the oldest */
    struct sim_sent *log;
    uint64_t log_cap;
    uint64_t sent; /* events in the log */
    uint64_t sent_bytes;
    uint64_t delivered;
    uint64_t events_limit;
    uint64_t bytes_limit;
    bool listed;  /* by the HELLO that resumed its session last */
    bool advised; /* to the broker's own events: nobody foretells them */
    struct sim_bound bound;
    struct sim_egroup *group; /* NULL: none */
    uint64_t rr_base;         /* group.c: dealt, when counting began */
    size_t pattern_len;
    char pattern[TD_TYPE_BYTES_MAX + 1];
};

struct sim_count {
    uint64_t published;
    uint64_t duplicates;
    uint64_t unmatched;
};

struct sim_model {
    struct sim_esub *subs;
    struct sim_egroup *groups;
    struct sim_esession *sessions;
    uint64_t published;
    uint64_t duplicates;
    uint64_t routed;
    uint64_t unmatched;
    struct sim_count types[SIM_TYPES];
    struct sim_count types_before[SIM_TYPES];
    uint64_t advised;          /* the turn before */
    uint64_t unmatched_before; /* of the message at hand … */
    uint64_t routed_before;
    uint64_t published_before;
    uint64_t duplicates_before;
    uint64_t taken_before;
    uint64_t complaints_before; /* breaches and bad frames */
    struct {
        bool asked;       /* the message at hand is a HELLO that asks */
        bool due;         /* … and is to get it */
        bool alive;       /* … while the old link is not known to be lost */
        uint64_t session; /* of its producer, 0: none */
        struct td_str token;
        struct td_str list;
    } resume;
    struct td_batches batches;
};

void sim_model_reset(struct sim *sim);
/* Around each message that the engine is given. */
void sim_model_before(struct sim *sim, struct sim_link *link,
                      const struct sim_message *m);
void sim_model_after(struct sim *sim, struct sim_link *link,
                     const struct sim_message *m);
struct sim_esub *sim_esub_find(struct sim *sim, uint64_t session,
                               uint64_t number);
struct sim_esub *sim_esub_add(struct sim *sim, struct sim_link *link,
                              const struct td_sub *from);
void sim_esub_free(struct sim *sim, struct sim_esub *sub);
/* An event of a producer, as a ring holds it. */
uint64_t sim_event_key(uint32_t producer, uint64_t sequence);
void sim_owe(struct sim *sim, struct sim_esub *sub, uint64_t key);
/* A DELIVER begins; then each of its events is taken off what is owed. */
void sim_owe_begin(struct sim *sim, struct sim_esub *sub);
void sim_owe_less(struct sim *sim, struct sim_esub *sub, uint64_t key,
                  uint64_t bytes);
/* What was sent after that many events is owed again. */
void sim_owe_again(struct sim *sim, struct sim_esub *sub, uint64_t received);
/* A HELLO, before the engine has it: may its session be resumed? */
void sim_resume_before(struct sim *sim, struct sim_link *link,
                       const struct td_frame *f);
/* Its WELCOME. */
void sim_resume_welcome(struct sim *sim, struct sim_link *link,
                        const struct td_frame *f);
struct td_session *sim_session_numbered(struct sim *sim, uint64_t number);
/* NULL also while there is no broker. */
struct td_session *sim_session_of(struct sim *sim, struct td_str producer);
/* Subscriptions whose session has ended. */
void sim_forget_ended(struct sim *sim);
/* The session that the peer has now; NULL: none, or it ends. */
struct td_session *sim_note_session(struct sim *sim, struct sim_link *link);
/* Notes which queues hold publishers back, and for how long. */
void sim_watch_holds(struct sim *sim);
void sim_watches_free(struct sim *sim);
/* The message at hand came into a queue. */
void sim_bound_push(struct sim *sim, struct sim_bound *b,
                    const struct sim_link *link);
void sim_bound_check(struct sim *sim, struct sim_bound *b,
                     const struct td_group *g, uint64_t matched);
/* ---- group.c ---- */
struct sim_egroup *sim_egroup_find(struct sim *sim,
                                   const struct td_group *from);
/* One more member of a group that the broker has. NULL: no memory. */
struct sim_egroup *sim_egroup_join(struct sim *sim,
                                   const struct td_group *from);
void sim_egroup_leave(struct sim *sim, struct sim_esub *sub);
void sim_egroup_owe(struct sim *sim, struct sim_egroup *g, uint32_t producer,
                    uint64_t sequence);
void sim_egroup_take_back(struct sim *sim, struct sim_egroup *g);
void sim_egroup_sent(struct sim *sim, struct sim_esub *sub, uint64_t key);
void sim_egroup_unsent(struct sim *sim, struct sim_esub *sub, uint64_t key);
void sim_egroup_taken(struct sim_esub *sub, uint64_t taken);
/* Notes which keys members that are away have no more. */
void sim_egroup_let_go(struct sim *sim, struct sim_egroup *g);
/* ---- group_check.c ---- */
void sim_egroups_check(struct sim *sim);
/* The engine's counters, added up. */
void sim_ledger_check(struct sim *sim);
/* A message that the engine sends. */
void sim_model_sent(struct sim *sim, struct sim_link *link, const void *control,
                    size_t len, struct td_body *body);
/* The engine's state, at the end of a turn. */
void sim_model_check(struct sim *sim);

#endif
