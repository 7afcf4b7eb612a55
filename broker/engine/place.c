/* Keys of the store: written, and read. */
#include "broker/engine/keyspace.h"

#include <string.h>

#include "broker/engine/bytes.h"

struct td_str td_place_str(const struct td_place *place)
{
    return (struct td_str){(const char *)place->bytes, place->len};
}

struct td_place td_place_table(enum td_table table)
{
    return (struct td_place){.bytes = {(uint8_t)table}, .len = 1};
}

struct td_place td_place_one(enum td_table table, uint32_t a)
{
    struct td_place place = td_place_table(table);

    td_put_u32(place.bytes + 1, a);
    place.len = 5;
    return place;
}

struct td_place td_place_two(enum td_table table, uint32_t a, uint64_t b)
{
    struct td_place place = td_place_one(table, a);

    td_put_u64(place.bytes + 5, b);
    place.len = 13;
    return place;
}

struct td_place td_place_again(const struct td_place *key)
{
    struct td_place place = *key;

    place.bytes[place.len++] = 0;
    return place;
}

struct td_place td_place_producer(const uint8_t producer[TD_PRODUCER_BYTES])
{
    struct td_place place = td_place_table(TD_TABLE_PRODUCER);

    memcpy(place.bytes + 1, producer, TD_PRODUCER_BYTES);
    place.len = 1 + TD_PRODUCER_BYTES;
    return place;
}

struct td_place td_place_due(int64_t due_ms, uint64_t number)
{
    struct td_place place = td_place_table(TD_TABLE_SCHEDULE);

    td_put_u64(td_put_u64(place.bytes + 1, (uint64_t)due_ms), number);
    place.len = 17;
    return place;
}

struct td_place td_place_last(uint32_t stream,
                              const uint8_t hash[TD_LAST_HASH_BYTES])
{
    struct td_place place = td_place_one(TD_TABLE_LAST, stream);

    memcpy(place.bytes + place.len, hash, TD_LAST_HASH_BYTES);
    place.len += TD_LAST_HASH_BYTES;
    return place;
}

static bool is_of(struct td_str key, enum td_table table, size_t len)
{
    return key.len == len && td_bytes_of(key)[0] == (uint8_t)table;
}

bool td_place_read_one(struct td_str key, enum td_table table, uint32_t *a)
{
    if (!is_of(key, table, 5))
        return false;
    *a = td_get_u32(td_bytes_of(key) + 1);
    return true;
}

bool td_place_read_twice(struct td_str key, enum td_table table, uint32_t *a,
                         bool *again)
{
    *again = is_of(key, table, 6) && key.data[5] == 0;
    if (*again)
        key.len--;
    return td_place_read_one(key, table, a);
}

bool td_place_read_two(struct td_str key, enum td_table table, uint32_t *a,
                       uint64_t *b)
{
    if (!is_of(key, table, 13))
        return false;
    *a = td_get_u32(td_bytes_of(key) + 1);
    *b = td_get_u64(td_bytes_of(key) + 5);
    return true;
}

bool td_place_read_producer(struct td_str key, struct td_str *producer)
{
    if (!is_of(key, TD_TABLE_PRODUCER, 1 + TD_PRODUCER_BYTES))
        return false;
    *producer = (struct td_str){key.data + 1, TD_PRODUCER_BYTES};
    return true;
}

bool td_place_read_due(struct td_str key, int64_t *due_ms, uint64_t *number)
{
    if (!is_of(key, TD_TABLE_SCHEDULE, 17))
        return false;
    *due_ms = (int64_t)(td_get_u64(td_bytes_of(key) + 1) & INT64_MAX);
    *number = td_get_u64(td_bytes_of(key) + 9);
    return true;
}

bool td_place_read_last(struct td_str key, uint32_t *stream,
                        const uint8_t **hash)
{
    if (!is_of(key, TD_TABLE_LAST, 5 + TD_LAST_HASH_BYTES))
        return false;
    *stream = td_get_u32(td_bytes_of(key) + 1);
    *hash = td_bytes_of(key) + 5;
    return true;
}
