/* The log and LMDB: which group goes where, and what an unclean stop has left
 * in the log. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RANGE_RECORDS 64u /* deleted by one operation in the log, at most */

size_t td_lmdb_log_bytes(const struct td_lmdb *s)
{
    return s->log.entries ? s->log.len - TD_STORE_LOG_BLOCK : 0;
}

/* ---- which group goes where ---- */

/* What a group would put into the log. */
struct load {
    size_t bytes;
    uint64_t ops; /* and records that are deleted with others */
};

static bool is_within(MDB_val k, struct td_str to)
{
    struct td_str key = {k.mv_data, k.mv_size};

    return to.len == 0 || td_store_compare(key, to) < 0;
}

/* Records that LMDB has in a range, up to so many. What the log has there was
 * counted when it came. */
static uint64_t count_range(struct td_lmdb *s, struct td_str from,
                            struct td_str to, uint64_t most)
{
    MDB_val k = {.mv_size = from.len, .mv_data = (void *)from.data};
    MDB_val v;
    uint64_t count = 0;
    int rc;

    if (mdb_txn_renew(s->look) != 0)
        return most;
    rc = s->in_look ? mdb_cursor_renew(s->look, s->in_look)
                    : mdb_cursor_open(s->look, s->dbi, &s->in_look);
    if (!rc)
        rc = mdb_cursor_get(s->in_look, &k, &v, MDB_SET_RANGE);
    for (; !rc && count < most && is_within(k, to); count++)
        rc = mdb_cursor_get(s->in_look, &k, &v, MDB_NEXT);
    mdb_txn_reset(s->look);
    return rc && rc != MDB_NOTFOUND ? most : count;
}

/* False: the log is not for it. */
static bool weigh(struct td_lmdb *s, const struct td_txn *txn,
                  struct load *load)
{
    load->bytes += td_store_log_size(txn);
    load->ops += txn->len;
    if (load->bytes > TD_STORE_LOG_COMMIT_BYTES)
        return false;
    for (uint32_t i = 0; i < txn->len; i++) {
        const struct td_store_op *op = &txn->ops[i];
        uint64_t count;

        if (op->kind != TD_STORE_DELETE_RANGE)
            continue;
        count = count_range(s, td_store_op_key(txn, op),
                            td_store_op_value(txn, op), RANGE_RECORDS + 1);
        if (count > RANGE_RECORDS)
            return false;
        load->ops += count;
    }
    return true;
}

bool td_lmdb_log_takes(struct td_lmdb *s, const struct td_store_jobs *group,
                       enum td_level level)
{
    struct td_store_log *log = &s->log;
    struct load load = {0, log->ops};

    if (log->broken || (level == TD_LEVEL_DISK && !log->base_synced))
        return false;
    for (const struct td_store_job *job = group->head; job; job = job->next) {
        if (!weigh(s, &job->txn, &load))
            return false;
    }
    /* what the log holds must fit into LMDB, whatever becomes of the disk */
    if (load.ops > TD_STORE_LOG_OPS || !td_store_log_fits(log, load.bytes) ||
        td_lmdb_space_for(s, load.ops, log->len + load.bytes) > s->tail)
        return false;
    log->ops = (uint32_t)load.ops;
    return true;
}

int td_lmdb_log_write(struct td_lmdb *s, const struct td_store_jobs *group,
                      enum td_level level)
{
    for (const struct td_store_job *job = group->head; job; job = job->next)
        td_store_log_add(&s->log, &job->txn);
    return td_store_log_commit(&s->log, level);
}

void td_lmdb_log_over(struct td_lmdb *s, bool synced)
{
    MDB_envinfo info;

    mdb_env_info(s->env, &info);
    pthread_mutex_lock(&s->lock);
    s->log_len = 0;
    s->applies++;
    pthread_mutex_unlock(&s->lock);
    td_store_log_restart(&s->log, info.me_last_txnid, synced);
}

/* ---- after an unclean stop ---- */

bool td_lmdb_log_is_sound(const struct td_lock *lock,
                          const struct td_store_log_found *found)
{
    return !found->damaged && !found->behind &&
           (found->note || !td_lock_found_log(lock));
}

void td_lmdb_log_say(const char *dir, const struct td_store_log_found *found,
                     uint64_t transaction, char *why, size_t why_bytes)
{
    if (found->behind)
        snprintf(why, why_bytes,
                 "%.50s/data.mdb is at transaction %" PRIu64 ", and was at "
                 "%" PRIu64 ": damaged, or another copy; to take it as it is, "
                 "remove the files lock and log beside it",
                 dir, transaction, found->base);
    else if (found->damaged)
        snprintf(why, why_bytes,
                 "%.50s/log is damaged: its entry %u; to do without that and "
                 "what follows it, remove the files lock and log",
                 dir, found->bad);
    else
        snprintf(why, why_bytes,
                 "%.50s/log is missing, or of another folder: what was "
                 "confirmed last is in it; bring it back, or, to do without, "
                 "remove the files lock and log",
                 dir);
}

/* All of it in one transaction. LMDB's code. */
static int apply_all(struct td_lmdb *s)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (rc)
        return rc;
    rc = td_lmdb_apply_log(txn, s->dbi, &s->log);
    if (!rc)
        rc = td_lmdb_format_write(s, txn);
    if (!rc)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static tidings_err recover(struct td_lmdb *s, char *why)
{
    struct td_store_log_found found;
    MDB_envinfo info;
    int rc;

    mdb_env_info(s->env, &info);
    rc = td_store_log_find(&s->log, info.me_last_txnid, &found);
    if (rc) {
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s/log: %s", s->dir,
                 strerror(rc));
        return TIDINGS_EIO;
    }
    if (!td_lmdb_log_is_sound(s->dir_lock, &found)) {
        td_lmdb_log_say(s->dir, &found, info.me_last_txnid, why,
                        TD_STORE_WHY_BYTES);
        return TIDINGS_EIO;
    }
    rc = found.stored ? apply_all(s) : mdb_env_sync(s->env, 1);
    return rc ? td_lmdb_say(s, rc, why) : TIDINGS_OK;
}

tidings_err td_lmdb_log_open(struct td_lmdb *s, char *why)
{
    int rc = td_store_log_open(&s->log, s->dir, s->info.id);
    tidings_err err = rc ? td_lmdb_error(rc) : TIDINGS_OK;

    /* without room for one all goes to LMDB at once, if none was there */
    if (err && (err != TIDINGS_EFULL || td_lock_found_log(s->dir_lock))) {
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s/log: %s", s->dir,
                 strerror(rc));
        return err;
    }
    if (!err && s->info.unclean)
        err = recover(s, why);
    else
        err = TIDINGS_OK;
    if (err)
        return err;
    td_lmdb_log_over(s, true);
    rc = td_store_log_sync(&s->log);
    if (!rc)
        return TIDINGS_OK;
    snprintf(why, TD_STORE_WHY_BYTES, "%.150s/log: %s", s->dir, strerror(rc));
    return td_lmdb_error(rc);
}
