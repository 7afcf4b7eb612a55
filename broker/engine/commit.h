/* What is written of streams and groups, and read: a turn's transaction, and who
 * waits for its answer. */
#ifndef TD_COMMIT_H
#define TD_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/hash.h"
#include "broker/engine/keyspace.h"
#include "broker/store/store.h"
#include "proto/frame.h"

struct td_engine;
struct td_producer;
struct td_session;
struct td_stream;
struct td_undo;

/* Somebody waits for a read. */
struct td_read {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t ticket;
    bool large; /* its answer may be */
    /* NULL: nobody does any more. The answer is freed afterwards. */
    void (*done)(struct td_engine *e, void *owner,
                 const struct td_store_answer *answer);
    void *owner;
};

/* A state of a stream that a transaction carries. */
struct td_carried {
    uint64_t ticket;
    struct td_stream *stream; /* NULL: it was deleted meanwhile */
    struct td_stream_state state;
};

/* The same of a producer. */
struct td_carried_stored {
    uint64_t ticket;
    struct td_producer *producer; /* NULL: it was forgotten meanwhile */
    struct td_stored stored;
};

/* The same of a name's last event. */
struct td_carried_last {
    uint64_t ticket;
    struct td_stream *stream; /* NULL: it was deleted meanwhile */
    uint32_t number;
    bool gone; /* it is a tombstone, and goes: the name is forgotten */
    uint64_t sequence;
};

enum td_grave_kind { TD_GRAVE_STREAM, TD_GRAVE_GROUP, TD_GRAVE_LETTER };

struct td_grave_key {
    uint64_t kind;
    uint64_t id;     /* of the stream or group */
    uint64_t number; /* of the dead letter */
};

/* A stream or group whose rows in the store are to go, or a dead letter; there
 * until they are gone, also for those who were reading while they went. */
struct td_grave {
    UT_hash_handle hh; /* the oldest first */
    bool hh_failed;
    struct td_grave_key key;
    uint64_t ticket; /* which takes them; 0: it failed, another has to */
};

/* A transaction that was not answered yet. */
struct td_flown {
    uint64_t ticket;
    size_t bytes;
};

/* A row of a CONFIRM that waits for its transaction. */
struct td_owed_confirm {
    uint64_t ticket;
    uint64_t session;
    uint32_t stream;       /* id */
    struct td_confirm row; /* without its stream's name */
};

/* A WELCOME that does. */
struct td_owed_welcome {
    uint64_t ticket;
    uint64_t session;
};

/* A REPLY that waits for its transaction. */
struct td_owed_reply {
    uint64_t ticket;
    uint64_t session;
    uint64_t request;
    struct td_undo *undo; /* if it fails; NULL: it goes on all the same … */
    bool reverts;         /* … or takes itself back */
    bool joined;          /* the result is what a member is told … */
    bool counts;          /* … or a map: "events", and "next" … */
    uint64_t events;
    uint64_t next; /* … where to go on; 0: nowhere */
};

/* commit.c */
/* The ticket of this turn's transaction. */
uint64_t td_commit_ticket(struct td_engine *e);
void td_commit_put(struct td_engine *e, const struct td_place *key,
                   const struct td_buf *value, struct td_body *body,
                   size_t offset, size_t len);
/* A row that is kept twice. */
void td_commit_put_twice(struct td_engine *e, const struct td_place *key,
                         const struct td_buf *value);
void td_commit_delete(struct td_engine *e, const struct td_place *key);
void td_commit_delete_range(struct td_engine *e, const struct td_place *from,
                            const struct td_place *to);
void td_commit_raise(struct td_engine *e, enum td_level level);
/* Why the store takes no more events now; 0: it does. */
tidings_err td_commit_refuses(const struct td_engine *e);
/* The last ticket that was given out: what was written before it is. */
uint64_t td_commit_last(const struct td_engine *e);
void td_commit_forget_producer(struct td_engine *e,
                               const struct td_producer *p);
/* Submits what the turn has written. */
void td_commit_flush(struct td_engine *e);
bool td_commit_is_written(const struct td_engine *e, uint64_t ticket);

/* room.c */
/* Whether the store has room, and can be written. */
void td_room_look(struct td_engine *e);
/* A commit has failed for want of it. */
void td_room_lacked(struct td_engine *e);
/* The operator knows that there is none. */
bool td_room_is_told(const struct td_engine *e);
/* Looks whether there is room again, and tells; returns when to look next. */
int64_t td_room_tick(struct td_engine *e);

/* answers.c */
/* Takes the store's answers. */
void td_commit_answers(struct td_engine *e);

/* read.c */
/* Asks for records; false: no memory, done is not called. */
struct td_read *td_read_ask(struct td_engine *e, const struct td_place *from,
                            const struct td_place *to, bool backwards,
                            uint32_t records, size_t bytes,
                            void (*done)(struct td_engine *e, void *owner,
                                         const struct td_store_answer *answer),
                            void *owner);
/* It counts among those that are so many at most; NULL does nothing. */
void td_read_is_large(struct td_engine *e, struct td_read *read);
void td_read_forget(struct td_read *read); /* NULL does nothing */
/* The answer goes to who asked for it. */
void td_read_answered(struct td_engine *e,
                      const struct td_store_answer *answer);

/* graves.c */
/* Its rows are deleted, however often that has to be tried. */
void td_commit_bury(struct td_engine *e, bool stream, uint32_t id);
/* The same of a dead letter. */
void td_commit_bury_dead(struct td_engine *e, uint32_t group, uint64_t number);
/* A read may still bring it. */
bool td_commit_is_buried(const struct td_engine *e, uint32_t group,
                         uint64_t number);
/* Those whose transaction failed, with this turn's. */
void td_graves_write(struct td_engine *e);
/* Those whose rows are gone for all. */
void td_graves_forget(struct td_engine *e);
/* Transactions have failed. */
void td_graves_take_back(struct td_engine *e);
void td_graves_fini(struct td_engine *e);

/* confirm.c */
void td_confirm(struct td_engine *e, struct td_session *s, uint64_t ticket,
                const struct td_stream *stream, const struct td_confirm *row);
void td_confirm_written(struct td_engine *e, uint64_t ticket);
void td_confirm_failed(struct td_engine *e, tidings_err err); /* all */
void td_confirm_send(struct td_engine *e); /* at the end of a turn */
void td_confirm_forget(struct td_engine *e, struct td_session *s);
/* Its client asks anew for all that it was not told. */
void td_confirm_anew(struct td_engine *e, struct td_session *s);

#endif
