/* What peers publish, and who is to get it. */
#include "tests/unit/oom_peers.h"

#include "proto/frame.h"
#include "proto/type.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"
#include "tests/support/td_test.h"

#define RUNS_MAX 24

/* What "type count size, …" says; returns how many runs. */
/* The partition keys of a run go round. */
static struct td_str key_of(const struct td_run *run, uint32_t event)
{
    static char map[] = "\x81\xac"
                        "partitionkey"
                        "\xa2k0";
    struct td_str attrs = {map, sizeof(map) - 1};

    map[attrs.len - 1] = (char)('0' + event % 5);
    return run->flags ? attrs : (struct td_str){NULL, 0};
}

static uint32_t parse_runs(const char *text, struct td_run *runs, size_t *sizes,
                           char types[RUNS_MAX][64], uint64_t first)
{
    char key[2];
    uint32_t n = 0;

    for (; text; text = strchr(text, ','), text = text ? text + 2 : NULL) {
        struct td_run *run = &runs[n];

        assert_true(n < RUNS_MAX);
        key[0] = '\0';
        assert_true(sscanf(text, "%63s %u %zu%1[k]", types[n], &run->count,
                           &sizes[n], key) >= 3);
        run->type = td_str_of(types[n]);
        run->flags = key[0] ? TD_RUN_KEY : 0;
        run->bytes = run->count *
                     (uint32_t)td_event_size(0, sizes[n], key_of(run, 0).len);
        run->first = first;
        first += run->count;
        n++;
    }
    return n;
}

static struct td_body *fill(const struct td_run *runs, const size_t *sizes,
                            uint32_t n)
{
    static const uint8_t zeros[64 << 10];
    struct td_body *body;
    size_t bytes = 0;
    uint8_t *to;

    for (uint32_t i = 0; i < n; i++)
        bytes += runs[i].bytes;
    body = td_body_new(bytes, &to);
    assert_non_null(body);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < runs[i].count; k++)
            to = td_event_put(to, 0, zeros, sizes[i], key_of(&runs[i], k));
    }
    return body;
}

/* What subscriptions are to get of a run, from this sequence on. */
static void expect(struct oom_broker *b, const struct td_run *run,
                   uint64_t from)
{
    uint64_t end = run->first + run->count;
    uint64_t events =
        from > run->first ? (from < end ? end - from : 0) : run->count;

    for (unsigned i = 0; i < OOM_PEERS; i++) {
        for (unsigned k = 0; k < OOM_SUBS; k++) {
            struct oom_sub *sub = &b->peers[i].subs[k];

            if (sub->live &&
                td_pattern_match(sub->pattern, strlen(sub->pattern),
                                 run->type.data, run->type.len))
                sub->expected += events;
        }
    }
}

/* After a PUBLISH of one batch, which is taken whole or not at all. */
static void book(struct oom_broker *b, const struct td_batch *batch,
                 uint64_t from)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < batch->runs_len; i++)
        events += batch->runs[i].count;
    if (td_alloc_failed() && oom_count(b, "published") == b->published)
        return; /* and it is told, or finds out */
    b->published += events;
    for (uint32_t i = 0; i < batch->runs_len; i++)
        expect(b, &batch->runs[i], from);
}

static void publish(struct oom_broker *b, unsigned peer,
                    const struct td_batch *batch, struct td_body *body)
{
    struct oom_peer *p = &b->peers[peer];
    const struct td_run *last = &batch->runs[batch->runs_len - 1];
    struct td_frame f = {.op = TD_PUBLISH};
    struct td_buf table = {0};
    uint64_t from = p->sequence + 1;

    td_alloc_hold(true);
    td_batches_begin(&table, 1);
    td_batch_pack(&table, batch);
    assert_false(table.failed);
    td_alloc_hold(false);
    if (last->first + last->count > from)
        p->sequence = last->first + last->count - 1;
    f.u.publish.flags = TD_PUBLISH_ASK;
    f.u.publish.batches = td_mp_str(&table);
    oom_say(b, peer, &f, body);
    book(b, batch, from);
    td_alloc_hold(true);
    td_buf_fini(&table);
    td_alloc_hold(false);
}

void oom_publish(struct oom_broker *b, unsigned peer, const char *text,
                 unsigned again)
{
    struct oom_peer *p = &b->peers[peer];
    uint64_t first = p->sequence > again ? p->sequence - again + 1 : 1;
    uint8_t producer[TD_PRODUCER_BYTES];
    char types[RUNS_MAX][64];
    size_t sizes[RUNS_MAX];
    struct td_run runs[RUNS_MAX] = {0};
    struct td_batch batch = {.source = td_str_of("/oom"), .runs = runs};
    struct td_body *body;

    if (!p->up)
        return;
    oom_producer(producer, peer);
    batch.producer.data = (const char *)producer;
    batch.producer.len = sizeof(producer);
    batch.runs_len = parse_runs(text, runs, sizes, types, first);
    td_alloc_hold(true);
    body = fill(runs, sizes, batch.runs_len);
    td_alloc_hold(false);
    publish(b, peer, &batch, body);
    td_alloc_hold(true);
    td_body_unref(body);
    td_alloc_hold(false);
}
