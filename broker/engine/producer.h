/* Producers: numberings of events, their names, and who holds those. */
#ifndef TD_PRODUCER_H
#define TD_PRODUCER_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/hash.h"
#include "broker/engine/keyspace.h"
#include "broker/engine/naming.h"
#include "proto/frame.h"
#include "proto/limits.h"

struct td_engine;
struct td_session;

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
/* A peer that held a name until lately, and has no session since. */
struct td_fenced {
    size_t len;
    uint8_t peer[TD_PEER_BYTES_MAX];
};

/* What it sent before it heard of that is counted, and answered. False: the
 * peer is none such. */
bool td_holder_refuse(struct td_engine *e, struct td_str peer);
/* The peer has greeted anew. */
void td_holder_forget(struct td_engine *e, struct td_str peer);
/* Its WELCOME waits until the store has its term. False: no memory. */
bool td_holder_wait(struct td_engine *e, struct td_session *s);
void td_holders_written(struct td_engine *e, uint64_t ticket);
void td_holders_failed(struct td_engine *e, tidings_err err); /* all */

#endif
