#include "broker/engine/slots.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 256u /* things in one piece of memory */

void td_slots_fini(struct td_slots *s)
{
    for (uint32_t i = 0; i < s->chunks_len; i++)
        free(s->chunks[i]);
    free(s->chunks);
    s->chunks = NULL;
    s->chunks_len = s->len = 0;
    s->free = NULL;
}

static struct td_slot *at(const struct td_slots *s, uint32_t place)
{
    return (struct td_slot *)(void *)(s->chunks[place / CHUNK] +
                                      place % CHUNK * s->size);
}

/* One more chunk, all of it free. */
static bool grow(struct td_slots *s)
{
    uint32_t n = s->chunks_len;
    uint8_t **chunks;

    if (n * CHUNK >= s->max)
        return false;
    chunks = realloc(s->chunks, (n + 1) * sizeof(*chunks));
    if (!chunks)
        return false;
    s->chunks = chunks;
    chunks[n] = calloc(CHUNK, s->size);
    if (!chunks[n])
        return false;
    s->chunks_len++;
    for (uint32_t place = s->chunks_len * CHUNK; place-- > n * CHUNK;) {
        struct td_slot *slot = at(s, place);

        slot->place = place;
        slot->next = s->free;
        s->free = slot;
    }
    return true;
}

void *td_slots_take(struct td_slots *s)
{
    struct td_slot *slot;
    uint32_t place;

    if (s->len >= s->max || (!s->free && !grow(s)))
        return NULL;
    slot = s->free;
    place = slot->place;
    s->free = slot->next;
    memset(slot, 0, s->size);
    slot->place = place;
    slot->taken = true;
    s->len++;
    return slot;
}

void td_slots_give(struct td_slots *s, void *one)
{
    struct td_slot *slot = one;

    slot->taken = false;
    slot->next = s->free;
    s->free = slot;
    s->len--;
}

void *td_slots_at(const struct td_slots *s, uint32_t place)
{
    struct td_slot *slot;

    if (place >= s->chunks_len * CHUNK)
        return NULL;
    slot = at(s, place);
    return slot->taken ? slot : NULL;
}
