/* Which of a producer's sequences are stored: all up to the last one, but for
 * holes. There are few: a hole is what was refused, or lost with a commit that
 * failed. When there are too many the oldest is forgotten, and all up to its end
 * counts as not stored: better twice than never. */
#include "broker/engine/append.h"

#include <string.h>

/* The hole that holds the sequence, or the first one after it; holes_len:
 * neither. */
static uint32_t hole_at(const struct td_stored *stored, uint64_t sequence)
{
    uint32_t i = 0;

    while (i < stored->holes_len && stored->holes[i].last < sequence)
        i++;
    return i;
}

bool td_stored_has(const struct td_stored *stored, uint64_t sequence)
{
    uint32_t i = hole_at(stored, sequence);

    if (sequence > stored->sequence || sequence <= stored->unsure)
        return false;
    return i == stored->holes_len || sequence < stored->holes[i].first;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t td_stored_alike(const struct td_stored *stored, uint64_t first,
                         uint64_t count)
{
    uint32_t i = hole_at(stored, first);
    uint64_t end = first + count; /* of what is alike */

    if (first > stored->sequence)
        return count;
    if (first <= stored->unsure)
        return least(end, stored->unsure + 1) - first;
    end = least(end, stored->sequence + 1);
    if (i < stored->holes_len && first >= stored->holes[i].first)
        end = least(end, stored->holes[i].last + 1);
    else if (i < stored->holes_len)
        end = least(end, stored->holes[i].first);
    return end - first;
}

static void remove_hole(struct td_stored *stored, uint32_t i)
{
    stored->holes_len--;
    memmove(&stored->holes[i], &stored->holes[i + 1],
            (stored->holes_len - i) * sizeof(stored->holes[0]));
}

static void insert_hole(struct td_stored *stored, uint32_t i,
                        struct td_hole hole)
{
    if (stored->holes_len == TD_HOLES_MAX) { /* the oldest is forgotten */
        struct td_hole oldest = i == 0 ? hole : stored->holes[0];

        if (oldest.last > stored->unsure)
            stored->unsure = oldest.last;
        if (i == 0)
            return;
        remove_hole(stored, 0);
        i--;
    }
    memmove(&stored->holes[i + 1], &stored->holes[i],
            (stored->holes_len - i) * sizeof(stored->holes[0]));
    stored->holes[i] = hole;
    stored->holes_len++;
}

/* Takes first to last out of one hole. */
static void fill_hole(struct td_stored *stored, uint32_t i, uint64_t first,
                      uint64_t last)
{
    struct td_hole hole = stored->holes[i];

    remove_hole(stored, i);
    if (hole.last > last)
        insert_hole(stored, i, (struct td_hole){last + 1, hole.last});
    if (hole.first < first)
        insert_hole(stored, i, (struct td_hole){hole.first, first - 1});
}

void td_stored_add(struct td_stored *stored, uint64_t first, uint64_t last)
{
    for (uint32_t i = stored->holes_len; i-- > 0;) {
        if (i < stored->holes_len && stored->holes[i].first <= last &&
            stored->holes[i].last >= first)
            fill_hole(stored, i,
                      first > stored->holes[i].first ? first
                                                     : stored->holes[i].first,
                      least(last, stored->holes[i].last));
    }
    if (last > stored->sequence)
        stored->sequence = last;
}

void td_stored_lose(struct td_stored *stored, uint64_t first, uint64_t last)
{
    uint32_t i;

    if (first > last)
        return;
    i = hole_at(stored, first > 1 ? first - 1 : first);
    while (i < stored->holes_len && stored->holes[i].first <= last + 1) {
        if (stored->holes[i].first < first)
            first = stored->holes[i].first;
        if (stored->holes[i].last > last)
            last = stored->holes[i].last;
        remove_hole(stored, i);
    }
    insert_hole(stored, i, (struct td_hole){first, last});
}
