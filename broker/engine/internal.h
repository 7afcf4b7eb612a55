/* What the rooms of the engine share: its structures, and who may call whom.
 * Nothing outside broker/engine/ includes this, tests excepted. */
#ifndef TD_ENGINE_INTERNAL_H
#define TD_ENGINE_INTERNAL_H

#include "broker/engine/append.h"
#include "broker/engine/commit.h"
#include "broker/engine/consumer.h"
#include "broker/engine/engine.h"
#include "broker/engine/expiry.h"
#include "broker/engine/group.h"
#include "broker/engine/naming.h"
#include "broker/engine/newest.h"
#include "broker/engine/producer.h"
#include "broker/engine/queue.h"
#include "broker/engine/route.h"
#include "broker/engine/service.h"
#include "broker/engine/session.h"
#include "broker/engine/streams.h"
#include "broker/engine/sub.h"
#include "broker/engine/trie.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/limits.h"

#include <msgpack.h>

struct td_counters {
    uint64_t published;
    uint64_t duplicates;
    uint64_t routed;
    uint64_t unmatched;
    uint64_t expirytime; /* of those: had passed when they came */
    uint64_t bad_frames;
    uint64_t breaches;
    uint64_t silent;
    uint64_t fenced; /* messages of who does not hold its name any more */
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
    struct td_serving serving;
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

/* memory.c */
void td_memory_keep(struct td_engine *e);          /* --memory-max */
size_t td_memory_bound(const struct td_engine *e); /* of that, for queues */
void td_memory_keep_sessions(struct td_engine *e); /* --session-memory-max */
uint64_t td_session_queued(const struct td_session *s); /* bytes */

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
/* Whether anybody has subscribed to it. */
bool td_advise_wanted(const struct td_engine *e, const char *type);
/* One event, with a map. */
void td_advise_publish(struct td_engine *e, const char *type,
                       const struct td_buf *data);
void td_advise_session(struct td_engine *e, const struct td_session *s, bool up,
                       bool flag);
void td_advise_slow(struct td_engine *e, struct td_group *g);
void td_advise_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
                    uint64_t events);
void td_advise_full(struct td_engine *e, const struct td_consumer *c);
void td_advise_parked(struct td_engine *e, const struct td_consumer *c);
void td_advise_running(struct td_engine *e, const struct td_consumer *c);
/* There is no room on the disk, or there is again. */
void td_advise_room(struct td_engine *e, bool full,
                    const struct td_store_info *info);
/* The group is about to end, and its members are still there: what has waited
 * is told now. */
void td_advise_end(struct td_engine *e, struct td_group *g);
/* Tells what has waited; returns when there is more to tell. */
int64_t td_advise_tick(struct td_engine *e);

#endif
