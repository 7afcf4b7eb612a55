/* Operations, as LMDB does them: those of a transaction, and those of the
 * log. */
#include "broker/store/lmdb_store.h"

#include <string.h>

#include "broker/store/record.h"

static MDB_val val_of(struct td_str str)
{
    return (MDB_val){.mv_size = str.len, .mv_data = (void *)str.data};
}

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

int td_lmdb_apply(MDB_txn *txn, MDB_dbi dbi, const struct td_txn *from)
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

/* ---- of the log ---- */

static int apply_op(MDB_txn *txn, MDB_dbi dbi, const struct td_store_log_op *op)
{
    MDB_val k = val_of(op->key);
    MDB_val v = val_of(op->value);

    switch (op->kind) {
    case TD_STORE_PUT:
        return mdb_put(txn, dbi, &k, &v, 0);
    case TD_STORE_DELETE:
        return delete_one(txn, dbi, op->key);
    case TD_STORE_DELETE_RANGE:
        return delete_range(txn, dbi, op->key, op->value);
    }
    return MDB_CORRUPTED;
}

int td_lmdb_apply_log(MDB_txn *txn, MDB_dbi dbi, const struct td_store_log *log)
{
    struct td_store_log_at at = {0, 0};
    struct td_store_log_op op;
    int rc = 0;

    while (!rc && td_store_log_next(log, log->len, &at, &op))
        rc = apply_op(txn, dbi, &op);
    return rc;
}
