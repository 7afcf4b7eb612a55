/* Streams and what is written of them: structures and who may call whom.
 *
 *   publish.c -> append.c: records and numbers ─┐
 *   settle.c, retry … : the state of groups ────┼─> commit.c: one transaction a
 *   retain.c: deletions ────────────────────────┘   turn, its answer, and back
 *                                                   to confirm.c, consumer.c
 *
 * A stream has two states: head, with all that was submitted, which numbers new
 * events; and kept, what the store has committed, which is all that consumers
 * see. When a commit fails, all that was submitted since fails with it, and head
 * returns to kept. */
#ifndef TD_STREAMS_H
#define TD_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/dedup.h"
#include "broker/engine/compact.h"
#include "broker/engine/fifo.h"
#include "broker/engine/hash.h"
#include "broker/engine/keyspace.h"
#include "broker/engine/last.h"
#include "broker/engine/queue.h"
#include "broker/engine/schedule.h"
#include "broker/store/store.h"
#include "proto/frame.h"
#include "proto/stream.h"

struct td_consumer;
struct td_engine;
struct td_producer;
struct td_session;
struct td_route;
struct td_undo;

/* A record that is known without reading it. */
struct td_entry {
    uint64_t first;
    uint32_t events;
    uint32_t bytes; /* of the value in the store */
    int64_t stored_ms;
    struct td_item *item; /* NULL: not in memory */
};

/* The oldest record, hidden or not. */
struct td_oldest {
    uint64_t from; /* it begins here or later */
    uint64_t first;
    uint32_t events; /* 0: it is not known */
    size_t bytes;
    int64_t stored_ms;
};

struct td_stream {
    UT_hash_handle hh; /* by name */
    bool hh_failed;
    uint32_t id;
    struct td_buf text;               /* its options, as a map … */
    struct td_stream_options options; /* … read: borrows text */
    struct td_stream_state head;
    struct td_stream_state kept;
    struct td_lasts lasts; /* the last event of each name */
    struct td_compact compact;
    struct td_fifo entries; /* td_entry: the newest records, in a row */
    uint32_t tail_len;      /* of them, from the end: those with an item */
    uint64_t tail_bytes;
    struct td_dedup dedup; /* ids that publishers chose */
    uint64_t repeats;      /* events not stored for theirs, since the start */
    struct td_consumer *consumers; /* list by stream_, readers too */
    uint32_t groups_len;           /* of those, durable groups */
    bool dirty;                    /* in the list: STATE is to be written … */
    bool dirty_row;                /* … and its options */
    uint64_t row_ticket;           /* where those were written */
    struct td_stream *dirty_next;
    struct td_oldest oldest;
    struct td_read *trim; /* it is being read … */
    uint64_t trim_to;     /* … from what begins before this */
    int64_t failed_ms;    /* a read of it failed: none is asked before then */
    bool stated;          /* its state was read */
    bool twice;           /* its options were read, both times */
    bool hidden;          /* records below head.first may be there still */
    int64_t trim_ms;      /* when to look at ages again */
};

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
    struct td_undo *undo; /* if it fails; NULL: it goes on all the same */
    bool counts;          /* the result is a map: "events", and "next" … */
    uint64_t events;
    uint64_t next; /* … where to go on; 0: nowhere */
};

extern const struct td_str td_no_str;

struct td_streams {
    struct td_store *store; /* NULL: none */
    bool loading;           /* the store is being read: nothing is taken yet */
    tidings_err load_err;   /* why that failed */
    uint32_t load_table;    /* of load.c */
    struct td_stream *all;  /* by name */
    uint32_t next_stream;   /* ids */
    uint32_t next_group;
    uint64_t generation;           /* of which stream takes which type */
    struct td_consumer *consumers; /* list of all, readers too */
    uint32_t groups_len;
    struct td_consumer *ready; /* list: something to feed or to look at */
    int64_t wake_ms;           /* no consumer has to be looked at before */
    int64_t dirty_ms;          /* since then some consumer is dirty */
    /* writing */
    struct td_txn txn; /* of this turn */
    size_t turn_bytes; /* … about so large */
    uint64_t ticket;   /* the last that was given out */
    uint64_t read_ticket;
    uint64_t turn;    /* that of txn, once something is in it; 0: not yet */
    uint64_t written; /* committed up to here */
    uint64_t failing; /* up to here all fail */
    uint64_t stuck;   /* no memory for this one: nothing is appended until the
                          ones before it are answered; 0: none */
    struct td_fifo flown; /* td_flown */
    size_t flown_bytes;
    bool full;         /* too much is in flight: publishers get no credit */
    bool no_room;      /* on the disk, but for the reserve … */
    int64_t room_ms;   /* … and when to look again */
    bool broken;       /* the store has failed, and is read only */
    int64_t unread_ms; /* a read has failed: none is told again before then */
    int64_t again_ms;  /* after a commit that failed: until then groups write
                         nothing */
    struct td_fifo carried;              /* td_carried */
    struct td_fifo carried_stored;       /* td_carried_stored */
    struct td_fifo carried_lasts;        /* td_carried_last */
    struct td_grave *graves;             /* by key … */
    bool unburied;                       /* … some of them without a ticket */
    uint64_t gone;                       /* those up to this ticket are, … */
    uint64_t gone_reads;                 /* … for reads behind this one */
    struct td_fifo owed;                 /* td_owed_confirm */
    struct td_stream *dirty;             /* list by dirty_next */
    struct td_producer *dirty_producers; /* list by dirty_next */
    struct td_consumer *dirty_consumers; /* list by dirty_next */
    struct td_session *confirming;       /* list by confirm_: rows to be sent */
    struct td_read *reads;
    uint32_t reading;           /* of those, large */
    uint32_t asking;            /* calls that wait for one */
    struct td_consumer *hungry; /* list: they wait for memory, or to read */
    struct td_fifo replies;     /* td_owed_reply */
    struct td_schedule schedule;
    struct td_fifo welcomes; /* td_owed_welcome */
    struct td_fifo repeats;  /* td_repeat: of the batch at hand, scratch */
    int64_t dedup_ms;        /* no window has to be looked at before */
    struct td_buf value;     /* scratch */
    char text[700];          /* of an error, the last one */
    uint64_t lost_states;    /* rows of the store that could not be read */
};

/* streams.c: their life */
struct td_stream *td_stream_find(struct td_engine *e, struct td_str name);
struct td_stream *td_stream_by_id(struct td_engine *e, uint32_t id);
/* Which takes that type; NULL: none. Cached in the route. */
struct td_stream *td_stream_of(struct td_engine *e, struct td_route *route);
/* Whether one of that name is there with these options, or could be added. */
tidings_err td_stream_check(struct td_engine *e,
                            const struct td_stream_options *options,
                            const char **text);
/* Declares one. *text: on failure, for the caller; static or valid until the
 * next call. */
tidings_err td_stream_add(struct td_engine *e,
                          const struct td_stream_options *options,
                          const char **text);
/* As read from the store; its state follows. TIDINGS_EIO: it is bad. */
tidings_err td_stream_load(struct td_engine *e, uint32_t id,
                           struct td_str options);
void td_stream_delete(struct td_engine *e, struct td_stream *stream);
/* The first that is to be there in any case. */
tidings_err td_stream_add_default(struct td_engine *e);
void td_stream_dirty(struct td_engine *e, struct td_stream *stream);
bool td_stream_is_on_disk(const struct td_stream *stream);
void td_streams_init(struct td_engine *e); /* begins to read the store */
void td_streams_fini(struct td_engine *e);

/* entries.c: records in memory */
/* The entry that holds the sequence, as a number for td_fifo_nth(); false: it is
 * not known. */
bool td_entry_find(const struct td_stream *stream, uint64_t sequence,
                   uint32_t *nth);
/* A record was numbered; item may be NULL. Without memory the index is shorter:
 * what is not in it is read. */
void td_entry_add(struct td_stream *stream, const struct td_entry *entry);
/* Records from this sequence on are not there. */
void td_entries_cut(struct td_stream *stream, uint64_t from);
/* Records below it are not there any more. */
void td_entries_drop(struct td_stream *stream, uint64_t below);
void td_entries_fini(struct td_stream *stream);

/* repeat.c: events that a stream has already, by their source and id */
struct td_repeat {
    uint32_t nth; /* of the batch's events, the first … */
    uint32_t count;
    uint64_t sequence; /* … which is there under this one */
};

/* Whether an event of the batch may be one. */
bool td_repeat_may_be(const struct td_stream *stream,
                      const struct td_batch *batch);
/* Finds them: e->streams.repeats. The others stand in the stream's window from
 * then on, under the sequences that they get when they are stored next. False:
 * no memory. */
bool td_repeat_sift(struct td_engine *e, struct td_stream *stream,
                    const struct td_batch *batch, const uint8_t *data);
uint32_t td_repeat_events(const struct td_engine *e); /* of those found */
/* A record was numbered that begins there: its row goes along. */
void td_repeat_recorded(struct td_engine *e, struct td_stream *stream,
                        uint64_t first);
/* Looks at windows again in a second. */
void td_repeat_wake(struct td_engine *e);
/* Lets go of what has left a window; returns when to look again. */
int64_t td_repeat_tick(struct td_engine *e);
/* A row of the store. */
tidings_err td_repeat_load(struct td_engine *e, struct td_stream *stream,
                           uint64_t first, const struct td_dedup_row *row);

/* Parts of a sifted batch, alike and in a row: stored already, or new. */
struct td_repeat_part {
    struct td_run run;
    size_t offset; /* in the batch's body */
    bool stored;
    uint64_t sequence; /* of the first; of a new one, the one it is to get */
};

struct td_repeat_walk {
    const struct td_batch *batch;
    const uint8_t *data;
    uint64_t next; /* sequence of the next new one */
    uint32_t run;
    uint32_t nth;       /* of the events */
    uint32_t repeat;    /* of those found */
    struct td_run left; /* of the run; count 0: the next one */
    size_t offset;
};

struct td_repeat_walk td_repeat_walk(const struct td_stream *stream,
                                     const struct td_batch *batch,
                                     const uint8_t *data);
/* False: that was all. */
bool td_repeat_next(struct td_engine *e, struct td_repeat_walk *walk,
                    struct td_repeat_part *out);

/* append.c */
/* What streams take of a batch, e->taking of each run, is recorded and numbered;
 * level 0: no confirm is wanted. */
void td_append(struct td_engine *e, struct td_session *s,
               const struct td_batch *batch, struct td_body *body,
               size_t offset, unsigned level);
/* A batch that goes to one stream as a whole, or nowhere. */
struct td_condition {
    bool set;
    bool expects;
    uint64_t expected; /* the stream's last sequence … */
    bool of_key;       /* … or that of the events' partitionkey */
};

/* Fills e->taking. 0: it may be stored. EEXIST: all of it is, by source and id,
 * and that is told, as is whatever else is wrong; nothing is to happen then. */
tidings_err td_append_judge(struct td_engine *e, struct td_session *s,
                            const struct td_batch *batch, struct td_body *body,
                            size_t offset, unsigned level,
                            const struct td_condition *condition);
/* One event of the broker's own; why it was not stored. */
tidings_err td_append_own(struct td_engine *e, struct td_stream *stream,
                          const struct td_batch *batch, struct td_body *body,
                          size_t offset);
/* The same for what had been taken before: stored now if it was not. */
void td_append_again(struct td_engine *e, struct td_session *s,
                     const struct td_batch *batch, struct td_body *body,
                     size_t offset, uint64_t taken, unsigned level);

/* stored.c: what is stored of a producer */
bool td_stored_has(const struct td_stored *stored, uint64_t sequence);
/* How many of count events from first on are as the first of them is, stored
 * or not. */
uint64_t td_stored_alike(const struct td_stored *stored, uint64_t first,
                         uint64_t count);
void td_stored_add(struct td_stored *stored, uint64_t first, uint64_t last);
void td_stored_lose(struct td_stored *stored, uint64_t first, uint64_t last);

/* prints.c: what a producer with a name has stored */
/* Those of a batch are noted; nothing happens if it has no name. */
void td_prints_add(struct td_producer *p, const struct td_batch *batch,
                   const uint8_t *body);
/* What becomes of the first events of a run that was taken before. */
struct td_again {
    uint32_t events;  /* so many, at least 1 */
    bool stored;      /* they need not be … */
    tidings_err code; /* … and are what they were, or TIDINGS_ECONFLICT */
};
struct td_again td_again_of(const struct td_producer *p,
                            const struct td_run *run, const uint8_t *body);

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
/* Looks whether there is room again; returns when to look next. */
int64_t td_commit_tick(struct td_engine *e);
/* Submits what the turn has written. */
void td_commit_flush(struct td_engine *e);
/* Whether the store has room, and can be written. */
void td_commit_look_at_room(struct td_engine *e);
bool td_commit_is_written(const struct td_engine *e, uint64_t ticket);

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

/* retain.c */
/* Whether the stream may take so much more; false: it rejects. */
bool td_retain_admits(const struct td_stream *stream, uint64_t events,
                      uint64_t bytes);
/* Deletes what is too old or too much; returns when to look again. */
int64_t td_retain_tick(struct td_engine *e);
/* What was to be deleted has not been. */
void td_retain_anew(struct td_stream *stream);
void td_retain_purge(struct td_engine *e, struct td_stream *stream,
                     uint64_t before);

/* load.c */
/* Begins to read the store; more of it goes on with its answers. */
void td_load_begin(struct td_engine *e);
/* All was read, or nothing more can be. */
void td_load_end(struct td_engine *e, tidings_err err);

/* recover.c */
/* Streams whose state was lost get one; then the store has been read. */
void td_recover(struct td_engine *e);

/* call.c */
void td_operate(struct td_engine *e, struct td_session *s,
                const struct td_frame *f);
void td_operate_written(struct td_engine *e, uint64_t ticket);
void td_operate_failed(struct td_engine *e, tidings_err err); /* all */
void td_operate_fini(struct td_engine *e);

#endif
