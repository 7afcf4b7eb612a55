/* A store in a folder, with LMDB.
 *
 *    DIR/data.mdb   the records
 *    DIR/log        what was committed last, and is not among them yet
 *    DIR/lock.mdb   LMDB's table of readers
 *    DIR/lock       who has it open: locked, and says the process's number, or
 *                   at which transaction it was closed
 *
 * A group commit of up to TD_STORE_LOG_COMMIT_BYTES goes into the log (log.h):
 * one write, and at level disk one sync, where LMDB needs two, one after the
 * other. LMDB takes what the log holds in one commit: when the log is full, with
 * the next large group, when a read needs it, when nothing came for
 * TD_STORE_LOG_IDLE_MS, and at the end. What the log holds is never more than
 * what LMDB has pages for behind its last one, so that it can always take it.
 *
 * Levels: in the log, disk is synced and os is written. In LMDB disk is a full
 * commit (data and meta page synced); os is a commit with MDB_NOMETASYNC, which
 * survives kill -9, may be undone by a power cut, and never corrupts. A group
 * commit takes the highest level asked for in it; one of LMDB's also takes that
 * of what the log holds, because the log begins anew after it.
 *
 * A failed sync is never tried again and believed: the store is read only from
 * then on, and says so in its info. If it was LMDB's, a read of what the log
 * alone holds fails then; that is there when the folder is opened next.
 *
 * A group commit holds at most TD_STORE_GROUP_BYTES: its pages are still in the
 * processor's cache when they are written (measured with 128 kB values: 1.0
 * GB/s; 0.7 with groups of 8 MB and more).
 *
 * A full disk: the file is allocated ahead, by a reserve of TD_STORE_RESERVE
 * bytes (an eighth of a disk or limit that is small). info().free_bytes says
 * what may be written before it is touched; the engine refuses publishes when
 * that is 0, so that settlements, deletes and the shutdown still find room. The
 * store refuses by itself what is not small if it would leave less than half of
 * the reserve.
 *
 * An unclean stop: LMDB needs no recovery, and every record is checked when it
 * is read. What is left is a disk that lied, so the folder is checked by
 * walking it, in a child process whose crash means damaged: first the tree, the
 * free list and all keys, then the values. The opener waits TD_STORE_CHECK_MS
 * for it, which is enough for the tree and keys of a gigabyte of batches: it
 * opens in about 60 ms, and in 3 when it was closed. What values are not checked
 * by then the reader thread checks in slices while it has nothing else to do
 * (info().checking). A damaged tree is not opened; damaged values are counted,
 * and reported to who reads them. Then what the log holds is brought into LMDB.
 * A log that is damaged before its last entry is not opened, nor is an LMDB that
 * is behind what the log says it was at; the last entry cannot be told from one
 * that a power cut has torn before it was answered.
 *
 * Format 2 has the log; a folder of format 1 gets one when it is opened. */
#ifndef TD_LMDB_H
#define TD_LMDB_H

#include "broker/store/store.h"

struct td_lmdb_options {
    uint64_t max_bytes;     /* what data.mdb may grow to, at least 1 MiB, in
                               steps of 64 KiB; 0: 64 GiB, which costs address
                               space alone */
    uint64_t reserve_bytes; /* 0: TD_STORE_RESERVE */
    bool guard; /* SIGBUS and SIGSEGV in the store's threads are an error of
                   the read (a file cut short), and the store is read only then;
                   tidingsd wants it, a library leaves signals to its host */
};

/**
 * Open a folder, and make it if it is not there (its parent must be).
 *
 * @param options  NULL: all zero.
 * @param why  at least TD_STORE_WHY_BYTES: on failure what is wrong and what
 *             to do.
 * @return TIDINGS_OK; TIDINGS_EEXIST: another process, or this one, has it
 *         open (why names the process); TIDINGS_EVERSION: a newer program
 *         wrote it (why names both versions); TIDINGS_EFULL: no room to make
 *         it; TIDINGS_EIO: it is damaged, not a store, or cannot be accessed;
 *         TIDINGS_ENOMEM.
 */
tidings_err td_lmdb_open(struct td_store **out, const char *dir,
                         const struct td_lmdb_options *options, char *why);

struct td_lmdb_damage {
    uint64_t records; /* walked */
    uint64_t damaged; /* of them: with a wrong checksum */
    bool tree;        /* the tree itself is damaged, so there may be more */
    char first[256];  /* what was found first, and where */
    bool unlocked;    /* the folder may not be written: nobody was kept out */
};

/* Who looks on while a folder is walked; either may be NULL. */
struct td_lmdb_watch {
    void (*damaged)(void *ctx, struct td_str key); /* each record that is */
    /* Ten times a second, and at the end: how many pages of all that have
     * records were read. done is at most total. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/**
 * Walk a folder that nobody has open, in a child process. Writes nothing but
 * the file lock, if there is none and the folder may be written.
 *
 * @param watch  NULL: nobody looks.
 * @return TIDINGS_OK: it was walked, *out says what was found; or as
 *         td_lmdb_open().
 */
tidings_err td_lmdb_verify(const char *dir, const struct td_lmdb_watch *watch,
                           struct td_lmdb_damage *out, char *why);

#endif
