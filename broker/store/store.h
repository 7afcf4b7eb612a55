/* The store: an ordered map from keys to values that survives.
 *
 * The engine asks, the store answers later: nothing here blocks its caller.
 * What the engine has to write in one turn is one transaction, kept whole or
 * not at all. Transactions are committed in the order in which they were
 * submitted, many at a time: whatever has come in while the last commit was
 * being synced goes into the next one (group commit), so throughput grows with
 * load, and a single writer waits for one sync.
 *
 *    submit ──> queue ──> commit thread: put, delete, sync ──┐
 *                                                            ├──> next()
 *    read ────> queue ──> reader thread: copy, check ────────┘
 *
 * Every record is stored with a checksum over its key and its value (XXH3, 64
 * bits), which every read checks: what is damaged is reported, never handed
 * out. Keys and what values mean are the engine's (broker/engine/keyspace.h);
 * the store knows only that keys are ordered bytes.
 *
 * Two stores have this face: LMDB in a folder (lmdb.h), and a model in memory
 * that tests make fail and crash (model.h).
 *
 * Threads: one thread owns a store and makes all calls. */
#ifndef TD_STORE_H
#define TD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/scan.h"
#include "tidings/err.h"

/* ---- transactions ---- */

enum td_op_kind {
    TD_STORE_PUT,         /* replaces what is there */
    TD_STORE_DELETE,      /* what is not there is no error */
    TD_STORE_DELETE_RANGE /* every key from key up to, and without, value */
};

/* An operation. Key and value lie in the transaction's arena; a value may go
 * on with a piece of a body, which is kept by reference. */
struct td_store_op {
    enum td_op_kind kind;
    uint32_t key; /* where in the arena … */
    uint32_t key_len;
    uint32_t value;
    uint32_t value_len;
    struct td_body *body; /* NULL: none */
    size_t offset;        /* what of it: behind value */
    size_t len;
};

/* Operations that are kept together or not at all, applied in order. Zeroed
 * is empty. */
struct td_txn {
    struct td_store_op *ops;
    uint32_t len;
    uint32_t cap;
    struct td_buf arena;
    struct td_store_job
        *job;            /* its answer, made early: submitting cannot fail */
    enum td_level level; /* the highest asked for; 0: as memory */
    bool failed;         /* no memory: not to be submitted */
};

/* Key and value are copied; the body is referenced. Without memory txn->failed
 * is set, and what was there stays. Keys are 1 to TD_STORE_KEY_BYTES_MAX bytes;
 * those that begin with a zero byte are the store's own. An empty end of a
 * range is behind all keys. */
void td_txn_put(struct td_txn *txn, struct td_str key, struct td_str value,
                struct td_body *body, size_t offset, size_t len);
void td_txn_delete(struct td_txn *txn, struct td_str key);
void td_txn_delete_range(struct td_txn *txn, struct td_str from,
                         struct td_str to);
void td_txn_raise(struct td_txn *txn, enum td_level level);
void td_txn_fini(struct td_txn *txn); /* and empty again */

/* ---- what comes back ---- */

/* A record that was read; borrowed from its answer. */
struct td_record {
    struct td_str key;
    struct td_str value;
    bool damaged; /* its checksum is wrong: value is empty */
};

enum td_answer_kind { TD_STORE_WRITTEN, TD_STORE_READ };

/* The answer to a submission or a read; owned by who takes it. */
struct td_store_answer {
    enum td_answer_kind kind;
    uint64_t ticket;
    /* TIDINGS_OK, or why not: TIDINGS_EFULL (the disk is), TIDINGS_EIO,
     * TIDINGS_ENOMEM, TIDINGS_ELIMIT (a transaction beyond what a commit can
     * hold). Of a write: none of it is kept, and every later one that was
     * submitted before this answer was taken fails too, in order. Only after a
     * failed sync (info: failed) the next start may find it kept after all. */
    tidings_err err;
    enum td_level level; /* written: what was reached */
    /* read: records in the order they were asked for (backwards: descending),
     * and whether the range holds more */
    struct td_record *records;
    uint32_t records_len;
    bool more;
    struct td_body *bytes; /* what keys and values borrow */
};

void td_store_answer_free(struct td_store_answer *answer);

/* ---- the store ---- */

struct td_store_info {
    uint64_t used_bytes; /* pages in use */
    uint64_t file_bytes; /* of the folder */
    uint64_t free_bytes; /* what may still be written before the reserve;
                              large values need pages in a row, so the last of
                              it may be of use to small ones alone */
    uint64_t left_bytes; /* what may still be written at all */
    /* kept for settlements, deletes and the shutdown */
    uint64_t reserve_bytes;
    uint64_t commits;      /* that were kept */
    uint64_t transactions; /* in them */
    uint64_t commit_us;    /* time they took, syncs included */
    uint64_t damaged;      /* records found so */
    bool failed;    /* a sync has failed, or a read has met pages that are
                              not there: read only from now on */
    bool unclean;   /* it was not closed before it was opened */
    bool checking;  /* what an unclean stop left is still being checked */
    uint8_t id[16]; /* made with the folder, at random */
};

struct td_store;

struct td_store_face {
    /* Takes the transaction over, and leaves an empty one; it holds at least
     * one operation. Its answer carries the ticket. Tickets rise. */
    void (*submit)(struct td_store *store, struct td_txn *txn, uint64_t ticket);
    /* Records from key from up to, and without, to; or, backwards, from the
     * last one before to down to from. At most so many records and bytes, but
     * one if there is one. An empty to is behind all keys. Sees what is
     * committed, not what is submitted. False: no memory, no answer comes. */
    bool (*read)(struct td_store *store, struct td_str from, struct td_str to,
                 bool backwards, uint32_t records, size_t bytes,
                 uint64_t ticket);
    /* The next answer; NULL: none now. */
    struct td_store_answer *(*next)(struct td_store *store);
    /* Readable while next() may have an answer; -1: poll next(). */
    int (*fd)(const struct td_store *store);
    void (*info)(const struct td_store *store, struct td_store_info *out);
    /* Waits for what was submitted, syncs, and frees. Answers that nobody took
     * are dropped. */
    void (*close)(struct td_store *store);
};

struct td_store {
    const struct td_store_face *face; /* what follows is the store's own */
};

#endif
