/* Making what is published. */
#include "tests/unit/engine_harness.h"

#include <string.h>

#include "tests/support/mp.h"

/* The attributes of an event with this key, empty without one. */
static struct td_str attrs_of(struct td_buf *b, const struct piece *piece,
                              uint32_t nth)
{
    const struct td_str none = {NULL, 0};
    const char *key = piece->keys ? piece->keys[nth] : NULL;
    char text[64];

    if (!key)
        return none;
    snprintf(text, sizeof(text), "{\"partitionkey\" \"%.40s\"}", key);
    td_buf_reset(b);
    td_mp(b, *key == '{' ? key : text);
    return td_mp_str(b);
}

static uint32_t piece_bytes(const struct piece *piece)
{
    struct td_buf b = {0};
    size_t bytes = 0;

    for (uint32_t i = 0; i < piece->count; i++)
        bytes += td_event_size(0, piece->size, attrs_of(&b, piece, i).len);
    td_buf_fini(&b);
    return (uint32_t)bytes;
}

static uint8_t *put_piece(uint8_t *to, const struct piece *piece)
{
    static const uint8_t data[1u << 20];
    struct td_buf b = {0};

    for (uint32_t i = 0; i < piece->count; i++)
        to = td_event_put(to, 0, data, piece->size, attrs_of(&b, piece, i));
    td_buf_fini(&b);
    return to;
}

static struct td_body *body_of(const struct piece *pieces, uint32_t n)
{
    uint32_t bytes = 0;
    uint8_t *data;
    struct td_body *body;

    for (uint32_t i = 0; i < n; i++)
        bytes += piece_bytes(&pieces[i]);
    body = td_body_new(bytes, &data);
    for (uint32_t i = 0; body && i < n; i++)
        data = put_piece(data, &pieces[i]);
    return body;
}

static void set_run(struct td_run *run, const struct piece *piece)
{
    run->type = td_str_of(piece->type);
    run->count = piece->count;
    run->bytes = piece_bytes(piece);
    run->first = piece->first;
    run->flags = 0;
    for (uint32_t i = 0; piece->keys && i < piece->count; i++) {
        const char *key = piece->keys[i];

        if (!key || *key != '{' || strstr(key, "\"partitionkey\""))
            run->flags |= TD_RUN_KEY;
        if (key && *key == '{' && strstr(key, "\"id\""))
            run->flags |= TD_RUN_ID;
        if (key && *key == '{' && strstr(key, "\"expirytime\""))
            run->flags |= TD_RUN_EXPIRY;
    }
}

/* Batches of so many runs each. */
static void pack_batches(struct td_buf *table, struct td_batch *batch,
                         uint32_t batches)
{
    td_batches_begin(table, batches);
    while (batches-- > 0) {
        td_batch_pack(table, batch);
        batch->runs += batch->runs_len;
    }
}

static struct td_body *send_pieces(struct fixture *f, const char *peer,
                                   uint64_t flags, const struct piece *pieces,
                                   uint32_t n, uint32_t batches,
                                   const char *options)
{
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_run runs[100] = {0};
    struct td_batch batch = {.runs = runs, .runs_len = n / batches};
    struct td_frame out = {.op = TD_PUBLISH};
    struct td_body *body = body_of(pieces, n);
    struct td_buf table = {0};
    struct td_buf map = {0};
    struct td_buf b = {0};

    assert_true(n <= TD_ARRAY_LEN(runs));
    producer_of(producer, peer);
    batch.producer.data = (const char *)producer;
    batch.producer.len = sizeof(producer);
    batch.source = td_str_of("/test");
    for (uint32_t i = 0; i < n; i++)
        set_run(&runs[i], &pieces[i]);
    pack_batches(&table, &batch, batches);
    out.u.publish.flags = flags;
    out.u.publish.batches.data = (const char *)table.data;
    out.u.publish.batches.len = table.len;
    if (options) {
        td_mp(&map, options);
        out.u.publish.options = td_mp_str(&map);
    }
    td_frame_encode(&b, &out);
    if (body && !b.failed)
        message(f, peer, 2, &b, body);
    td_buf_fini(&table);
    td_buf_fini(&map);
    td_buf_fini(&b);
    td_body_unref(body);
    return body;
}

struct td_body *publish(struct fixture *f, const char *peer, uint64_t flags,
                        const struct piece *pieces, uint32_t n)
{
    return send_pieces(f, peer, flags, pieces, n, 1, NULL);
}

struct td_body *publish_if(struct fixture *f, const char *peer, uint64_t flags,
                           const struct piece *pieces, uint32_t n,
                           const char *options)
{
    return send_pieces(f, peer, flags, pieces, n, 1, options);
}

struct td_body *publish_apart(struct fixture *f, const char *peer,
                              const struct piece *pieces, uint32_t n)
{
    return send_pieces(f, peer, 0, pieces, n, n, NULL);
}

struct td_body *publish_one(struct fixture *f, const char *peer,
                            const char *type, uint32_t count, uint32_t size,
                            uint64_t first)
{
    const struct piece piece = {type, count, size, first, NULL};

    return publish(f, peer, 0, &piece, 1);
}

/* ---- what the broker publishes ---- */

uint32_t advised(struct fixture *f, const char *peer, const char *type,
                 struct td_str *last)
{
    struct sent *s;
    uint32_t n = 0;

    for (uint32_t i = 0; (s = find(f, peer, TD_DELIVER, i)); i++) {
        const struct td_batches *b = delivered(f, peer, i);
        const uint8_t *p = s->body->data;
        const uint8_t *end = p + s->body->len;

        for (uint32_t r = 0; r < b->runs_len; r++) {
            for (uint32_t k = 0; k < b->runs[r].count; k++) {
                struct td_event event;

                assert_true(td_event_open(&event, &p, end));
                assert_true(
                    td_scan(event.data.data, event.data.len, &td_scan_data));
                if (!is_text(b->runs[r].type, type))
                    continue;
                n++;
                *last = event.data;
            }
        }
    }
    return n;
}
