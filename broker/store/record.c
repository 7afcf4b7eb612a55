#include "broker/store/record.h"

#include <string.h>
#include <xxhash.h>

/* The bytes of the checksum, in their stored order. */
static void sum(uint8_t out[TD_RECORD_HEAD_BYTES], struct td_str key,
                const void *value, size_t len)
{
    XXH64_hash_t hash =
        XXH3_64bits_withSeed(value, len, XXH3_64bits(key.data, key.len));

    for (size_t i = 0; i < TD_RECORD_HEAD_BYTES; i++)
        out[i] = (uint8_t)(hash >> (8 * i));
}

void td_record_seal(uint8_t *place, struct td_str key, size_t len)
{
    sum(place, key, place + TD_RECORD_HEAD_BYTES, len);
}

bool td_record_check(struct td_str key, struct td_str stored)
{
    uint8_t should[TD_RECORD_HEAD_BYTES];

    if (stored.len < TD_RECORD_HEAD_BYTES)
        return false;
    sum(should, key, stored.data + TD_RECORD_HEAD_BYTES,
        stored.len - TD_RECORD_HEAD_BYTES);
    return memcmp(should, stored.data, TD_RECORD_HEAD_BYTES) == 0;
}
