/* The record of a folder's format: its version, and an id made at random. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "broker/store/record.h"

#define FORMAT_KEY     "\0format"
#define FORMAT_KEY_LEN 7u
#define FORMAT_BYTES   20u /* version, big endian, and the folder's id */

int td_lmdb_format_write(struct td_lmdb *s, MDB_txn *txn)
{
    uint8_t stored[TD_RECORD_HEAD_BYTES + FORMAT_BYTES] = {0};
    uint8_t *value = stored + TD_RECORD_HEAD_BYTES;
    struct td_str key = {FORMAT_KEY, FORMAT_KEY_LEN};
    MDB_val k = {.mv_size = key.len, .mv_data = (void *)key.data};
    MDB_val v = {.mv_size = sizeof(stored), .mv_data = stored};

    value[3] = TD_STORE_FORMAT;
    memcpy(value + 4, s->info.id, sizeof(s->info.id));
    td_record_seal(stored, key, FORMAT_BYTES);
    return mdb_put(txn, s->dbi, &k, &v, 0);
}

static tidings_err format_new(struct td_lmdb *s, MDB_txn *txn)
{
    if (getrandom(s->info.id, sizeof(s->info.id), 0) != sizeof(s->info.id))
        return TIDINGS_EIO;
    return td_lmdb_error(td_lmdb_format_write(s, txn));
}

bool td_lmdb_format_id(MDB_txn *txn, MDB_dbi dbi, uint8_t id[16])
{
    struct td_str key = {FORMAT_KEY, FORMAT_KEY_LEN};
    MDB_val k = {.mv_size = key.len, .mv_data = (void *)key.data};
    MDB_val v;

    if (mdb_get(txn, dbi, &k, &v) != 0 ||
        v.mv_size < TD_RECORD_HEAD_BYTES + FORMAT_BYTES)
        return false;
    memcpy(id, (uint8_t *)v.mv_data + TD_RECORD_HEAD_BYTES + 4, 16);
    return true;
}

static tidings_err format_check(struct td_lmdb *s, MDB_val v, unsigned *version,
                                char *why)
{
    struct td_str key = {FORMAT_KEY, FORMAT_KEY_LEN};
    struct td_str stored = {v.mv_data, v.mv_size};
    const uint8_t *value;

    if (!td_record_check(key, stored) ||
        stored.len < TD_RECORD_HEAD_BYTES + FORMAT_BYTES) {
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%.150s is damaged: the record of its format", s->dir);
        return TIDINGS_EIO;
    }
    value = (const uint8_t *)stored.data + TD_RECORD_HEAD_BYTES;
    *version = (unsigned)value[0] << 24 | (unsigned)value[1] << 16 |
               (unsigned)value[2] << 8 | value[3];
    if (*version == 0 || *version > TD_STORE_FORMAT) {
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%.150s has format %u, this program reads %u", s->dir,
                 *version, TD_STORE_FORMAT);
        return TIDINGS_EVERSION;
    }
    memcpy(s->info.id, value + 4, sizeof(s->info.id));
    return TIDINGS_OK;
}

/* The record of the format; an empty file gets one. A folder of the format
 * before has no log, and is of this one from now on: a program that knows of
 * none must not open it. */
static tidings_err format(struct td_lmdb *s, MDB_txn *txn, bool *wrote,
                          char *why)
{
    MDB_val k = {.mv_size = FORMAT_KEY_LEN, .mv_data = (void *)FORMAT_KEY};
    MDB_val v;
    MDB_stat st;
    unsigned version;
    tidings_err err;
    int rc = mdb_get(txn, s->dbi, &k, &v);

    if (!rc) {
        err = format_check(s, v, &version, why);
        if (err || version == TD_STORE_FORMAT)
            return err;
        *wrote = true;
        return td_lmdb_error(td_lmdb_format_write(s, txn));
    }
    if (rc != MDB_NOTFOUND)
        return td_lmdb_say(s, rc, why);
    rc = mdb_stat(txn, s->dbi, &st);
    if (rc || st.ms_entries) {
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%.150s/data.mdb is not a store of tidings", s->dir);
        return TIDINGS_EIO;
    }
    *wrote = true;
    return format_new(s, txn);
}

tidings_err td_lmdb_format(struct td_lmdb *s, char *why)
{
    bool wrote = false;
    tidings_err err;
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (rc)
        return td_lmdb_say(s, rc, why);
    rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    err = rc ? td_lmdb_say(s, rc, why) : format(s, txn, &wrote, why);
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    if (!wrote) /* a handle counts once its transaction is committed */
        return td_lmdb_error(mdb_txn_commit(txn));
    if (!td_lock_mark_open(s->dir_lock,
                           false)) { /* it is not as it was closed */
        rc = errno;
        mdb_txn_abort(txn);
        return td_lmdb_say(s, rc, why);
    }
    rc = mdb_txn_commit(txn);
    if (rc)
        return td_lmdb_say(s, rc, why);
    if (td_lock_sync_dir(s->dir))
        return TIDINGS_OK;
    return td_lmdb_say(s, errno, why);
}
