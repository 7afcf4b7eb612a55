#include "client/parked.h"

#include <stdlib.h>

struct td_parked *td_parked_new(void)
{
    struct td_parked *p = calloc(1, sizeof(*p));

    if (p)
        pthread_mutex_init(&p->lock, NULL);
    return p;
}

void td_parked_free(struct td_parked *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    free(p);
}

uint64_t td_parked_hash(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (; key && *key; key++)
        hash = (hash ^ (uint8_t)*key) * 0x100000001b3u;
    return hash;
}

/* ---- with the lock ---- */

/* Without it: who adds a key asks about later ones on the same thread. */
static bool is_any(const struct td_parked *p)
{
    return atomic_load_explicit(&p->len, memory_order_acquire) > 0 ||
           atomic_load_explicit(&p->all_parked, memory_order_acquire);
}

static struct td_parked_key *find(struct td_parked *p, uint64_t hash)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->key[i].hash == hash)
            return &p->key[i];
    }
    return NULL;
}

static void drop(struct td_parked *p, struct td_parked_key *key)
{
    *key = p->key[p->len - 1];
    p->len--;
}

static void set(struct td_parked_key *key, uint64_t hash, uint64_t tag)
{
    *key =
        (struct td_parked_key){.hash = hash, .tag = tag, .until = UINT64_MAX};
}

static void tell(struct td_parked_key *key, uint64_t first, uint64_t last,
                 uint64_t ping)
{
    if (key->tag >= first && key->tag <= last)
        key->ping = ping;
}

static void answer(struct td_parked_key *key, uint64_t ping, uint64_t received)
{
    if (key->ping && key->ping <= ping && key->until == UINT64_MAX)
        key->until = received;
}

/* ---- keys ---- */

void td_parked_add(struct td_parked *p, uint64_t hash, uint64_t tag)
{
    struct td_parked_key *key;

    pthread_mutex_lock(&p->lock);
    key = find(p, hash);
    if (!key && p->len < TD_PARKED_KEYS_MAX)
        key = &p->key[p->len++];
    if (!key) {
        p->all_parked = true;
        key = &p->all;
    }
    set(key, hash, tag);
    pthread_mutex_unlock(&p->lock);
}

void td_parked_add_all(struct td_parked *p, uint64_t tag)
{
    pthread_mutex_lock(&p->lock);
    p->all_parked = true;
    set(&p->all, 0, tag);
    pthread_mutex_unlock(&p->lock);
}

static bool holds(struct td_parked *p, uint64_t hash, uint64_t tag)
{
    struct td_parked_key *key = find(p, hash);

    if (p->all_parked) {
        if (tag <= p->all.until)
            return true;
        p->all_parked = false;
    }
    if (!key)
        return false;
    if (tag <= key->until)
        return true;
    drop(p, key);
    return false;
}

bool td_parked_holds(struct td_parked *p, uint64_t hash, uint64_t tag)
{
    bool held;

    if (!is_any(p))
        return false;
    pthread_mutex_lock(&p->lock);
    held = holds(p, hash, tag);
    pthread_mutex_unlock(&p->lock);
    return held;
}

void td_parked_told(struct td_parked *p, uint64_t first, uint64_t last,
                    uint64_t ping)
{
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->len; i++)
        tell(&p->key[i], first, last, ping);
    tell(&p->all, first, last, ping);
    pthread_mutex_unlock(&p->lock);
}

void td_parked_answered(struct td_parked *p, uint64_t ping, uint64_t received,
                        uint64_t taken)
{
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = p->len; i-- > 0;) {
        answer(&p->key[i], ping, received);
        if (p->key[i].until <= taken)
            drop(p, &p->key[i]);
    }
    answer(&p->all, ping, received);
    if (p->all_parked && p->all.until <= taken)
        p->all_parked = false;
    pthread_mutex_unlock(&p->lock);
}

void td_parked_clear(struct td_parked *p)
{
    pthread_mutex_lock(&p->lock);
    p->len = 0;
    p->all_parked = false;
    pthread_mutex_unlock(&p->lock);
}
