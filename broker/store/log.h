/* The log in front of LMDB: a small group commit is one write and one sync.
 *
 *    DIR/log   4,096 bytes: the note; then entries, one behind the other, up to
 *              TD_STORE_LOG_BYTES. All of it is written once when it is made,
 *              so that a sync has no metadata to care for.
 *
 * An entry is a group commit. It goes on from a transaction of LMDB's, its
 * base; when LMDB commits what the log holds, its transaction is another, and
 * with that all entries are of the past at once: a new lap begins, from the
 * front. So LMDB's own number says what was applied, and nothing else has to.
 *
 *     0  u64  checksum: XXH3 of all that follows, seeded with the folder's id
 *     8  u32  "tdL1"
 *    12  u32  bytes of operations
 *    16  u64  base: LMDB's transaction
 *    24  u64  lap: begins at random in each opening, rises
 *    32  u32  number in the lap, from 1; the note has 0
 *    36  u32  how many of the lap had been synced before
 *    40  u32  1: the base had been synced
 *    44  u32  0
 *    48       operations: u8 kind, u8 0, u16 bytes of key, u32 bytes of value,
 *             key, value (a put's as LMDB stores it: sealed); then zeros up to
 *             the next 8
 *
 * All little endian. What counts is what follows without a hole, in one lap, on
 * the base that LMDB has. Behind it may be a torn tail, entries of older laps,
 * even whole entries behind a torn one: their lap is over, they never count
 * again. An entry that is damaged although a later one says that it had been
 * synced is no torn tail, and is said to be damaged. The last entry cannot be
 * told from a torn one.
 *
 * The note says which transaction LMDB has reached, from the commit that began
 * the lap: an LMDB that is found behind it has lost what it had.
 *
 * Past the system's cache (O_DIRECT) a write and its sync take an eighth less
 * time, so that is how it is written at level disk where it can be.
 *
 * Threads: one; td_store_log_next() also others, up to a length that they were
 * told. */
#ifndef TD_STORE_LOG_H
#define TD_STORE_LOG_H

#include "broker/store/store.h"

#define TD_STORE_LOG_BLOCK      4096u /* the note; writes begin and end at it */
#define TD_STORE_LOG_HEAD_BYTES 48u   /* of an entry */

struct td_store_log {
    int fd;          /* -1: there is none */
    int direct;      /* the same file, past the system's cache; -1: it cannot */
    uint8_t *bytes;  /* of the file, as far as the lap has come */
    uint8_t *memory; /* in which they lie */
    uint64_t seed;
    uint64_t base;
    uint64_t lap;
    bool base_synced;
    bool broken;         /* it is not written to any more */
    uint32_t entries;    /* in the lap */
    uint32_t synced;     /* of them */
    uint32_t ops;        /* in them; its user counts */
    enum td_level level; /* the highest of them */
    size_t len;          /* where they end */
    size_t draft;        /* where the next one will */
};

/* Opens the file, or makes it; errno. What failed is closed. Its content is
 * looked at by td_store_log_find() alone. */
int td_store_log_open(struct td_store_log *log, const char *dir,
                      const uint8_t id[16]);

/* The same, to look at it alone; ENOENT: there is none. */
int td_store_log_look(struct td_store_log *log, const char *dir,
                      const uint8_t id[16]);

void td_store_log_close(struct td_store_log *log);

/* What was written of it is on the disk then; errno. */
int td_store_log_sync(const struct td_store_log *log);

/* A lap begins on this transaction of LMDB's. The note is written, and not
 * synced; if it cannot be, the log is broken. */
void td_store_log_restart(struct td_store_log *log, uint64_t base, bool synced);

/* ---- appending ---- */

/* Bytes of a transaction's operations. */
size_t td_store_log_size(const struct td_txn *txn);

/* Whether an entry of so many bytes of operations has room. */
bool td_store_log_fits(const struct td_store_log *log, size_t bytes);

/* To the entry that is being made; there is room. */
void td_store_log_add(struct td_store_log *log, const struct td_txn *txn);

/* Writes the entry, and syncs at level disk. Errno: it is not in the log, but
 * after a failed sync it may be found in it later; the store must not go on
 * then, which EIO says alone. */
int td_store_log_commit(struct td_store_log *log, enum td_level level);

/* ---- reading ---- */

/* What an unclean stop has left. */
struct td_store_log_found {
    bool note;    /* there is one, so this is the folder's log */
    bool damaged; /* entry bad, although it had been synced */
    bool behind;  /* LMDB is behind transaction base */
    uint32_t bad; /* its number */
    uint64_t base;
    uint32_t stored; /* entries that LMDB does not have yet */
};

/* Reads the file, for an LMDB that is at this transaction. If neither damaged
 * nor behind, the log stands as it was left: td_store_log_next() gives what
 * LMDB does not have. Errno. */
int td_store_log_find(struct td_store_log *log, uint64_t transaction,
                      struct td_store_log_found *out);

/* An operation in the log; borrowed. */
struct td_store_log_op {
    enum td_op_kind kind;
    struct td_str key;
    struct td_str value; /* of a put: sealed */
};

/* Where a look through the log stands; zeroed is at the begin. */
struct td_store_log_at {
    size_t at;
    size_t end; /* of the entry */
};

/* The next operation of the entries before len; false: none. */
bool td_store_log_next(const struct td_store_log *log, size_t len,
                       struct td_store_log_at *at, struct td_store_log_op *op);

/* The same test as for an entry that is read; for those who change one. */
uint64_t td_store_log_sum(const struct td_store_log *log, const uint8_t *entry,
                          size_t bytes);

#endif
