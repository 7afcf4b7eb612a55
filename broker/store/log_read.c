/* The log, read: what an unclean stop has left, and the operations in it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/log_inside.h"

/* The head of an entry, as it is in the file. */
struct head {
    uint64_t base;
    uint64_t lap;
    uint32_t bytes;
    uint32_t number;
    uint32_t synced;
    bool base_synced;
};

static uint16_t load16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t load32(const uint8_t *at)
{
    return load16(at) | (uint32_t)load16(at + 2) << 16;
}

static uint64_t load64(const uint8_t *at)
{
    return load32(at) | (uint64_t)load32(at + 4) << 32;
}

/* ---- what an unclean stop has left ---- */

/* A whole entry, wherever it belongs; false: there is none here. */
static bool entry_at(const struct td_store_log *log, size_t at,
                     struct head *out)
{
    const uint8_t *entry = log->bytes + at;
    size_t room = TD_STORE_LOG_BYTES - at;

    if (room < TD_STORE_LOG_HEAD_BYTES ||
        load32(entry + 8) != TD_STORE_LOG_MAGIC)
        return false;
    out->bytes = load32(entry + 12);
    if (out->bytes > room - TD_STORE_LOG_HEAD_BYTES ||
        load64(entry) != td_store_log_sum(log, entry, out->bytes))
        return false;
    out->base = load64(entry + 16);
    out->lap = load64(entry + 24);
    out->number = load32(entry + 32);
    out->synced = load32(entry + 36);
    out->base_synced = load32(entry + 40) != 0;
    return true;
}

/* LMDB had reached this base for good, and has lost it. */
static bool is_behind(const struct head *head, uint64_t transaction,
                      struct td_store_log_found *out)
{
    if (head->base <= transaction || !head->base_synced)
        return false;
    out->behind = true;
    out->base = head->base;
    return true;
}

/* Entries that follow one another, from the front, on LMDB's transaction. */
static uint64_t follow(struct td_store_log *log, uint64_t transaction)
{
    struct head head;
    uint64_t lap = 0;

    log->len = TD_STORE_LOG_BLOCK;
    log->entries = 0;
    while (entry_at(log, log->len, &head) && head.base == transaction &&
           head.number == log->entries + 1 &&
           (log->entries == 0 || head.lap == lap)) {
        lap = head.lap;
        log->entries++;
        log->len += td_store_log_whole(head.bytes);
    }
    return lap;
}

/* Whether an entry behind the last good one says that more was synced, or that
 * LMDB was further. */
static void look_behind(const struct td_store_log *log, uint64_t transaction,
                        uint64_t lap, struct td_store_log_found *out)
{
    struct head head;

    for (size_t at = log->len; at < TD_STORE_LOG_BYTES;
         at += TD_STORE_LOG_STEP) {
        if (!entry_at(log, at, &head))
            continue;
        if (is_behind(&head, transaction, out))
            return;
        if (head.base == transaction && head.synced > log->entries &&
            (log->entries == 0 || head.lap == lap)) {
            out->damaged = true;
            out->bad = log->entries + 1;
            return;
        }
    }
}

int td_store_log_find(struct td_store_log *log, uint64_t transaction,
                      struct td_store_log_found *out)
{
    struct head note;
    size_t len = 0;
    uint64_t lap;

    memset(out, 0, sizeof(*out));
    while (len < TD_STORE_LOG_BYTES) {
        ssize_t n = pread(log->fd, log->bytes + len, TD_STORE_LOG_BYTES - len,
                          (off_t)len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break; /* it was only just made: zeros */
        len += (size_t)n;
    }
    out->note = entry_at(log, 0, &note);
    if (out->note && is_behind(&note, transaction, out))
        return 0;
    lap = follow(log, transaction);
    out->stored = log->entries;
    look_behind(log, transaction, lap, out);
    return 0;
}

/* ---- operations ---- */

static bool next_op(const struct td_store_log *log, struct td_store_log_at *at,
                    struct td_store_log_op *op)
{
    const uint8_t *head = log->bytes + at->at;
    size_t room = at->end - at->at;
    size_t key_len;
    size_t value_len;

    if (room < TD_STORE_LOG_OP_BYTES || head[0] > TD_STORE_DELETE_RANGE)
        return false;
    room -= TD_STORE_LOG_OP_BYTES;
    key_len = load16(head + 2);
    value_len = load32(head + 4);
    if (key_len > room || value_len > room - key_len)
        return false;
    head += TD_STORE_LOG_OP_BYTES;
    op->kind = (enum td_op_kind)head[-(int)TD_STORE_LOG_OP_BYTES];
    op->key = (struct td_str){(const char *)head, key_len};
    op->value = (struct td_str){(const char *)head + key_len, value_len};
    at->at += TD_STORE_LOG_OP_BYTES + key_len + value_len;
    return true;
}

bool td_store_log_next(const struct td_store_log *log, size_t len,
                       struct td_store_log_at *at, struct td_store_log_op *op)
{
    if (at->at == 0)
        at->at = at->end = TD_STORE_LOG_BLOCK;
    while (at->at == at->end) {
        size_t bytes;

        at->at += -at->at % TD_STORE_LOG_STEP; /* to where the next begins */
        if (at->at >= len)
            return false;
        bytes = load32(log->bytes + at->at + 12);
        at->at += TD_STORE_LOG_HEAD_BYTES;
        at->end = at->at + bytes;
    }
    return next_op(log, at, op);
}
