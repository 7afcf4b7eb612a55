/* The writer: whatever has come in while the last commit was being synced goes
 * into the next one, whole transactions in order, kept together or not at all.
 *
 * A small group goes into the log, which is one sync; a large one, or what has
 * no room in the log, goes to LMDB at once, with all that the log holds before
 * it. LMDB also takes that when nothing else is to be done, when the reader
 * needs it, and at the end.
 *
 * A failure ends its whole group, and with it all that the owner submitted
 * before it could know: what it builds on is not there. A failure of what LMDB
 * writes or syncs at the end of a commit ends the store: it is read only then.
 * No room is no such failure: what was written lies in no tree yet. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "broker/store/trap.h"

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- a group ---- */

/* The store is read only from now on, and its environment the reader's. */
static tidings_err give_up(struct td_lmdb *s, tidings_err err)
{
    pthread_mutex_lock(&s->lock);
    s->info.failed = true;
    pthread_mutex_unlock(&s->lock);
    return err;
}

static bool is_torn(struct td_lmdb *s)
{
    bool torn;

    pthread_mutex_lock(&s->lock);
    torn = s->torn;
    pthread_mutex_unlock(&s->lock);
    return torn;
}

static size_t weight(const struct td_txn *txn)
{
    size_t bytes = txn->arena.len;

    for (uint32_t i = 0; i < txn->len; i++)
        bytes += txn->ops[i].len;
    return bytes;
}

/* The last half of the reserve is for small transactions alone: deletes and
 * settlements find room even when too much was under way as it filled up. */
static bool is_too_large(const struct td_lmdb *s,
                         const struct td_store_jobs *group)
{
    uint64_t bytes = s->options.reserve_bytes / 2 + td_lmdb_log_bytes(s);
    uint64_t ops = 0;
    bool large = false;

    for (const struct td_store_job *job = group->head; job; job = job->next) {
        bytes += weight(&job->txn);
        ops += job->txn.len;
        large = large || weight(&job->txn) > TD_STORE_SMALL_BYTES;
    }
    return large && s->room <= td_lmdb_space_for(s, ops, bytes);
}

/* LMDB itself has given up, since a meta page could not be written. */
static bool is_dead(struct td_lmdb *s)
{
    int rc = mdb_txn_renew(s->look);

    if (!rc)
        mdb_txn_reset(s->look);
    return rc == MDB_PANIC;
}

/* What is to be in the next transaction of LMDB. LMDB's code. */
static int apply_both(struct td_lmdb *s, MDB_txn *txn,
                      const struct td_store_jobs *group)
{
    int rc = td_lmdb_apply_log(txn, s->dbi, &s->log);

    for (struct td_store_job *job = group->head; job && !rc; job = job->next)
        rc = td_lmdb_apply(txn, s->dbi, &job->txn);
    if (!rc && s->log.entries) /* its number is to rise */
        rc = td_lmdb_format_write(s, txn);
    return rc;
}

/* One write transaction of LMDB with what the log holds and the whole group; as
 * safe as each of that is to be. */
static tidings_err write_lmdb(struct td_lmdb *s,
                              const struct td_store_jobs *group,
                              enum td_level level)
{
    bool synced = level == TD_LEVEL_DISK || s->log.level == TD_LEVEL_DISK;
    tidings_err err;
    MDB_txn *txn;
    int rc;

    if (s->nometasync == synced) {
        mdb_env_set_flags(s->env, MDB_NOMETASYNC, !synced);
        s->nometasync = !synced;
    }
    rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc == ENOMEM)
        return TIDINGS_ENOMEM;
    if (rc)
        return give_up(s, TIDINGS_EIO);
    rc = apply_both(s, txn, group);
    if (rc) {
        mdb_txn_abort(txn);
        err = td_lmdb_error(rc);
        return err == TIDINGS_EIO ? give_up(s, err) : err; /* a torn tree */
    }
    rc = mdb_txn_commit(txn);
    if (rc == EIO && td_lmdb_disk_is_full(s))
        rc = ENOSPC; /* LMDB's word for a write cut short, by a full disk */
    err = td_lmdb_error(rc);
    if (err)
        return err == TIDINGS_EIO || is_dead(s) ? give_up(s, err) : err;
    td_lmdb_log_over(s, synced);
    return TIDINGS_OK;
}

/* The log has failed, and the store with it. What was answered before goes to
 * LMDB, if that is well: there it can be read. */
static tidings_err give_up_log(struct td_lmdb *s)
{
    struct td_store_jobs none = {NULL, NULL};

    if (td_lmdb_log_bytes(s) > 0)
        write_lmdb(s, &none, TD_LEVEL_OS);
    return give_up(s, TIDINGS_EIO);
}

/* A group, which may be empty: then LMDB takes what the log holds. */
static tidings_err write_group(struct td_lmdb *s,
                               const struct td_store_jobs *group,
                               enum td_level level, bool *logged)
{
    int rc;

    if (is_too_large(s, group))
        return TIDINGS_EFULL;
    if (group->head && !s->apply_now && td_lmdb_log_takes(s, group, level)) {
        rc = td_lmdb_log_write(s, group, level);
        *logged = rc == 0;
        if (rc == 0)
            return TIDINGS_OK;
        if (td_lmdb_error(rc) != TIDINGS_EFULL)
            return give_up_log(s);
    }
    return write_lmdb(s, group, level);
}

/* The same, when the map's file may be cut short, or its tree be damaged. A
 * fault in the middle of it leaves LMDB in no state to be called again. */
static tidings_err write_guarded(struct td_lmdb *s,
                                 const struct td_store_jobs *group,
                                 enum td_level level, bool *logged)
{
    tidings_err err;

    if (s->abandoned || s->info.failed) /* only this thread sets them */
        return TIDINGS_EIO;
    if (is_torn(s))
        return give_up(s, TIDINGS_EIO);
    if (sigsetjmp(*td_trap_set(), 0)) {
        pthread_mutex_lock(&s->lock);
        s->abandoned = true;
        pthread_mutex_unlock(&s->lock);
        return give_up(s, TIDINGS_EIO);
    }
    err = write_group(s, group, level, logged);
    td_trap_clear();
    return err;
}

/* What the reader is to know, with the lock held. */
static void tell_reader(struct td_lmdb *s, tidings_err err, bool logged)
{
    if (logged) {
        s->log_len = s->log.len;
        td_lmdb_space_left(s);
        return;
    }
    s->tries++;
    s->tried = err;
    s->apply_wanted = false;
    pthread_cond_signal(&s->applied_cond);
}

static void commit(struct td_lmdb *s, struct td_store_jobs *group)
{
    enum td_level level = td_store_jobs_level(group);
    int64_t began = now_us();
    bool logged = false;
    tidings_err err = write_guarded(s, group, level, &logged);
    int64_t took = now_us() - began;
    uint64_t count = td_store_jobs_settle(group, err, level);

    pthread_mutex_lock(&s->lock);
    if (err) {
        td_store_episode_begin(&s->episode, group, err);
    } else {
        s->info.commits++;
        s->info.transactions += count;
        s->info.commit_us += (uint64_t)took;
    }
    tell_reader(s, err, logged);
    pthread_mutex_unlock(&s->lock);
    if (!logged && !s->info.failed)
        td_lmdb_space(s); /* first: who has the answer may look */
    td_lmdb_answer(s, group);
}

/* LMDB takes what the log holds. If it cannot, that stays there: it is safe,
 * and tried again. */
static void apply_log(struct td_lmdb *s)
{
    struct td_store_jobs none = {NULL, NULL};
    bool logged = false;
    tidings_err err = write_guarded(s, &none, TD_LEVEL_OS, &logged);

    pthread_mutex_lock(&s->lock);
    tell_reader(s, err, false);
    pthread_mutex_unlock(&s->lock);
    if (!s->info.failed)
        td_lmdb_space(s);
}

/* ---- the thread ---- */

/* What has come in, up to what a commit should hold; with the lock held. */
static void take_group(struct td_lmdb *s, struct td_store_jobs *group)
{
    size_t bytes = 0;

    while (s->submitted.head) {
        bytes += weight(&s->submitted.head->txn);
        if (group->head && bytes > TD_STORE_GROUP_BYTES)
            return;
        td_store_jobs_push(group, td_store_jobs_pop(&s->submitted));
    }
}

/* Waits for a submission, or until it is time for LMDB to take what the log
 * holds: true. With the lock held. */
static bool wait_idle(struct td_lmdb *s)
{
    struct timespec until;

    if (s->apply_wanted)
        return true;
    if (td_lmdb_log_bytes(s) == 0 || s->info.failed) {
        pthread_cond_wait(&s->submitted_cond, &s->lock);
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TD_STORE_LOG_IDLE_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_cond_timedwait(&s->submitted_cond, &s->lock, &until) ==
               ETIMEDOUT &&
           !s->submitted.head && !s->stop;
}

/* All that was submitted, with the lock held. */
static void work_off(struct td_lmdb *s)
{
    struct td_store_jobs failed = {NULL, NULL};
    struct td_store_jobs group = {NULL, NULL};
    tidings_err err = s->episode.err;

    td_store_episode_drain(&s->episode, &s->submitted, &failed);
    take_group(s, &group);
    s->apply_now = s->apply_wanted;
    pthread_mutex_unlock(&s->lock);
    td_store_jobs_settle(&failed, err, 0);
    td_lmdb_answer(s, &failed);
    if (group.head)
        commit(s, &group);
    pthread_mutex_lock(&s->lock);
}

void *td_lmdb_write_loop(void *arg)
{
    struct td_lmdb *s = arg;

    prctl(PR_SET_NAME, "tidings-store");
    pthread_mutex_lock(&s->lock);
    while (s->submitted.head || !s->stop) {
        if (s->submitted.head) {
            work_off(s);
        } else if (wait_idle(s)) {
            pthread_mutex_unlock(&s->lock);
            apply_log(s);
            pthread_mutex_lock(&s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (td_lmdb_log_bytes(s) > 0)
        apply_log(s);
    pthread_mutex_lock(&s->lock);
    s->writer_gone = true;
    pthread_cond_signal(&s->applied_cond);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
