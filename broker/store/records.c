#include "broker/store/records.h"

#include <stdlib.h>
#include <string.h>

#include "broker/store/job.h"

static void unref(struct td_kept_record *record)
{
    if (record && --record->refs == 0)
        free(record);
}

void td_records_fini(struct td_records *map)
{
    for (uint32_t i = 0; i < map->len; i++)
        unref(map->records[i]);
    free(map->records);
    memset(map, 0, sizeof(*map));
}

bool td_records_copy(struct td_records *to, const struct td_records *from)
{
    struct td_records copy = *from;

    copy.cap = from->len;
    copy.records = malloc((from->len + 1u) * sizeof(struct td_kept_record *));
    if (!copy.records)
        return false;
    for (uint32_t i = 0; i < from->len; i++) {
        copy.records[i] = from->records[i];
        copy.records[i]->refs++;
    }
    td_records_fini(to);
    *to = copy;
    return true;
}

uint32_t td_records_find(const struct td_records *map, struct td_str key)
{
    uint32_t low = 0;
    uint32_t high = map->len;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (td_store_compare(map->records[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct td_kept_record *td_records_get(const struct td_records *map,
                                      struct td_str key)
{
    uint32_t i = td_records_find(map, key);

    if (i == map->len || td_store_compare(map->records[i]->key, key) != 0)
        return NULL;
    return map->records[i];
}

static void erase(struct td_records *map, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        map->bytes -= map->records[i]->key.len + map->records[i]->value.len;
        unref(map->records[i]);
    }
    if (to > from)
        memmove(map->records + from, map->records + to,
                (map->len - to) * sizeof(struct td_kept_record *));
    map->len -= to - from;
}

static struct td_kept_record *record_new(const struct td_txn *txn,
                                         const struct td_store_op *op)
{
    struct td_str key = td_store_op_key(txn, op);
    struct td_str head = td_store_op_value(txn, op);
    size_t len = key.len + head.len + op->len;
    struct td_kept_record *record = malloc(sizeof(*record) + len);

    if (!record)
        return NULL;
    record->refs = 1;
    record->damaged = false;
    record->key = (struct td_str){record->bytes, key.len};
    record->value =
        (struct td_str){record->bytes + key.len, head.len + op->len};
    memcpy(record->bytes, key.data, key.len);
    memcpy(record->bytes + key.len, head.data, head.len);
    if (op->body)
        memcpy(record->bytes + key.len + head.len, op->body->data + op->offset,
               op->len);
    return record;
}

static bool room_for_one(struct td_records *map)
{
    uint32_t cap = map->cap ? 2 * map->cap : 16;
    struct td_kept_record **records;

    if (map->len < map->cap)
        return true;
    records = realloc(map->records, cap * sizeof(struct td_kept_record *));
    if (!records)
        return false;
    map->records = records;
    map->cap = cap;
    return true;
}

static bool put(struct td_records *map, const struct td_txn *txn,
                const struct td_store_op *op)
{
    struct td_kept_record *record = record_new(txn, op);
    uint32_t i;

    if (!record || !room_for_one(map)) {
        unref(record);
        return false;
    }
    i = td_records_find(map, record->key);
    if (i < map->len &&
        td_store_compare(map->records[i]->key, record->key) == 0)
        erase(map, i, i + 1);
    memmove(map->records + i + 1, map->records + i,
            (map->len - i) * sizeof(struct td_kept_record *));
    map->records[i] = record;
    map->len++;
    map->bytes += record->key.len + record->value.len;
    return true;
}

static void delete_range(struct td_records *map, struct td_str from,
                         struct td_str to)
{
    uint32_t begin = td_records_find(map, from);
    uint32_t end = to.len ? td_records_find(map, to) : map->len;

    if (begin < end)
        erase(map, begin, end);
}

bool td_records_apply(struct td_records *map, const struct td_txn *txn)
{
    for (uint32_t i = 0; i < txn->len; i++) {
        const struct td_store_op *op = &txn->ops[i];
        struct td_str key = td_store_op_key(txn, op);
        uint32_t at;

        switch (op->kind) {
        case TD_STORE_PUT:
            if (!put(map, txn, op))
                return false;
            break;
        case TD_STORE_DELETE:
            at = td_records_find(map, key);
            if (at < map->len &&
                td_store_compare(map->records[at]->key, key) == 0)
                erase(map, at, at + 1);
            break;
        case TD_STORE_DELETE_RANGE:
            delete_range(map, key, td_store_op_value(txn, op));
            break;
        }
    }
    return true;
}
