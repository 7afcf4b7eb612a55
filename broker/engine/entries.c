/* The newest records of a stream, as far as they are known without reading:
 * where each begins, and of the last ones the events themselves. */
#include "broker/engine/streams.h"

static struct td_entry *nth_of(const struct td_stream *stream, uint32_t nth)
{
    return td_fifo_nth(&stream->entries, nth);
}

bool td_entry_find(const struct td_stream *stream, uint64_t sequence,
                   uint32_t *nth)
{
    uint32_t low = 0;
    uint32_t high = stream->entries.len;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct td_entry *entry = nth_of(stream, middle);

        if (sequence < entry->first) {
            high = middle;
        } else if (sequence >= entry->first + entry->events) {
            low = middle + 1;
        } else {
            *nth = middle;
            return true;
        }
    }
    return false;
}

static void let_go(struct td_stream *stream, struct td_entry *entry)
{
    if (!entry->item)
        return;
    stream->tail_bytes -= entry->item->cost;
    td_item_unref(entry->item);
    entry->item = NULL;
}

/* What is on a disk need not be in memory as well. */
static void shorten(struct td_stream *stream)
{
    while (td_stream_is_on_disk(stream) && stream->tail_len > 1 &&
           stream->tail_bytes > TD_STREAM_TAIL_BYTES) {
        let_go(stream, nth_of(stream, stream->entries.len - stream->tail_len));
        stream->tail_len--;
    }
}

static void drop_first(struct td_stream *stream)
{
    if (stream->tail_len == stream->entries.len)
        stream->tail_len--;
    let_go(stream, nth_of(stream, 0));
    td_fifo_pop(&stream->entries, 1);
}

void td_entry_add(struct td_stream *stream, const struct td_entry *entry)
{
    struct td_entry *last = td_fifo_back(&stream->entries);
    struct td_entry *added;

    if (last && last->first + last->events != entry->first)
        td_entries_drop(stream, UINT64_MAX); /* a record between is unknown */
    if (stream->entries.len >= TD_STREAM_ENTRIES_MAX &&
        td_stream_is_on_disk(stream))
        drop_first(stream);
    added = td_fifo_push(&stream->entries);
    if (!added) {
        td_item_unref(entry->item);
        return;
    }
    *added = *entry;
    if (!entry->item) {
        /* the items are those of a row that ends with the last one */
        for (; stream->tail_len > 0; stream->tail_len--)
            let_go(stream,
                   nth_of(stream, stream->entries.len - 1 - stream->tail_len));
        return;
    }
    stream->tail_len++;
    stream->tail_bytes += entry->item->cost;
    shorten(stream);
}

void td_entries_cut(struct td_stream *stream, uint64_t from)
{
    struct td_entry *last;

    while ((last = td_fifo_back(&stream->entries)) && last->first >= from) {
        let_go(stream, last);
        if (stream->tail_len > 0)
            stream->tail_len--;
        td_fifo_pop_back(&stream->entries);
    }
}

void td_entries_drop(struct td_stream *stream, uint64_t below)
{
    while (stream->entries.len > 0 &&
           nth_of(stream, 0)->first + nth_of(stream, 0)->events <= below)
        drop_first(stream);
}

void td_entries_fini(struct td_stream *stream)
{
    td_entries_drop(stream, UINT64_MAX);
    td_fifo_fini(&stream->entries);
}
