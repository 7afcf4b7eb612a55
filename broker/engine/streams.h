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

#include "broker/engine/compact.h"
#include "broker/engine/dedup.h"
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
    bool gone;       /* they are: compaction */
    size_t bytes;
    int64_t stored_ms;
};

struct td_stream {
    UT_hash_handle hh; /* by name */
    bool hh_failed;
    uint32_t id;
    struct td_buf text; /* its options as they were at first, as a map … */
    struct td_stream_options options; /* … read: borrows text; bounds may have
                                         changed since */
    struct td_stream_state head;
    struct td_stream_state kept;
    struct td_lasts lasts; /* the last event of each name */
    struct td_compact compact;
    struct td_fifo entries; /* td_entry: the newest records, in a row */
    uint32_t tail_len;      /* of them, from the end: those with an item */
    uint64_t tail_bytes;
    struct td_dedup dedup;   /* ids that publishers chose */
    uint64_t repeats;        /* events not stored for theirs, since the start */
    uint64_t refused_events; /* so many … */
    uint64_t refused_bytes; /* … came last of what it rejected; 0: none did */
    struct td_consumer *consumers; /* list by stream_, readers too */
    uint32_t groups_len;           /* of those, durable groups */
    bool dirty;                    /* in the list: STATE is to be written … */
    bool dirty_row;                /* … and its options */
    uint64_t row_ticket;           /* where those were written */
    struct td_stream *dirty_next;
    struct td_oldest oldest;
    struct td_fifo older; /* td_oldest: those after it, as far as read */
    struct td_fifo holes; /* td_hole: among what retention has taken last */
    struct td_read *trim; /* it is being read … */
    uint64_t trim_to;     /* … from what begins before this */
    int64_t failed_ms;    /* a read of it failed: none is asked before then */
    bool stated;          /* its state was read */
    bool twice;           /* its options were read, both times */
    bool hidden;          /* records below head.first may be there still */
    int64_t trim_ms;      /* when to look at ages again */
};

/* Room on the disk: what was told of it. */
struct td_room {
    bool lacked;     /* a commit has failed for want of it */
    bool told;       /* that there is none; that there is again, not yet */
    int64_t look_ms; /* when to look again */
    int64_t tell_ms; /* it is not told again before … */
    int64_t back_ms; /* … nor that there is room */
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
    bool full;    /* too much is in flight: publishers get no credit */
    bool no_room; /* on the disk, but for the reserve */
    struct td_room room;
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
    struct td_fifo fenced;   /* td_fenced, the oldest first */
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

/* change.c */
/* Whether it differs from that in its bounds alone; TIDINGS_EEXIST: it does not,
 * *text says in what. */
tidings_err td_stream_may_change(struct td_engine *e,
                                 const struct td_stream *stream,
                                 const struct td_stream_options *wish,
                                 const char **text);
/* It differs from that: *text says in what. TIDINGS_EEXIST */
tidings_err td_stream_is_other(struct td_engine *e,
                               const struct td_stream *stream,
                               const struct td_stream_options *wish,
                               const char **text);
/* Takes the bounds of these; retention and the next commit do the rest. */
void td_stream_change(struct td_engine *e, struct td_stream *stream,
                      const struct td_stream_options *bounds);

/* streams.c */
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

/* retain.c */
/* Whether the stream may take so much more; false: it rejects. */
bool td_retain_admits(const struct td_stream *stream, uint64_t events,
                      uint64_t bytes);
/* It would still reject what it rejected last. */
bool td_retain_is_full(const struct td_stream *stream);
/* Deletes what is too old or too much; returns when to look again. */
int64_t td_retain_tick(struct td_engine *e);
/* What was read of the oldest records may not be so any more. */
void td_retain_unread(struct td_stream *stream);
/* What was to be deleted has not been. */
void td_retain_anew(struct td_stream *stream);
void td_retain_purge(struct td_engine *e, struct td_stream *stream,
                     uint64_t before);

/* load_row.c */
struct td_load_table {
    enum td_table table;
    const char *name;
    /* TIDINGS_EIO: it cannot be read, and is left out. */
    tidings_err (*row)(struct td_engine *e, struct td_str key,
                       struct td_str value);
};

#define TD_LOAD_TABLES 12u

extern const struct td_load_table td_load_tables[TD_LOAD_TABLES]; /* in order */

/* A row is damaged, and its key perhaps not: what hangs on it is not relied on. */
void td_load_lose(struct td_engine *e, struct td_str key);

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
