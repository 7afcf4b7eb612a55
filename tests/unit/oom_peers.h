/* An engine and peers that keep the rules of PROTOCOL.md, for tests in which
 * the engine's memory runs out: what it says is checked as it is said, and
 * what it owes when all is over. What the peers do themselves is held
 * (support/alloc.h). */
#ifndef TESTS_UNIT_OOM_PEERS_H
#define TESTS_UNIT_OOM_PEERS_H

#include "broker/engine/engine.h"
#include "proto/batch.h"

#define OOM_PEERS                                                              \
    4 /* the last is the judge: it only asks for STATS, and greets
                       when it first does, so that nothing grows before */
#define OOM_JUDGE (OOM_PEERS - 1)
#define OOM_SUBS  64 /* per peer, numbers 1 to 63 */

struct oom_sub {
    bool live;
    bool grouped; /* so others get what it does not */
    char pattern[64];
    uint64_t expected; /* events that matched since it is there */
    uint64_t window_events;
    uint64_t window_bytes;
    uint64_t received; /* events */
    uint64_t bytes;
    uint64_t missed; /* told in GAP */
};

struct oom_peer {
    bool up;
    bool deaf; /* what it is sent is lost on the way */
    bool resumable;
    bool has_token;
    char token[16];
    uint64_t sequence; /* published last */
    uint64_t messages; /* DELIVER in this session */
    uint64_t request;  /* asked last … */
    unsigned asked;    /* … about this subscription; 0: none */
    uint64_t answered; /* the request of the last REPLY … */
    tidings_err code;  /* … and what it said */
    bool ponged;
    struct oom_sub subs[OOM_SUBS];
};

struct oom_broker {
    struct td_engine *engine;
    int64_t now;
    int64_t next;
    struct oom_peer peers[OOM_PEERS];
    bool advised; /* somebody hears the engine's own events: how many there are
                     is its own affair */
    uint64_t tokens;     /* made so far */
    uint64_t counted;    /* events of types, summed up */
    uint64_t published;  /* events, as the engine counts them */
    struct td_buf stats; /* the answer to the last STATS */
    struct td_batches batches;
};

extern const char *const oom_names[OOM_PEERS];

/* Any message of a peer; the engine's turn ends with it. */
struct td_frame;
void oom_say(struct oom_broker *b, unsigned peer, const struct td_frame *frame,
             struct td_body *body);
void oom_producer(uint8_t out[TD_PRODUCER_BYTES], unsigned peer);

/* Peers are not greeted yet. */
void oom_start(struct oom_broker *b, size_t memory_bytes);
void oom_finish(struct oom_broker *b);

/* One message each, and nothing while the peer is not up. */
void oom_hello(struct oom_broker *b, unsigned peer);
/* The same with the token of the session that was lost. */
void oom_resume(struct oom_broker *b, unsigned peer);
/* options: in the notation of support/mp.h. */
void oom_subscribe(struct oom_broker *b, unsigned peer, unsigned number,
                   const char *pattern, const char *options);
void oom_unsubscribe(struct oom_broker *b, unsigned peer, unsigned number);
/* text: "type count size, type count size": one run each, of events with size
 * bytes of data; "10k" instead of "10" gives them partition keys. again: how many events were published before. */
void oom_publish(struct oom_broker *b, unsigned peer, const char *text,
                 unsigned again);
void oom_credit(struct oom_broker *b, unsigned peer);
/* rows: the option of STATS. */
void oom_stats(struct oom_broker *b, unsigned peer, const char *rows);
void oom_bye(struct oom_broker *b, unsigned peer);
/* The peer's connection is over, and the engine knows. */
void oom_gone(struct oom_broker *b, unsigned peer);

/* Time passes, and the engine is called whenever it asked to be. */
void oom_pass(struct oom_broker *b, int64_t ms);

/* ---- with memory ---- */

/* A session that the peer takes for up is, or it is told. */
void oom_find_lost(struct oom_broker *b);

/* A counter of STATS. */
uint64_t oom_count(struct oom_broker *b, const char *counter);

/* The sums of PROTOCOL.md 7 hold. */
void oom_check_ledger(struct oom_broker *b);

/* Everything goes out, what credit allows without being asked
 * for, and each event that matched has arrived or was told as missed. */
void oom_come_to_rest(struct oom_broker *b);

#endif
