#include "client/seen.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A lack of memory ends nothing here: what could not be added is not in. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->forgotten = true)

#include <uthash.h>
#include <utlist.h>

struct td_seen_producer {
    struct td_seen_producer *prev;
    struct td_seen_producer *next;
    uint64_t fresh; /* it and all above it were not seen */
    uint8_t id[TD_PRODUCER_BYTES];
    bool forgotten; /* there was no memory to add it */
    UT_hash_handle hh;
};

void td_seen_fini(struct td_seen *s)
{
    struct td_seen_producer *p;
    struct td_seen_producer *next;

    HASH_CLEAR(hh, s->table);
    DL_FOREACH_SAFE(s->recent, p, next)
    {
        free(p);
    }
    memset(s, 0, sizeof(*s));
}

/* One to be filled: new, or in the place of the one heard longest ago. */
static struct td_seen_producer *room(struct td_seen *s)
{
    struct td_seen_producer *p = s->recent;

    if (s->len < TD_SEEN_MAX)
        return calloc(1, sizeof(*p));
    DL_DELETE(s->recent, p);
    HASH_DEL(s->table, p);
    s->len--;
    memset(p, 0, sizeof(*p));
    return p;
}

static struct td_seen_producer *add(struct td_seen *s, const uint8_t *id)
{
    struct td_seen_producer *p = room(s);

    if (!p)
        return NULL;
    memcpy(p->id, id, sizeof(p->id));
    HASH_ADD(hh, s->table, id, sizeof(p->id), p);
    if (p->forgotten) {
        free(p);
        return NULL;
    }
    DL_APPEND(s->recent, p);
    s->len++;
    return p;
}

static bool is(const struct td_seen_producer *p, const uint8_t *id)
{
    return memcmp(p->id, id, sizeof(p->id)) == 0;
}

/* Most often it is the one heard last. */
static struct td_seen_producer *find(struct td_seen *s, const uint8_t *id)
{
    struct td_seen_producer *p = s->recent ? s->recent->prev : NULL;

    if (!p || is(p, id))
        return p;
    HASH_FIND(hh, s->table, id, sizeof(p->id), p);
    if (p) {
        DL_DELETE(s->recent, p);
        DL_APPEND(s->recent, p);
    }
    return p;
}

uint64_t td_seen_before(struct td_seen *s,
                        const uint8_t producer[TD_PRODUCER_BYTES],
                        uint64_t first, uint64_t count)
{
    struct td_seen_producer *p = find(s, producer);
    uint64_t before;

    if (!p)
        p = add(s, producer);
    if (!p)
        return 0;
    if (p->fresh >= first + count)
        return count;
    before = p->fresh > first ? p->fresh - first : 0;
    p->fresh = first + count;
    return before;
}
