/* Sessions: one client each, its link, its credit. */
#ifndef TD_SESSION_H
#define TD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/block.h"
#include "broker/engine/engine.h"
#include "broker/engine/group.h"
#include "broker/engine/hash.h"
#include "broker/engine/service.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/limits.h"

struct td_engine;
struct td_producer;
struct td_sub;

#define TD_HOLDS_KNOWN 8u /* per session; more are treated as one */

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
    struct td_session_serving serving;
    struct td_session_bundles bundles;
    struct td_sub *subs;
    uint64_t streamed_last; /* the highest number that one of a stream had */
    struct td_block block;  /* the budget of all its queues … */
    uint32_t blocking;      /* … and how many of them hold publishers back */
    size_t patterns_bytes;  /* of all its subscriptions */
    bool doomed;            /* ends, or is away, when the turn does */
    bool keeps;             /* … is away */
    enum td_drop doom;
    const char *reason; /* static; for its advisory */
    char name[TD_NAME_BYTES_MAX + 1];
    size_t peer_len;
    uint8_t peer[TD_PEER_BYTES_MAX];
};

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

/* away.c: sessions whose link is lost */
void td_away_begin(struct td_engine *e, struct td_session *s);
/* Takes the session up again under another peer, if the token shown is good;
 * false: a new session is to begin. */
bool td_away_resume(struct td_engine *e, struct td_session *s,
                    struct td_str peer, const struct td_frame *hello,
                    struct td_str token);
void td_away_tick(struct td_engine *e);

#endif
