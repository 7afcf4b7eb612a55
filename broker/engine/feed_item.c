/* Items of records that were read. */
#include "broker/engine/internal.h"

struct td_item *td_feed_keep(struct td_engine *e, const struct td_batch *batch,
                             struct td_body *bytes, size_t offset)
{
    struct td_item *item;
    struct td_body *copy;

    /* Bytes are kept whole, so only for what is most of them. */
    if (batch->bytes >= bytes->len / 2)
        return td_item_new(batch, bytes, offset, &e->held_bytes);
    copy = td_body_copy(bytes->data + offset, batch->bytes);
    item = copy ? td_item_new(batch, copy, 0, &e->held_bytes) : NULL;
    td_body_unref(copy);
    return item;
}

struct td_item *td_feed_batch(struct td_engine *e,
                              const struct td_record_head *head,
                              struct td_body *bytes, uint32_t *events)
{
    struct td_item *item;
    const char *why;
    size_t offset;

    *events = 1;
    if (!td_scan(head->table.data, head->table.len, &td_scan_control) ||
        td_batches_read(&e->batches, head->table, head->body.len, &why) ||
        e->batches.len != 1 || e->batches.events != head->events)
        return NULL;
    offset = (size_t)((const uint8_t *)head->body.data - bytes->data);
    item = td_feed_keep(e, &e->batches.batch[0], bytes, offset);
    *events = item ? head->events : 0;
    return item;
}

struct td_item *td_feed_item(struct td_engine *e,
                             const struct td_record *record,
                             struct td_body *bytes, uint64_t *first,
                             uint32_t *events)
{
    struct td_record_head head;
    struct td_item *item;
    uint32_t id;

    *events = 1;
    *first = 0;
    if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, first) ||
        record->damaged || !td_record_read(record->value, &head))
        return NULL;
    item = td_feed_batch(e, &head, bytes, events);
    if (item)
        item->sequence = *first;
    return item;
}

bool td_feed_is_gone(const struct td_record *record, uint64_t *first,
                     uint32_t *events)
{
    struct td_record_head head;
    uint32_t id;

    if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, first) ||
        record->damaged || !td_record_read(record->value, &head) || !head.gone)
        return false;
    *events = head.events;
    return true;
}
