#include "tests/unit/stream_fixture.h"

#include <poll.h>
#include <stdlib.h>

#include "tests/support/mp.h"

#define DEADLINE_MS 30000 /* of an answer, on a slow machine */

/* A store of its own threads is waited for. */
static void turn(struct streams *s)
{
    const struct td_engine *e = s->f->engine;
    struct pollfd p = {.fd = s->store->face->fd(s->store), .events = POLLIN};

    flush(s->f);
    if (!s->model && (e->streams.reads || e->streams.flown.len > 0))
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

void begin_streams(struct streams *s, struct td_store *store)
{
    tidings_err err;

    s->store = store;
    start(s->f,
          (struct td_engine_options){.grace_ms = TD_GRACE_MS, .store = store});
    for (int i = 0; i < 100 && !td_engine_is_loaded(s->f->engine, &err); i++)
        turn(s);
    assert_true(td_engine_is_loaded(s->f->engine, &err));
    assert_ok(err);
    settle_down(s);
}

void end_streams(struct streams *s)
{
    td_engine_free(s->f->engine);
    s->f->engine = NULL;
    forget(s->f);
    if (s->store)
        s->store->face->close(s->store);
    s->store = NULL;
}

static void begin_engine(struct streams *s)
{
    struct td_store *store = td_model_open(s->model);

    assert_non_null(store);
    td_model_auto(s->model, 4);
    begin_streams(s, store);
}

int setup_streams(void **state)
{
    struct streams *s = calloc(1, sizeof(*s));

    *state = s;
    if (!s)
        return -1;
    s->f = calloc(1, sizeof(*s->f));
    s->model = td_model_new();
    if (!s->f || !s->model)
        return -1;
    s->f->now = 1000;
    begin_engine(s);
    return 0;
}

int teardown_streams(void **state)
{
    struct streams *s = *state;
    void *f = s->f;

    teardown(&f);
    if (s->store)
        s->store->face->close(s->store);
    td_model_free(s->model);
    free(s);
    return 0;
}

static void crash(struct streams *s, uint32_t keep)
{
    td_engine_free(s->f->engine);
    s->f->engine = NULL;
    forget(s->f);
    td_model_crash(s->model, keep);
    s->store = NULL;
    begin_engine(s);
}

void kill_broker(struct streams *s)
{
    crash(s, td_model_committed(s->model));
}

void cut_power(struct streams *s)
{
    crash(s, 0);
}

void hold_store(struct streams *s)
{
    td_model_auto(s->model, 0);
}

void let_store(struct streams *s)
{
    td_model_auto(s->model, 4);
    settle_down(s);
}

void settle_down(struct streams *s)
{
    for (int i = 0; i < 20; i++)
        turn(s);
}

void put(struct streams *s, const char *peer, const char *type, uint32_t count,
         uint64_t first, uint64_t flags)
{
    const struct piece piece = {type, count, 10, first, NULL};

    publish(s->f, peer, flags, &piece, 1);
    settle_down(s);
}

void hello_term(struct streams *s, const char *peer, unsigned term)
{
    char options[64];

    snprintf(options, sizeof(options), "{\"producer\" \"%c\" \"term\" %u}",
             peer[1], term);
    hello_with(s->f, peer, options);
    settle_down(s);
}

void check_welcome(struct streams *s, const char *peer, uint64_t term,
                   uint64_t stored)
{
    const struct td_frame *f = frame(s->f, peer, TD_WELCOME, 0);

    assert_int_equal(count(f->u.welcome.limits, "term"), term);
    assert_int_equal(count(f->u.welcome.limits, "stored"), stored);
    assert_int_equal(f->u.welcome.taken, stored);
}

bool confirm_to(struct streams *s, const char *peer, uint32_t nth,
                struct td_confirm *out)
{
    struct sent *sent;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_CONFIRM, i)); i++) {
        struct td_str raw = sent->frame.u.confirm.list;
        struct td_reader list = td_reader_of(raw.data, raw.len);
        uint32_t rows;

        assert_true(td_read_array(&list, &rows));
        while (rows-- > 0) {
            assert_true(td_confirm_read(&list, out));
            if (nth-- == 0)
                return true;
        }
    }
    return false;
}

void consume(struct streams *s, const char *peer, uint64_t number,
             const char *pattern, const char *stream, const char *group,
             const char *more)
{
    if (group)
        givef(s->f, peer,
              "[5 1 %llu \"%s\" {" ROOM
              " \"stream\" \"%s\" \"group\" \"%s\" %s}]",
              (unsigned long long)number, pattern, stream, group, more);
    else
        givef(s->f, peer, "[5 1 %llu \"%s\" {" ROOM " \"stream\" \"%s\" %s}]",
              (unsigned long long)number, pattern, stream, more);
    settle_down(s);
}

/* The spans of one message's parts. */
static bool span_in(struct sent *sent, uint32_t *nth, struct td_span *out)
{
    struct td_str raw = sent->frame.u.deliver.parts;
    struct td_reader parts = td_reader_of(raw.data, raw.len);
    uint32_t n;

    assert_true(td_read_array(&parts, &n));
    while (n-- > 0) {
        struct td_part part;
        struct td_reader list;
        uint32_t rows;

        assert_true(td_part_read(&parts, &part));
        list = td_reader_of(part.spans.data, part.spans.len);
        if (part.spans.len == 0 || !td_read_array(&list, &rows))
            continue;
        while (rows-- > 0) {
            assert_true(td_span_read(&list, out));
            if ((*nth)-- == 0)
                return true;
        }
    }
    return false;
}

bool span_to(struct streams *s, const char *peer, uint32_t nth,
             struct td_span *out)
{
    struct sent *sent;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_DELIVER, i)); i++) {
        if (span_in(sent, &nth, out))
            return true;
    }
    return false;
}

void check_spans(struct streams *s, const char *peer, const uint64_t *expected)
{
    struct td_span span;
    uint32_t n = 0;

    for (uint32_t i = 0; span_to(s, peer, i, &span); i++) {
        for (uint64_t k = 0; k < span.count; k++)
            assert_int_equal(span.sequence + k, expected[n++]);
    }
    assert_int_equal(expected[n], 0);
}

void settle(struct streams *s, const char *peer, enum td_verb verb,
            uint64_t first, uint64_t last)
{
    givef(s->f, peer, "[17 [[1 %d %llu %llu 0 \"why\"]]]", (int)verb,
          (unsigned long long)first, (unsigned long long)last);
    settle_down(s);
}

uint32_t settled_with(struct streams *s, const char *peer, tidings_err code)
{
    struct sent *sent;
    uint32_t n = 0;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_SETTLED, i)); i++) {
        struct td_str raw = sent->frame.u.settled.list;
        struct td_reader list = td_reader_of(raw.data, raw.len);
        struct td_settled row;
        uint32_t rows;

        assert_true(td_read_array(&list, &rows));
        while (rows-- > 0) {
            assert_true(td_settled_read(&list, &row));
            n += row.code == (uint64_t)code;
        }
    }
    return n;
}

static const struct td_frame *ask(struct streams *s, const char *peer,
                                  const char *name, const char *options)
{
    uint32_t n = 0;

    while (find(s->f, peer, TD_REPLY, n))
        n++;
    givef(s->f, peer, "[15 7 \"%s\" %s]", name, options);
    settle_down(s);
    return frame(s->f, peer, TD_REPLY, n);
}

struct td_str call(struct streams *s, const char *peer, const char *name,
                   const char *options)
{
    const struct td_frame *reply = ask(s, peer, name, options);

    assert_row(name, reply->u.reply.code == TIDINGS_OK);
    return reply->u.reply.result;
}

tidings_err call_code(struct streams *s, const char *peer, const char *name,
                      const char *options)
{
    return (tidings_err)ask(s, peer, name, options)->u.reply.code;
}

struct td_str row_of(struct td_str result, const char *list, uint32_t nth)
{
    struct td_str raw = {NULL, 0};
    struct td_reader r;
    uint32_t rows;

    assert_row(list, td_map_find(result, list, &raw));
    r = td_reader_of(raw.data, raw.len);
    assert_true(td_read_array(&r, &rows) && nth < rows);
    do
        assert_true(td_read_raw(&r, &raw));
    while (nth-- > 0);
    return raw;
}
