#include "broker/engine/keys.h"

#include "proto/scan.h"

#include <stdlib.h>

void td_keys_fini(struct td_keys *k)
{
    struct td_key *key;
    struct td_key *next;

    HASH_ITER(hh, k->table, key, next)
    {
        HASH_DELETE(hh, k->table, key);
        free(key);
    }
}

static struct td_key *find(const struct td_keys *k, uint64_t hash)
{
    struct td_key *key;

    HASH_FIND(hh, k->table, &hash, sizeof(hash), key);
    return key;
}

struct td_sub *td_keys_holder(const struct td_keys *k, uint64_t hash)
{
    const struct td_key *key = find(k, hash);

    return key ? key->holder : NULL;
}

bool td_keys_take(struct td_keys *k, uint64_t hash, struct td_sub *holder)
{
    struct td_key *key = find(k, hash);

    if (key) {
        key->events++;
        return true;
    }
    key = calloc(1, sizeof(*key));
    if (!key)
        return false;
    key->hash = hash;
    key->holder = holder;
    key->events = 1;
    HASH_ADD(hh, k->table, hash, sizeof(key->hash), key);
    if (key->hh_failed) {
        free(key);
        return false;
    }
    return true;
}

void td_keys_release(struct td_keys *k, uint64_t hash)
{
    struct td_key *key = find(k, hash);

    if (!key || --key->events > 0)
        return;
    HASH_DELETE(hh, k->table, key);
    free(key);
}

void td_keys_drop(struct td_keys *k, const struct td_sub *holder)
{
    struct td_key *key;
    struct td_key *next;

    HASH_ITER(hh, k->table, key, next)
    {
        if (key->holder != holder)
            continue;
        HASH_DELETE(hh, k->table, key);
        free(key);
    }
}

/* FNV-1a, folded over so that no key hashes to 0. */
static uint64_t hash_of(struct td_str key)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (uint8_t)key.data[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}

uint64_t td_key_of(const struct td_event *event)
{
    struct td_str key = {NULL, 0};

    if (event->attrs.len == 0 ||
        !td_map_str(event->attrs, "partitionkey", &key) || !key.data)
        return 0;
    return hash_of(key);
}
