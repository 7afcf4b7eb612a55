/* The judge: the equations of PROTOCOL.md 7, from what STATS says in totals,
 * in sums and in every row, and what has to hold inside between two steps. */
#include "tests/unit/engine_harness.h"

/* ---- asking ---- */

struct td_str stats(struct fixture *f, const char *rows, uint64_t from)
{
    struct td_session judge = {.peer = "~judge", .peer_len = 6};
    struct td_frame ask = {.op = TD_STATS, .u.stats.request = 1};
    struct td_frame reply;
    struct td_buf options = {0};
    msgpack_packer pk;
    const char *why;

    msgpack_packer_init(&pk, &options, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    msgpack_pack_str_with_body(&pk, "rows", 4);
    msgpack_pack_str_with_body(&pk, rows, strlen(rows));
    msgpack_pack_str_with_body(&pk, "from", 4);
    msgpack_pack_uint64(&pk, from);
    ask.u.stats.options.data = (const char *)options.data;
    ask.u.stats.options.len = options.len;
    td_stats_reply(f->engine, &judge, &ask);
    td_buf_fini(&options);
    assert_ok(
        td_frame_decode(&reply, f->stats.data, f->stats.len, false, &why));
    assert_int_equal(reply.u.reply.code, TIDINGS_OK);
    return reply.u.reply.result;
}

/* The list of rows: it comes last, and a gauge may go by the same name. */
static struct td_str list_of(struct td_str map, const char *rows)
{
    struct td_reader r = td_reader_of(map.data, map.len);
    struct td_str list = {NULL, 0};
    struct td_str key;
    struct td_str value;
    uint32_t pairs = 0;

    assert_true(td_read_map(&r, &pairs));
    while (pairs-- > 0) {
        assert_true(td_read_str(&r, &key) && td_read_raw(&r, &value));
        if (is_text(key, rows))
            list = value;
    }
    assert_row(rows, list.data != NULL);
    return list;
}

uint64_t each_row(struct fixture *f, const char *rows,
                  void (*visit)(void *ctx, struct td_str row), void *ctx)
{
    uint64_t total;
    uint64_t n = 0;
    uint32_t page = 0;
    char key[40];

    snprintf(key, sizeof(key), "%s_total", rows);
    do {
        struct td_str map = stats(f, rows, n);
        struct td_str list = list_of(map, rows);
        struct td_reader r = td_reader_of(list.data, list.len);
        struct td_str row;

        total = count(map, key);
        assert_row(rows, td_read_array(&r, &page));
        assert_row(rows, page <= TD_STATS_ROWS_MAX);
        for (uint32_t i = 0; i < page; i++, n++) {
            assert_row(rows, td_read_raw(&r, &row));
            visit(ctx, row);
        }
    } while (page > 0);
    assert_row(rows, n == total);
    return n;
}

/* ---- equations ---- */

struct books {
    uint64_t published;
    uint64_t duplicates;
    uint64_t routed;
    uint64_t unmatched;
    uint64_t matched;
    uint64_t delivered;
    uint64_t pending;
    uint64_t dropped[TD_DROPS];
};

static void add_events(void *ctx, struct td_str map)
{
    struct books *b = ctx;
    uint64_t published = count(map, "published");

    assert_true(published == count(map, "duplicates") + count(map, "routed") +
                                 count(map, "unmatched"));
    b->published += published;
    b->duplicates += count(map, "duplicates");
    b->routed += count(map, "routed");
    b->unmatched += count(map, "unmatched");
}

static void add_deliveries(void *ctx, struct td_str map)
{
    struct books *b = ctx;
    struct td_str dropped = map_of(map, "dropped");
    uint64_t sum = count(map, "delivered") + count(map, "pending");

    for (int i = 0; i < TD_DROPS; i++) {
        sum += count(dropped, td_drop_names[i]);
        b->dropped[i] += count(dropped, td_drop_names[i]);
    }
    assert_true(count(map, "matched") == sum);
    b->matched += count(map, "matched");
    b->delivered += count(map, "delivered");
    b->pending += count(map, "pending");
}

/* A member's row balances too, but its events are in its group's row. */
static void add_sub(void *ctx, struct td_str map)
{
    struct books member = {0};

    add_deliveries(text_of(map, "group").len > 0 ||
                           text_of(map, "stream").len > 0
                       ? &member
                       : ctx,
                   map);
}

static void assert_same(const struct books *a, const struct books *b)
{
    assert_int_equal(a->published, b->published);
    assert_int_equal(a->duplicates, b->duplicates);
    assert_int_equal(a->routed, b->routed);
    assert_int_equal(a->unmatched, b->unmatched);
    assert_int_equal(a->matched, b->matched);
    assert_int_equal(a->delivered, b->delivered);
    assert_int_equal(a->pending, b->pending);
    for (int i = 0; i < TD_DROPS; i++)
        assert_row_at(td_drop_names[i], a->dropped[i],
                      a->dropped[i] == b->dropped[i]);
}

static void check_requests(struct td_str requests)
{
    assert_int_equal(count(requests, "accepted"),
                     count(requests, "answered") + count(requests, "errors") +
                         count(requests, "timeouts") + count(requests, "lost") +
                         count(requests, "in_flight"));
}

static void check_books(struct fixture *f)
{
    const struct td_ledger *gone = &f->engine->counters.gone;
    struct td_str map = stats(f, "none", 0);
    struct books totals = {0};
    struct books sums = {0};
    struct books rows = {.matched = gone->matched,
                         .delivered = gone->delivered};

    check_requests(map_of(map, "requests"));
    add_events(&totals, map);
    add_deliveries(&totals, map);
    add_events(&sums, map_of(map, "sums"));
    add_deliveries(&sums, map_of(map, "sums"));
    assert_same(&totals, &sums);
    memcpy(rows.dropped, gone->dropped, sizeof(rows.dropped));
    add_events(&rows, map_of(map, "types_other"));
    each_row(f, "types", add_events, &rows);
    each_row(f, "subscriptions", add_sub, &rows);
    each_row(f, "groups", add_deliveries, &rows);
    assert_same(&totals, &rows);
}

/* ---- inside ---- */

static void check_queue(const struct td_queue *q)
{
    uint64_t events = 0;
    uint64_t data = 0;

    for (uint32_t i = 0; i < q->len; i++) {
        const struct td_piece *piece = td_queue_nth(q, i);

        assert_true(piece->events > 0 && piece->item->refs > 0);
        events += piece->events;
        data += piece->bytes;
    }
    assert_true(q->events == events);
    assert_true(q->data == data);
    assert_true(q->bytes >= q->data && (q->len > 0 || q->bytes == 0));
}

/* Finds each key of a queue's events past the first so many, and counts those
 * down. */
static void find_keys(struct td_group *g, const struct td_queue *q,
                      const struct td_sub *holder, uint64_t skip)
{
    for (uint32_t i = 0; i < q->len; i++) {
        const struct td_piece *piece = td_queue_nth(q, i);
        const struct td_batch *batch = &piece->item->batch;
        const uint8_t *p = td_piece_data(piece);
        const uint8_t *end = p + piece->bytes;
        uint32_t run = piece->run;
        uint32_t place = piece->event;

        for (uint32_t n = 0; n < piece->events; n++) {
            struct td_event event;
            struct td_key *key;
            uint64_t hash = 0;

            if (td_event_open(&event, &p, end) &&
                batch->runs[run].flags & TD_RUN_KEY)
                hash = td_key_of(&event);
            if (++place == batch->runs[run].count) {
                run++;
                place = 0;
            }
            if (skip > 0) {
                skip--;
                continue;
            }
            if (hash == 0)
                continue;
            HASH_FIND(hh, g->named->keys.table, &hash, sizeof(hash), key);
            assert_true(key && key->holder == holder && key->events-- > 0);
        }
    }
}

/* Each key is held by the member that has its events, and for so many. */
static void check_keys(struct td_group *g)
{
    struct td_key *key;
    struct td_key *next;
    uint64_t counts[1024];
    uint32_t n = 0;

    if (HASH_COUNT(g->named->keys.table) > TD_ARRAY_LEN(counts))
        return;
    HASH_ITER(hh, g->named->keys.table, key, next)
    {
        counts[n++] = key->events;
    }
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        find_keys(g, &sub->own, sub, 0);
        find_keys(g, &sub->flight, sub, td_deal_loose(sub));
    }
    n = 0;
    HASH_ITER(hh, g->named->keys.table, key, next)
    {
        assert_true(key->events == 0); /* all were found */
        key->events = counts[n++];
    }
}

static void check_group(struct td_group *g)
{
    struct td_queue_sum waiting = {g->queue.events, g->queue.bytes};
    uint32_t members = 0;

    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        members++;
        assert_true(sub->group == g);
        check_queue(&sub->own);
        check_queue(&sub->flight);
        assert_true(sub->from == (g->name_len ? &sub->own : &g->queue));
        assert_true(g->name_len || sub->own.len == 0);
        waiting.events += sub->own.events;
        waiting.bytes += sub->own.bytes;
        assert_true(sub->loose <= sub->sent);
        assert_true(sub->sent >= sub->delivered);
        assert_true(sub->sent <= sub->events_limit);
        assert_true(sub->sent_bytes <= sub->bytes_limit);
        assert_true(sub->flight.events == sub->sent - sub->flight_first);
    }
    assert_true(members == g->members_len && members > 0);
    assert_true(waiting.events == td_group_waiting(g));
    assert_true(waiting.bytes == td_group_waiting_bytes(g));
    check_queue(&g->queue);
    if (td_group_is_holding(g))
        assert_false(td_group_is_away(g));
    if (g->share == TD_BY_KEY) {
        assert_true(g->queue.len == 0 || td_group_is_away(g) ||
                    g->named->ready);
        for (struct td_sub *sub = g->members; sub; sub = sub->group_next)
            assert_true(sub->flight.len == 0 ||
                        sub->flight_first == sub->delivered);
        check_keys(g);
    }
}

static void check_session(const struct td_session *s)
{
    size_t patterns = 0;

    for (const struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        patterns += sub->group->pattern_len;
    assert_true(patterns == s->patterns_bytes);
    assert_true(s->messages_out - s->messages_seen <= TD_MESSAGES_OUT_MAX);
    if (s->away)
        assert_false(s->owed);
}

static void check_instance(const struct td_instance *instance)
{
    const struct td_task *task;
    uint32_t tasks = 0, in_flight = 0;

    DL_FOREACH(instance->tasks, task)
    {
        tasks++;
        in_flight += task->endpoint != NULL;
    }
    assert_int_equal(tasks, instance->in_flight);
    for (uint32_t i = 0; i < instance->endpoints_len; i++) {
        const struct td_endpoint *endpoint = &instance->endpoints[i];

        assert_true(endpoint->candidate.in_flight <= endpoint->max_in_flight);
        in_flight -= endpoint->candidate.in_flight;
    }
    assert_int_equal(in_flight, 0);
}

static void check_inside(struct td_engine *e)
{
    size_t subs = 0;
    size_t away = 0;
    struct td_group *g;

    DL_FOREACH(e->groups, g)
    {
        check_group(g);
    }
    for (const struct td_instance *i = e->serving.instances; i; i = i->hh.next)
        check_instance(i);
    for (const struct td_session *s = e->sessions; s; s = s->hh.next) {
        check_session(s);
        subs += HASH_COUNT(s->subs);
        away += s->away;
    }
    assert_true(subs == e->subs_len);
    assert_true(away == e->away_len);
}

void judge(struct fixture *f)
{
    if (f->unjudged || !f->engine)
        return;
    check_inside(f->engine);
    check_books(f);
}
