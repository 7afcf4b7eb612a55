/* The disk under a store, in the hands of the test: this object defines the
 * system calls by which LMDB and the store write, in front of libc's. It makes
 * them fail, slow or short, and keeps a log from which the files can be made
 * as a power cut could leave them. Watches regular files of one folder. */
#ifndef TESTS_SUPPORT_STORE_DISK_H
#define TESTS_SUPPORT_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum td_disk_call {
    TD_DISK_WRITE, /* pwrite, writev, write */
    TD_DISK_SYNC,  /* fdatasync, fsync; writes to a synchronous file */
    TD_DISK_ALLOCATE,
    TD_DISK_CALLS
};

/* From now on calls on files below dir count; NULL: none. */
void td_disk_watch(const char *dir);

/* The n-th call of a kind from now on fails with this errno, or, with error 0,
 * is done by half (a write). for_good: and all after it. n 0: none. */
void td_disk_fail(enum td_disk_call call, unsigned n, int error, bool for_good);
/* Whether a failure armed last has happened. */
bool td_disk_failed(void);
/* How many there were since td_disk_watch(). */
unsigned td_disk_count(enum td_disk_call call);

/* Entries of a folder; and of the one that is watched, when it was synced last
 * since then. */
unsigned td_disk_entries(const char *dir);
unsigned td_disk_entries_synced(void);

/* Syncs take so long. */
void td_disk_slow(int ms);
/* Syncs wait until they are let go. */
void td_disk_hold(bool on);
/* A sync is going on. */
bool td_disk_syncing(void);

/* ---- what was done with data.mdb and log ---- */

enum td_disk_file { TD_DISK_DATA, TD_DISK_LOG, TD_DISK_FILES };

struct td_disk_event {
    enum td_disk_file file;
    enum {
        TD_DISK_WROTE,
        TD_DISK_ALLOCATED,
        TD_DISK_SYNCED,
        TD_DISK_MARK
    } kind;
    uint64_t number; /* of a mark; the size that was allocated */
    off_t offset;
    size_t len;
    bool durable; /* written to a synchronous file */
    uint8_t *data;
};

/* Logs from now on, or no more. */
void td_disk_log(bool on);
/* The test's own mark, in its place among the writes. */
void td_disk_mark(uint64_t number);
const struct td_disk_event *td_disk_events(size_t *len);
void td_disk_forget(void);

#endif
