/* Inside of the store with LMDB: what its files share.
 *
 * Three threads. The owner submits, asks, and takes answers. The writer alone
 * has write transactions and the log, the reader alone reads records. Both take
 * jobs from their queue and put answers into one, all three under the lock,
 * which nobody holds during a system call on the data. The reader also looks
 * at what the log holds, under the lock; the writer writes over that only after
 * it has said under the lock that LMDB has it. */
#ifndef TD_LMDB_STORE_H
#define TD_LMDB_STORE_H

#include <lmdb.h>
#include <pthread.h>

#include "broker/store/job.h"
#include "broker/store/lmdb.h"
#include "broker/store/lock.h"
#include "broker/store/log.h"

struct td_lmdb {
    struct td_store store; /* first */
    MDB_env *env;
    MDB_dbi dbi;
    struct td_lock *dir_lock;
    char *dir;
    struct td_lmdb_options options;
    int event_fd;
    pthread_t writer;
    pthread_t reader;

    /* the writer's own */
    MDB_txn *look;       /* a read transaction, renewed to count pages */
    MDB_cursor *in_look; /* renewed with it; kept here so that a fault while it
                            is used loses nothing */
    uint64_t ahead;      /* bytes of the file that are allocated */
    uint64_t room;       /* bytes that may be written, the reserve included */
    uint64_t tail;       /* bytes behind the last page that are allocated */
    uint64_t depth;      /* of the tree */
    uint64_t page_bytes;
    bool nometasync; /* as the environment stands now */
    bool apply_now;  /* the next group goes to LMDB, with what the log holds */
    struct td_store_log log;

    /* the reader's own */
    MDB_txn *snapshot;     /* renewed for every read */
    struct td_str checked; /* up to this key, after an unclean stop */
    char checked_key[TD_STORE_KEY_BYTES_MAX + 12];

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t submitted_cond;
    pthread_cond_t asked_cond;
    pthread_cond_t applied_cond;
    size_t log_len;    /* what is committed, and in the log alone … */
    uint64_t applies;  /* … since LMDB has taken what was there before */
    uint64_t tries;    /* applies, and those that failed … */
    tidings_err tried; /* … the last one so */
    bool apply_wanted; /* the reader waits for one */
    bool writer_gone;
    struct td_store_jobs submitted;
    struct td_store_jobs asked;
    struct td_store_jobs answers;
    uint64_t submissions;
    struct td_store_episode episode;
    struct td_store_info info;
    struct td_lmdb *next_abandoned;
    bool abandoned; /* a fault inside of a write: LMDB is not called again */
    bool torn; /* a read has met what is no tree: nothing more is written */
    bool stop;
};

/* lmdb_open.c: the file that its lock speaks of is there. */
bool td_lmdb_is_left(const char *dir, const struct td_lock *lock, char *why);

/* lmdb_env.c: LMDB's codes as ours, said once. */
tidings_err td_lmdb_error(int rc);
/* The same, and what went wrong with which file. */
tidings_err td_lmdb_say(const struct td_lmdb *s, int rc, char *why);
/* LMDB's code. What failed is closed with the environment. */
int td_lmdb_env_open(struct td_lmdb *s, unsigned flags);
void td_lmdb_env_close(struct td_lmdb *s);
/* Of the pages that say where the trees are; 0: they cannot be read. */
uint64_t td_lmdb_meta_hash(struct td_lmdb *s);
/* LMDB refuses even reads after it has failed to write a meta page: opens what
 * was committed before anew, to read. By the reader. LMDB's code. */
int td_lmdb_reopen(struct td_lmdb *s);
/* A store in which a fault has left LMDB in no state to be called. */
void td_lmdb_abandon(struct td_lmdb *s);

/* lmdb_format.c: checks the record of the format, or makes it. */
tidings_err td_lmdb_format(struct td_lmdb *s, char *why);
/* The folder's id; false: there is no record of it. */
bool td_lmdb_format_id(MDB_txn *txn, MDB_dbi dbi, uint8_t id[16]);
/* Writes the record; also as it is, because LMDB counts no transaction in which
 * nothing has changed. LMDB's code. */
int td_lmdb_format_write(struct td_lmdb *s, MDB_txn *txn);

/* lmdb_apply.c: operations in a write transaction. LMDB's code. */
int td_lmdb_apply(MDB_txn *txn, MDB_dbi dbi, const struct td_txn *from);
int td_lmdb_apply_log(MDB_txn *txn, MDB_dbi dbi,
                      const struct td_store_log *log);

/* lmdb_log.c. Opens the log, and brings into LMDB what an unclean stop has left
 * in it. */
tidings_err td_lmdb_log_open(struct td_lmdb *s, char *why);
/* Whether a group is for the log, and not for LMDB at once. */
bool td_lmdb_log_takes(struct td_lmdb *s, const struct td_store_jobs *group,
                       enum td_level level);
/* Errno. */
int td_lmdb_log_write(struct td_lmdb *s, const struct td_store_jobs *group,
                      enum td_level level);
/* LMDB has committed, with what was in the log: it begins anew. */
void td_lmdb_log_over(struct td_lmdb *s, bool synced);
/* Committed, and in the log alone; 0: nothing is. By the writer. */
size_t td_lmdb_log_bytes(const struct td_lmdb *s);
/* What a look has found goes with the folder, and nothing that was confirmed is
 * missing. */
bool td_lmdb_log_is_sound(const struct td_lock *lock,
                          const struct td_store_log_found *found);
/* What a look through a log that is not sound says. */
void td_lmdb_log_say(const char *dir, const struct td_store_log_found *found,
                     uint64_t transaction, char *why, size_t why_bytes);

/* lmdb_fresh.c: for a read, what was committed before it began, and is in the
 * log alone. */
struct td_lmdb_look {
    size_t len;
    uint64_t applies;
};
struct td_lmdb_look td_lmdb_look(struct td_lmdb *s);
/* Whether some of that lies between from and to (empty: the end; if with_to,
 * that too), or has come into LMDB since. */
bool td_lmdb_is_stale(struct td_lmdb *s, const struct td_lmdb_look *look,
                      struct td_str from, struct td_str to, bool with_to);
/* Until LMDB has it. */
tidings_err td_lmdb_wait_applied(struct td_lmdb *s,
                                 const struct td_lmdb_look *look);

/* lmdb_open.c: all of it, however far it was opened. */
void td_lmdb_free(struct td_lmdb *s);

/* lmdb_commit.c, lmdb_read.c: the threads; arg is the store. */
void *td_lmdb_write_loop(void *arg);
void *td_lmdb_read_loop(void *arg);

/* lmdb_queue.c: what the owner calls, and where answers go. */
extern const struct td_store_face td_lmdb_face;
void td_lmdb_answer(struct td_lmdb *s, struct td_store_jobs *jobs);

/* lmdb_space.c. Allocates the reserve and counts pages; the writer calls it
 * after every commit, the opener before there is a writer. */
void td_lmdb_space(struct td_lmdb *s);
void td_lmdb_space_init(struct td_lmdb *s);
bool td_lmdb_disk_is_full(struct td_lmdb *s);
/* What may still be written, with what is in the log alone counted; with the
 * lock held. */
void td_lmdb_space_left(struct td_lmdb *s);
/* At most so many bytes of new pages are needed for operations with so many
 * bytes of keys and values. */
uint64_t td_lmdb_space_for(const struct td_lmdb *s, uint64_t ops,
                           uint64_t bytes);

/* lmdb_walk.c: what a walk reports, in memory that its process shares with who
 * waits for it. */
struct td_lmdb_walk {
    struct td_lmdb_damage damage;
    bool done; /* the tree is in order, and all values were checked */
    /* pages that have records: as the tree says, and those that were read */
    uint64_t pages;
    _Atomic uint64_t pages_read;
    uint64_t transaction; /* the last one in it */
    uint8_t id[16];       /* the folder's */
    unsigned now;         /* values are checked up to this key: two places, so
                             that one is whole whenever the walk ends */
    struct {
        uint32_t len;
        char key[TD_STORE_KEY_BYTES_MAX + 12];
    } at[2];
};

/* Walks a folder; each damaged key goes to fd, its length (2 bytes) first;
 * fd -1: nowhere. Called in a child process. */
void td_lmdb_walk(struct td_lmdb_walk *walk, const char *dir, int fd);

/* lmdb_verify.c: td_lmdb_walk() in a child, for at most wait_ms (-1: however
 * long). watch NULL: nobody looks. False: no child could be made. */
bool td_lmdb_walk_apart(struct td_lmdb_walk *out, const char *dir,
                        const struct td_lmdb_watch *watch, int wait_ms);

#endif
