#include "tests/unit/queue_items.h"

#include "proto/limits.h"

static const uint8_t producer[TD_PRODUCER_BYTES] = "0123456789abcde";

/* A body whose event n holds first + n. */
static struct td_body *body_of(uint32_t first, uint32_t events)
{
    const struct td_str none = {NULL, 0};
    uint8_t *data;
    struct td_body *body = td_body_new(events * EVENT_BYTES, &data);

    for (uint32_t n = first; body && n < first + events; n++)
        data = td_event_put(data, 0, &n, sizeof(n), none);
    return body;
}

struct td_item *item_of(size_t *held, uint32_t first, const uint32_t *counts,
                        uint32_t runs_len)
{
    struct td_run runs[4] = {0};
    struct td_batch batch = {
        .producer = {(const char *)producer, sizeof(producer)},
        .source = {"/s", 2},
        .runs = runs,
        .runs_len = runs_len,
        .wire = {"table", 5},
    };
    struct td_body *body;
    struct td_item *item;

    for (uint32_t i = 0; i < runs_len; i++) {
        runs[i].type.data = i % 2 ? "b" : "a";
        runs[i].type.len = 1;
        runs[i].first = first + batch.events;
        runs[i].count = counts[i];
        runs[i].bytes = counts[i] * EVENT_BYTES;
        batch.events += counts[i];
        batch.bytes += runs[i].bytes;
    }
    body = body_of(first, batch.events);
    item = body ? td_item_new(&batch, body, 0, held) : NULL;
    td_body_unref(body);
    return item;
}

struct td_item *item_that_lies(size_t *held, const uint8_t *bytes)
{
    struct td_run run = {{"a", 1}, 3, 30, 1, 0};
    struct td_batch batch = {
        .producer = {(const char *)producer, sizeof(producer)},
        .source = {"/s", 2},
        .runs = &run,
        .runs_len = 1,
        .events = 3,
        .bytes = 30,
        .wire = {"table", 5},
    };
    struct td_body *body = td_body_copy(bytes, 30);
    struct td_item *item = body ? td_item_new(&batch, body, 0, held) : NULL;

    td_body_unref(body);
    return item;
}

void check_piece(const struct td_piece *piece, uint32_t first)
{
    struct td_run runs[4];
    uint32_t runs_len = td_piece_runs(piece, runs, 4);
    const uint8_t *p = td_piece_data(piece);
    const uint8_t *end = p + piece->bytes;
    uint32_t events = 0;
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < runs_len; i++) {
        assert_int_equal(runs[i].first, first + events);
        assert_true(runs[i].count > 0);
        events += runs[i].count;
        bytes += runs[i].bytes;
    }
    assert_int_equal(events, piece->events);
    assert_int_equal(bytes, piece->bytes);
    for (uint32_t n = first; n < first + events; n++) {
        struct td_event event;

        assert_true(td_event_open(&event, &p, end));
        assert_memory_equal(event.data.data, &n, sizeof(n));
    }
    assert_ptr_equal(p, end);
}

/* Each of its events, counted from the front, is found where it is. */
static void check_places(const struct td_queue *q)
{
    uint64_t before = 0;

    for (uint32_t i = 0; i < q->len; i++) {
        for (uint32_t n = 0; n < td_queue_nth(q, i)->events; n++) {
            uint64_t skip;

            assert_int_equal(td_queue_find(q, before++, &skip), i);
            assert_int_equal(skip, n);
        }
    }
}

void check_queue(const struct td_queue *q, uint32_t first, uint32_t count)
{
    uint32_t next = first;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < q->len; i++) {
        const struct td_piece *piece = td_queue_nth(q, i);

        check_piece(piece, next);
        next += piece->events;
        bytes += td_piece_cost(piece);
    }
    assert_int_equal(next, first + count);
    assert_int_equal(q->events, count);
    assert_int_equal(q->data, count * EVENT_BYTES);
    assert_int_equal(q->bytes, bytes);
    check_places(q);
}
