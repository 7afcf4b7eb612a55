#include "broker/engine/keyspace.h"

#include <string.h>

#include "broker/engine/bytes.h"

const char *const td_death_names[TD_DEATHS] = {"max_deliver", "term"};

/* ---- records ---- */

#define RECORD_BYTES TD_RECORD_GONE_BYTES /* before the table */

void td_record_pack(struct td_buf *out, const struct td_record_head *head)
{
    uint8_t bytes[RECORD_BYTES] = {TD_VALUE_VERSION, head->gone};
    uint8_t *p = td_put_u32(bytes + 2, head->events);

    p = td_put_u64(p, head->previous);
    p = td_put_u64(p, (uint64_t)head->stored_ms);
    td_put_u32(p, (uint32_t)head->table.len);
    td_buf_append(out, bytes, sizeof(bytes));
    td_buf_append(out, head->table.data, head->table.len);
}

bool td_record_read(struct td_str value, struct td_record_head *out)
{
    const uint8_t *p = td_bytes_of(value);
    size_t table_len;

    if (value.len < RECORD_BYTES || p[0] != TD_VALUE_VERSION || p[1] > 1)
        return false;
    out->gone = p[1];
    out->events = td_get_u32(p + 2);
    out->previous = td_get_u64(p + 6);
    out->stored_ms = (int64_t)td_get_u64(p + 14);
    table_len = td_get_u32(p + 22);
    if (out->events == 0 ||
        out->events > (out->gone ? TD_GAP_EVENTS_MAX : TD_EVENTS_MAX) ||
        table_len > value.len - RECORD_BYTES ||
        (out->gone && value.len != RECORD_BYTES))
        return false;
    out->table = (struct td_str){value.data + RECORD_BYTES, table_len};
    out->body = (struct td_str){out->table.data + table_len,
                                value.len - RECORD_BYTES - table_len};
    return true;
}

/* ---- states ---- */

/* Format 2 of a folder knew nothing of names. */
#define STATE_BYTES_2 41u
#define STATE_BYTES   49u

void td_state_pack(struct td_buf *out, const struct td_stream_state *state)
{
    uint8_t bytes[STATE_BYTES] = {TD_VALUE_VERSION};
    uint8_t *p = td_put_u64(bytes + 1, state->first);

    p = td_put_u64(p, state->next);
    p = td_put_u64(p, state->last_record);
    p = td_put_u64(p, state->bytes);
    p = td_put_u64(p, (uint64_t)state->stored_ms);
    td_put_u64(p, state->indexed);
    td_buf_append(out, bytes, sizeof(bytes));
}

bool td_state_read(struct td_str value, struct td_stream_state *out)
{
    const uint8_t *p = td_bytes_of(value);

    if ((value.len != STATE_BYTES && value.len != STATE_BYTES_2) ||
        p[0] != TD_VALUE_VERSION)
        return false;
    out->first = td_get_u64(p + 1);
    out->next = td_get_u64(p + 9);
    out->last_record = td_get_u64(p + 17);
    out->bytes = td_get_u64(p + 25);
    out->stored_ms = (int64_t)td_get_u64(p + 33);
    out->purged = 0;
    out->indexed = value.len == STATE_BYTES ? td_get_u64(p + 41) : out->next;
    return out->first > 0 && out->first <= out->next &&
           out->last_record < out->next && out->indexed <= out->next;
}

#define LAST_BYTES 9u

void td_last_row_pack(struct td_buf *out, uint64_t sequence)
{
    uint8_t bytes[LAST_BYTES] = {TD_VALUE_VERSION};

    td_put_u64(bytes + 1, sequence);
    td_buf_append(out, bytes, sizeof(bytes));
}

bool td_last_row_read(struct td_str value, uint64_t *sequence)
{
    const uint8_t *p = td_bytes_of(value);

    if (value.len != LAST_BYTES || p[0] != TD_VALUE_VERSION)
        return false;
    *sequence = td_get_u64(p + 1);
    return *sequence > 0;
}

/* ---- chosen ids ---- */

#define DEDUP_BYTES 9u /* before those of the record */

void td_dedup_row_begin(struct td_buf *out, int64_t stored_ms)
{
    uint8_t bytes[DEDUP_BYTES] = {TD_VALUE_VERSION};

    td_put_u64(bytes + 1, (uint64_t)stored_ms);
    td_buf_append(out, bytes, sizeof(bytes));
}

void td_dedup_row_add(struct td_buf *out, uint32_t place,
                      const uint8_t hash[TD_DEDUP_HASH_BYTES])
{
    uint8_t bytes[TD_DEDUP_ROW_BYTES];

    memcpy(td_put_u32(bytes, place), hash, TD_DEDUP_HASH_BYTES);
    td_buf_append(out, bytes, sizeof(bytes));
}

const uint8_t *td_dedup_row_nth(const struct td_dedup_row *row, uint32_t nth,
                                uint32_t *place)
{
    const uint8_t *at =
        td_bytes_of(row->rows) + (size_t)nth * TD_DEDUP_ROW_BYTES;

    *place = td_get_u32(at);
    return at + 4;
}

bool td_dedup_row_read(struct td_str value, struct td_dedup_row *out)
{
    uint32_t place;
    uint32_t next;

    if (value.len <= DEDUP_BYTES || td_bytes_of(value)[0] != TD_VALUE_VERSION ||
        (value.len - DEDUP_BYTES) % TD_DEDUP_ROW_BYTES != 0)
        return false;
    out->stored_ms = (int64_t)td_get_u64(td_bytes_of(value) + 1);
    out->rows =
        (struct td_str){value.data + DEDUP_BYTES, value.len - DEDUP_BYTES};
    td_dedup_row_nth(out, 0, &place);
    for (uint32_t i = 1; i < out->rows.len / TD_DEDUP_ROW_BYTES; i++) {
        td_dedup_row_nth(out, i, &next);
        if (next <= place)
            return false;
        place = next;
    }
    return out->stored_ms >= 0;
}

/* ---- producers ---- */

#define STORED_BYTES 17u /* before the holes */

void td_stored_pack(struct td_buf *out, const struct td_stored *stored)
{
    uint8_t bytes[STORED_BYTES + sizeof(stored->holes)] = {TD_VALUE_VERSION};
    uint8_t *p = td_put_u64(bytes + 1, stored->sequence);

    p = td_put_u64(p, stored->unsure);
    for (uint32_t i = 0; i < stored->holes_len; i++)
        p = td_put_u64(td_put_u64(p, stored->holes[i].first),
                       stored->holes[i].last);
    td_buf_append(out, bytes, (size_t)(p - bytes));
}

bool td_stored_read(struct td_str value, struct td_stored *out)
{
    const uint8_t *p = td_bytes_of(value);

    if (value.len < STORED_BYTES || (value.len - STORED_BYTES) % 16 != 0 ||
        (value.len - STORED_BYTES) / 16 > TD_HOLES_MAX ||
        p[0] != TD_VALUE_VERSION)
        return false;
    out->sequence = td_get_u64(p + 1);
    out->unsure = td_get_u64(p + 9);
    out->holes_len = (uint32_t)((value.len - STORED_BYTES) / 16);
    p += STORED_BYTES;
    for (uint32_t i = 0; i < out->holes_len; i++, p += 16)
        out->holes[i] = (struct td_hole){td_get_u64(p), td_get_u64(p + 8)};
    return true;
}

/* ---- groups ---- */

#define GROUP_BYTES 14u /* before the options */

void td_group_row_pack(struct td_buf *out, const struct td_group_row *row)
{
    uint8_t bytes[GROUP_BYTES] = {TD_VALUE_VERSION, row->paused};

    td_put_u64(td_put_u32(bytes + 2, row->stream),
               (uint64_t)row->paused_until_ms);
    td_buf_append(out, bytes, sizeof(bytes));
    td_buf_append(out, row->options.data, row->options.len);
}

bool td_group_row_read(struct td_str value, struct td_group_row *out)
{
    const uint8_t *p = td_bytes_of(value);

    if (value.len < GROUP_BYTES || p[0] != TD_VALUE_VERSION || p[1] > 1)
        return false;
    out->paused = p[1];
    out->stream = td_get_u32(p + 2);
    out->paused_until_ms = (int64_t)td_get_u64(p + 6);
    out->options =
        (struct td_str){value.data + GROUP_BYTES, value.len - GROUP_BYTES};
    return true;
}

#define FLOOR_BYTES_2 17u /* of format 2 */
#define FLOOR_BYTES_3 25u /* written before losses were kept */
#define FLOOR_BYTES_4 49u /* written before dead_from was */
#define FLOOR_BYTES   66u

void td_floor_pack(struct td_buf *out, const struct td_floor *floor)
{
    uint8_t bytes[FLOOR_BYTES] = {TD_VALUE_VERSION};
    uint8_t *p = td_put_u64(bytes + 1, floor->floor);

    p = td_put_u64(p, floor->dead_next);
    p = td_put_u64(p, floor->newest_to);
    p = td_put_u64(p, floor->untold.events);
    p = td_put_u64(p, floor->untold.first);
    p = td_put_u64(p, floor->untold.last);
    p = td_put_u64(p, floor->dead_from);
    *p = floor->seeking;
    td_put_u64(p + 1, (uint64_t)floor->sought_ms);
    td_buf_append(out, bytes, sizeof(bytes));
}

static bool read_lost(const uint8_t *p, struct td_lost *out)
{
    out->events = td_get_u64(p);
    out->first = td_get_u64(p + 8);
    out->last = td_get_u64(p + 16);
    if (out->events == 0)
        return out->first == 0 && out->last == 0;
    return out->first > 0 && out->first <= out->last &&
           out->last <= INT64_MAX && out->events <= INT64_MAX;
}

bool td_floor_read(struct td_str value, struct td_floor *out)
{
    const uint8_t *p = td_bytes_of(value);

    if ((value.len != FLOOR_BYTES && value.len != FLOOR_BYTES_2 &&
         value.len != FLOOR_BYTES_3 && value.len != FLOOR_BYTES_4) ||
        p[0] != TD_VALUE_VERSION)
        return false;
    out->floor = td_get_u64(p + 1);
    out->dead_next = td_get_u64(p + 9);
    out->newest_to = value.len >= FLOOR_BYTES_3 ? td_get_u64(p + 17) : 0;
    out->dead_from = value.len >= FLOOR_BYTES ? td_get_u64(p + 49) : 0;
    out->seeking = value.len >= FLOOR_BYTES && p[57];
    out->sought_ms = out->seeking ? (int64_t)td_get_u64(p + 58) : 0;
    out->untold = (struct td_lost){0};
    return out->floor > 0 && out->dead_next > 0 &&
           out->dead_from <= out->dead_next &&
           (value.len < FLOOR_BYTES_4 || read_lost(p + 25, &out->untold));
}

/* ---- the dead ---- */

#define DEAD_VERSION 2u
#define DEAD_BYTES_1 36u /* of version 1 */
#define DEAD_BYTES   37u /* before the error, the handler, the table, the body */

void td_dead_row_pack(struct td_buf *out, const struct td_dead_row *row)
{
    uint8_t bytes[DEAD_BYTES] = {DEAD_VERSION, (uint8_t)row->why, row->redrive,
                                 (uint8_t)row->error.len};
    uint8_t *p = td_put_u64(bytes + 4, row->sequence);

    p = td_put_u32(p, row->deliveries);
    p = td_put_u64(p, (uint64_t)row->first_ms);
    p = td_put_u64(p, (uint64_t)row->last_ms);
    p = td_put_u32(p, (uint32_t)row->table.len);
    *p = (uint8_t)row->handler.len;
    td_buf_append(out, bytes, sizeof(bytes));
    td_buf_append(out, row->error.data, row->error.len);
    td_buf_append(out, row->handler.data, row->handler.len);
    td_buf_append(out, row->table.data, row->table.len);
    td_buf_append(out, row->body.data, row->body.len);
}

/* The next so many bytes; false: there are fewer. */
static bool take(struct td_str *from, size_t len, struct td_str *out)
{
    if (len > from->len)
        return false;
    *out = (struct td_str){from->data, len};
    *from = (struct td_str){from->data + len, from->len - len};
    return true;
}

bool td_dead_row_read(struct td_str value, struct td_dead_row *out)
{
    const uint8_t *p = td_bytes_of(value);
    bool old = value.len >= DEAD_BYTES_1 && p[0] == TD_VALUE_VERSION;
    struct td_str head;

    if (!take(&value, old ? DEAD_BYTES_1 : DEAD_BYTES, &head) ||
        (!old && p[0] != DEAD_VERSION) || p[1] >= TD_DEATHS || p[2] > 1 ||
        !take(&value, p[3], &out->error) ||
        !take(&value, old ? 0 : p[36], &out->handler) ||
        !take(&value, td_get_u32(p + 32), &out->table))
        return false;
    out->why = (enum td_death)p[1];
    out->redrive = p[2];
    out->sequence = td_get_u64(p + 4);
    out->deliveries = td_get_u32(p + 12);
    out->first_ms = (int64_t)td_get_u64(p + 16);
    out->last_ms = (int64_t)td_get_u64(p + 24);
    out->body = value;
    return true;
}

/* ---- what waits for its time ---- */

#define SCHEDULE_BYTES 13u /* before the table and the body */

void td_schedule_row_pack(struct td_buf *out, const struct td_schedule_row *row)
{
    uint8_t bytes[SCHEDULE_BYTES] = {TD_VALUE_VERSION};

    td_put_u32(td_put_u64(bytes + 1, row->next), (uint32_t)row->table.len);
    td_buf_append(out, bytes, sizeof(bytes));
    td_buf_append(out, row->table.data, row->table.len);
    td_buf_append(out, row->body.data, row->body.len);
}

bool td_schedule_row_read(struct td_str value, struct td_schedule_row *out)
{
    const uint8_t *p = td_bytes_of(value);
    size_t table_len;

    if (value.len < SCHEDULE_BYTES || p[0] != TD_VALUE_VERSION)
        return false;
    out->next = td_get_u64(p + 1);
    table_len = td_get_u32(p + 9);
    if (table_len > value.len - SCHEDULE_BYTES ||
        (out->next > 0) != (value.len == SCHEDULE_BYTES))
        return false;
    out->table = (struct td_str){value.data + SCHEDULE_BYTES, table_len};
    out->body = (struct td_str){out->table.data + table_len,
                                value.len - SCHEDULE_BYTES - table_len};
    return true;
}
