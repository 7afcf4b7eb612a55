/* Batches: a table and a body that pass the broker's checks are opened event
 * by event as a client does, encoded again, and compared.
 * Input: two bytes with the table's length, the table, the body. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/batch.h"
#include "proto/frame.h"

static struct td_batches batches;
static struct td_batches again;

static bool same(struct td_str a, struct td_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void put_again(const struct td_event *event)
{
    size_t size =
        td_event_size(event->dt_us, event->data.len, event->attrs.len);
    uint8_t *bytes = malloc(size);
    const uint8_t *p = bytes;
    struct td_event twin;

    FUZZ_CHECK(bytes);
    FUZZ_CHECK(td_event_put(bytes, event->dt_us, event->data.data,
                            event->data.len, event->attrs) == bytes + size);
    FUZZ_CHECK(td_event_open(&twin, &p, bytes + size) && p == bytes + size);
    FUZZ_CHECK(twin.dt_us == event->dt_us);
    FUZZ_CHECK(same(twin.data, event->data));
    FUZZ_CHECK(same(twin.attrs, event->attrs));
    free(bytes);
}

/* The broker hopped over these prefixes, so every event has its place, and
 * its run ends where the table says. */
static void open_events(const struct td_run *run, const uint8_t *p)
{
    const uint8_t *end = p + run->bytes;

    for (uint32_t i = 0; i < run->count; i++) {
        const uint8_t *next = td_events_skip(p, end, 1);
        struct td_event event;

        FUZZ_CHECK(next && next > p && next <= end);
        if (td_event_open(&event, &p, end))
            put_again(&event);
        FUZZ_CHECK(p == next);
    }
    FUZZ_CHECK(p == end);
}

static void compare_tables(void)
{
    FUZZ_CHECK(again.len == batches.len);
    FUZZ_CHECK(again.runs_len == batches.runs_len);
    FUZZ_CHECK(again.events == batches.events && again.bytes == batches.bytes);
    for (uint32_t i = 0; i < batches.len; i++) {
        FUZZ_CHECK(same(again.batch[i].producer, batches.batch[i].producer));
        FUZZ_CHECK(same(again.batch[i].source, batches.batch[i].source));
        FUZZ_CHECK(again.batch[i].base_us == batches.batch[i].base_us);
        FUZZ_CHECK(again.batch[i].runs_len == batches.batch[i].runs_len);
    }
    for (uint32_t i = 0; i < batches.runs_len; i++) {
        FUZZ_CHECK(same(again.runs[i].type, batches.runs[i].type));
        FUZZ_CHECK(again.runs[i].count == batches.runs[i].count);
        FUZZ_CHECK(again.runs[i].bytes == batches.runs[i].bytes);
        FUZZ_CHECK(again.runs[i].first == batches.runs[i].first);
        FUZZ_CHECK(again.runs[i].flags == batches.runs[i].flags);
    }
}

static void pack_again(const uint8_t *body, size_t len)
{
    struct td_buf table = {0};
    struct td_str wire;
    const char *why;

    td_batches_begin(&table, batches.len);
    for (uint32_t i = 0; i < batches.len; i++)
        td_batch_pack(&table, &batches.batch[i]);
    FUZZ_CHECK(!table.failed);
    wire.data = (const char *)table.data;
    wire.len = table.len;
    FUZZ_CHECK(td_scan(wire.data, wire.len, &td_scan_control));
    FUZZ_CHECK(td_batches_decode(&again, wire, body, len, &why) == TIDINGS_OK);
    compare_tables();
    td_buf_fini(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct td_str table;
    const uint8_t *body;
    const char *why = NULL;
    uint32_t events;
    uint32_t bytes;

    if (len < 2)
        return 0;
    table.data = (const char *)data + 2;
    table.len = (size_t)data[0] << 8 | data[1];
    if (table.len > len - 2)
        table.len = len - 2;
    body = data + 2 + table.len;
    len -= 2 + table.len;
    td_batches_sum(table, &events, &bytes); /* bytes that nobody has scanned */
    if (!td_scan(table.data, table.len, &td_scan_control))
        return 0;
    if (td_batches_decode(&batches, table, body, len, &why)) {
        FUZZ_CHECK(why);
        return 0;
    }
    FUZZ_CHECK(td_batches_sum(table, &events, &bytes));
    FUZZ_CHECK(events == batches.events && bytes == batches.bytes);
    for (uint32_t i = 0; i < batches.runs_len; i++) {
        open_events(&batches.runs[i], body);
        body += batches.runs[i].bytes;
    }
    pack_again(body - len, len);
    return 0;
}
