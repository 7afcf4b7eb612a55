/* The writer: whatever has come in while the last commit was being synced goes
 * into the next one, whole transactions in order, kept together or not at all.
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

#include "broker/store/record.h"
#include "broker/store/trap.h"

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static MDB_val val_of(struct td_str str)
{
    return (MDB_val){.mv_size = str.len, .mv_data = (void *)str.data};
}

/* ---- operations ---- */

/* The value is written once, into LMDB's page, and sealed there. */
static int put(MDB_txn *txn, MDB_dbi dbi, const struct td_txn *from,
               const struct td_store_op *op)
{
    struct td_str key = td_store_op_key(from, op);
    struct td_str head = td_store_op_value(from, op);
    MDB_val k = val_of(key);
    MDB_val v = {.mv_size = TD_RECORD_HEAD_BYTES + head.len + op->len};
    uint8_t *place;
    int rc = mdb_put(txn, dbi, &k, &v, MDB_RESERVE);

    if (rc)
        return rc;
    place = v.mv_data;
    if (head.len)
        memcpy(place + TD_RECORD_HEAD_BYTES, head.data, head.len);
    if (op->body)
        memcpy(place + TD_RECORD_HEAD_BYTES + head.len,
               op->body->data + op->offset, op->len);
    td_record_seal(place, key, head.len + op->len);
    return 0;
}

static int delete_one(MDB_txn *txn, MDB_dbi dbi, struct td_str key)
{
    MDB_val k = val_of(key);
    int rc = mdb_del(txn, dbi, &k, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Looks for the next one anew each time, which is cheap beside the delete. */
static int delete_range(MDB_txn *txn, MDB_dbi dbi, struct td_str from,
                        struct td_str to)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, dbi, &cursor);

    if (rc)
        return rc;
    do {
        MDB_val k = val_of(from);
        MDB_val v;

        rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        if (rc)
            break;
        if (to.len &&
            td_store_compare((struct td_str){k.mv_data, k.mv_size}, to) >= 0)
            break;
        rc = mdb_cursor_del(cursor, 0);
    } while (!rc);
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int apply(MDB_txn *txn, MDB_dbi dbi, const struct td_txn *from)
{
    int rc = 0;

    for (uint32_t i = 0; i < from->len && !rc; i++) {
        const struct td_store_op *op = &from->ops[i];

        switch (op->kind) {
        case TD_STORE_PUT:
            rc = put(txn, dbi, from, op);
            break;
        case TD_STORE_DELETE:
            rc = delete_one(txn, dbi, td_store_op_key(from, op));
            break;
        case TD_STORE_DELETE_RANGE:
            rc = delete_range(txn, dbi, td_store_op_key(from, op),
                              td_store_op_value(from, op));
            break;
        }
    }
    return rc;
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
    if (s->room > s->options.reserve_bytes / 2)
        return false;
    for (const struct td_store_job *job = group->head; job; job = job->next) {
        if (weight(&job->txn) > TD_STORE_SMALL_BYTES)
            return true;
    }
    return false;
}

/* LMDB itself has given up, since a meta page could not be written. */
static bool is_dead(struct td_lmdb *s)
{
    int rc = mdb_txn_renew(s->look);

    if (!rc)
        mdb_txn_reset(s->look);
    return rc == MDB_PANIC;
}

/* One write transaction of LMDB with the whole group. */
static tidings_err write_group(struct td_lmdb *s,
                               const struct td_store_jobs *group,
                               enum td_level level)
{
    bool nometasync = level < TD_LEVEL_DISK;
    tidings_err err;
    MDB_txn *txn;
    int rc;

    if (is_too_large(s, group))
        return TIDINGS_EFULL;
    if (nometasync != s->nometasync) {
        mdb_env_set_flags(s->env, MDB_NOMETASYNC, nometasync);
        s->nometasync = nometasync;
    }
    rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc == ENOMEM)
        return TIDINGS_ENOMEM;
    if (rc)
        return give_up(s, TIDINGS_EIO);
    for (struct td_store_job *job = group->head; job && !rc; job = job->next)
        rc = apply(txn, s->dbi, &job->txn);
    if (rc) {
        mdb_txn_abort(txn);
        err = td_lmdb_error(rc);
        return err == TIDINGS_EIO ? give_up(s, err) : err; /* a torn tree */
    }
    rc = mdb_txn_commit(txn);
    if (rc == EIO && td_lmdb_disk_is_full(s))
        rc = ENOSPC; /* LMDB's word for a write cut short, by a full disk */
    err = td_lmdb_error(rc);
    return err == TIDINGS_EIO || (err && is_dead(s)) ? give_up(s, err) : err;
}

/* The same, when the map's file may be cut short, or its tree be damaged. A
 * fault in the middle of it leaves LMDB in no state to be called again. */
static tidings_err write_guarded(struct td_lmdb *s,
                                 const struct td_store_jobs *group,
                                 enum td_level level)
{
    tidings_err err;

    if (s->abandoned || s->info.failed) /* only this thread sets them */
        return TIDINGS_EIO;
    if (sigsetjmp(*td_trap_set(), 0)) {
        pthread_mutex_lock(&s->lock);
        s->abandoned = true;
        pthread_mutex_unlock(&s->lock);
        return give_up(s, TIDINGS_EIO);
    }
    err = write_group(s, group, level);
    td_trap_clear();
    return err;
}

static void commit(struct td_lmdb *s, struct td_store_jobs *group)
{
    enum td_level level = td_store_jobs_level(group);
    int64_t began = now_us();
    tidings_err err = write_guarded(s, group, level);
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
    pthread_mutex_unlock(&s->lock);
    if (!s->info.failed)
        td_lmdb_space(s); /* first: who has the answer may look */
    td_lmdb_answer(s, group);
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

void *td_lmdb_write_loop(void *arg)
{
    struct td_lmdb *s = arg;
    struct td_store_jobs failed = {NULL, NULL};
    struct td_store_jobs group = {NULL, NULL};
    tidings_err err;

    prctl(PR_SET_NAME, "tidings-store");
    pthread_mutex_lock(&s->lock);
    while (s->submitted.head || !s->stop) {
        if (!s->submitted.head) {
            pthread_cond_wait(&s->submitted_cond, &s->lock);
            continue;
        }
        err = s->episode.err;
        td_store_episode_drain(&s->episode, &s->submitted, &failed);
        take_group(s, &group);
        pthread_mutex_unlock(&s->lock);
        td_store_jobs_settle(&failed, err, 0);
        td_lmdb_answer(s, &failed);
        if (group.head)
            commit(s, &group);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
