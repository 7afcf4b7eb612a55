#include "broker/engine/block.h"

#include <string.h>

static int32_t *slot_of(struct td_block *b, int64_t slot)
{
    return &b->spent_ms[slot % TD_BLOCK_SLOTS];
}

/* Forgets the slots that have left the window. */
static void turn_to(struct td_block *b, int64_t slot)
{
    if (slot - b->slot >= TD_BLOCK_SLOTS) {
        memset(b->spent_ms, 0, sizeof(b->spent_ms));
        b->slot = slot;
    }
    while (b->slot < slot)
        *slot_of(b, ++b->slot) = 0;
}

/* Books what was spent since the last time, slot by slot. */
static void settle(struct td_block *b, int64_t now_ms)
{
    while (b->blocking && b->since_ms < now_ms) {
        int64_t slot = b->since_ms / TD_BLOCK_SLOT_MS;
        int64_t end = (slot + 1) * TD_BLOCK_SLOT_MS;

        if (end > now_ms)
            end = now_ms;
        turn_to(b, slot);
        *slot_of(b, slot) += (int32_t)(end - b->since_ms);
        b->total_ms += (uint64_t)(end - b->since_ms);
        b->since_ms = end;
    }
    if (now_ms / TD_BLOCK_SLOT_MS > b->slot)
        turn_to(b, now_ms / TD_BLOCK_SLOT_MS);
}

int64_t td_block_left(struct td_block *b, int64_t now_ms)
{
    int64_t left = TD_BLOCK_MS;

    settle(b, now_ms);
    for (int i = 0; i < TD_BLOCK_SLOTS; i++)
        left -= b->spent_ms[i];
    return left > 0 ? left : 0;
}

void td_block_forgive(struct td_block *b, int64_t pause_ms)
{
    if (b->blocking)
        b->since_ms += pause_ms;
}

void td_block_begin(struct td_block *b, int64_t now_ms)
{
    if (b->blocking)
        return;
    settle(b, now_ms);
    b->blocking = true;
    b->since_ms = now_ms;
}

void td_block_end(struct td_block *b, int64_t now_ms)
{
    settle(b, now_ms);
    b->blocking = false;
}
