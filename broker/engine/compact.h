/* Of each name only the newest event is kept: how far that has come in a
 * stream with the option compact. */
#ifndef TD_COMPACT_H
#define TD_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

struct td_engine;
struct td_newest_walk;
struct td_read;
struct td_stream;

/* Several records of which nothing is left are one, which says how many events
 * they had: a gap. */
struct td_gap_record {
    uint64_t first;
    uint32_t events; /* 0: there is none */
    uint64_t previous;
    int64_t stored_ms;
    bool stored; /* an older one is in the store */
    bool dirty;  /* this one is not */
};

/* Zeroed: no pass is on, and none was. */
struct td_compact {
    uint64_t at;      /* the next record begins here; 0: no pass is on */
    uint64_t end;     /* the pass ends with the record that begins here, or
                         the last one did; 0: there was none, or it is void */
    uint64_t done;    /* the last pass saw what is before this */
    uint64_t stirred; /* the last event that follows one of its name, or is … */
    uint64_t tombstone; /* … the last tombstone */
    int64_t since_ms;   /* such a one waits for a pass since then; 0: none */
    bool put_off;       /* what there is no room for waits until there is */
    uint64_t previous;  /* of the record at `at`, if linked */
    bool linked;
    struct td_gap_record gap; /* the record before `at`, if it is one */
    int64_t due_ms;   /* Unix: when a tombstone that was seen may go; 0: none */
    bool swept;       /* a pass began for such ones, last … */
    int64_t swept_ms; /* … then */
    int64_t failed_ms; /* nothing is read before then */
    struct td_read *read;
    uint64_t ticket; /* of the last record that was rewritten */
};

/* Goes on with it, a page in a turn; returns when to look again. */
int64_t td_compact_tick(struct td_engine *e);
/* The stream ends. */
void td_compact_anew(struct td_stream *stream);
/* A commit has failed: the pass begins anew, and not at once if what it had
 * rewritten failed with all else that was in the transaction. */
void td_compact_take_back(struct td_engine *e, struct td_stream *stream);
/* Events in a row of one name were submitted, and are not noted yet in lasts. */
void td_compact_note(struct td_stream *stream, const struct td_newest_walk *w);
/* There is nothing left of it. */
void td_compact_purged(struct td_stream *stream);
/* Where records begin may be about to change. */
bool td_compact_is_moving(struct td_engine *e, const struct td_stream *stream);

#endif
