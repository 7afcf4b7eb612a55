/* The engine: events with chosen ids in random histories, with commits that
 * fail, kills and power cuts. At the end the stream is read: what was confirmed
 * is in it, a duplicate is of the event that was named, and no two of one id
 * are in one window. */
#include "tests/unit/stream_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/mp.h"

#define STEPS         700
#define SEEDS         8
#define EVENTS_MAX    8192u
#define IDS           18 /* 0: none of its own */
#define WINDOW_MS     4000
#define WINDOW_EVENTS 8u
#define STREAM                                                                 \
    "{\"name\" \"m\" \"patterns\" [\"m.>\"] \"dedup_ms\" 4000 "                \
    "\"dedup_events\" 8 %s}"

/* An event as its publisher sees it. */
struct event {
    int id;
    int64_t ms; /* when it was published last */
    unsigned level;
    bool open;         /* not confirmed */
    uint64_t sequence; /* as it was told; 0: it was not, or may be lost */
    bool duplicate;
};

struct publisher {
    char peer[4];
    uint64_t last; /* sequence */
    struct event events[EVENTS_MAX];
};

/* One as the stream has it. */
struct stored {
    int id;
    int64_t ms;
};

struct world {
    struct streams *s;
    uint32_t random;
    struct publisher pub[2];
    struct stored stored[EVENTS_MAX]; /* by sequence */
    uint64_t last;
    uint64_t first;    /* what is below it was purged … */
    int64_t purged_ms; /* … then, the last time */
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

/* ---- publishing ---- */

static const char *id_text(int id)
{
    static char texts[IDS][24];

    if (id == 0)
        return NULL;
    snprintf(texts[id], sizeof(texts[id]), "{\"id\" \"i%d\"}", id);
    return texts[id];
}

/* A run of them, as they are. */
static struct piece piece_of(const struct publisher *p, const char *type,
                             const char **ids, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = id_text(p->events[first + i].id);
    return (struct piece){type, count, 10, first, ids};
}

static void make_events(struct world *w, struct publisher *p, uint32_t count,
                        unsigned level)
{
    for (uint32_t i = 0; i < count; i++) {
        struct event *event = &p->events[++p->last];

        assert_true(p->last < EVENTS_MAX);
        event->id = draw(w, 4) ? (int)draw(w, IDS) : 0;
        event->ms = w->s->f->now;
        event->level = level;
        event->open = level > 0;
    }
}

static void publish_some(struct world *w)
{
    struct publisher *p = &w->pub[draw(w, 2)];
    const char *ids[3][8];
    struct piece pieces[3];
    unsigned level = draw(w, 8) ? 1 + draw(w, 3) : 0;
    uint64_t flags = (uint64_t)level << TD_PUBLISH_LEVEL_SHIFT;
    uint32_t runs = 1 + draw(w, 3);

    if (level > 0 && draw(w, 5) == 0)
        flags |= TD_PUBLISH_ATOMIC;
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t count = 1 + draw(w, 7);
        uint64_t first = p->last + 1;

        make_events(w, p, count, level);
        pieces[i] =
            piece_of(p, draw(w, 2) ? "m.a" : "m.b", ids[i], first, count);
    }
    publish(w->s->f, p->peer, flags, pieces, runs);
    flush(w->s->f);
}

/* A new session sends again what was not confirmed. */
static void publish_again(struct world *w, struct publisher *p)
{
    for (uint64_t n = 1; n <= p->last; n++) {
        struct event *event = &p->events[n];
        const char *ids[1];
        const struct piece piece = piece_of(p, "m.a", ids, n, 1);

        if (!event->open)
            continue;
        event->ms = w->s->f->now;
        publish(w->s->f, p->peer,
                (uint64_t)event->level << TD_PUBLISH_LEVEL_SHIFT, &piece, 1);
    }
    flush(w->s->f);
}

/* ---- what was said ---- */

static void see_row(struct publisher *p, const struct td_confirm *row)
{
    for (uint64_t i = 0; i < row->count; i++) {
        struct event *event = &p->events[row->first + i];

        assert_true(row->first + i <= p->last && event->open);
        event->open = false;
        event->duplicate = row->duplicate;
        event->sequence = !row->code && row->sequence ? row->sequence + i : 0;
        if (!row->code)
            assert_true(row->level >= event->level);
    }
}

static void see(struct world *w)
{
    struct td_confirm row;

    for (int i = 0; i < 2; i++) {
        for (uint32_t n = 0; confirm_to(w->s, w->pub[i].peer, n, &row); n++)
            see_row(&w->pub[i], &row);
    }
    forget(w->s->f);
}

/* ---- what happens ---- */

static void start_anew(struct world *w, bool power)
{
    see(w);
    /* what was told at a lower level may be lost now */
    for (int i = 0; i < 2; i++) {
        for (uint64_t n = 1; n <= w->pub[i].last; n++) {
            struct event *event = &w->pub[i].events[n];

            if (event->level < (power ? TD_LEVEL_DISK : TD_LEVEL_OS))
                event->sequence = 0;
        }
    }
    if (power)
        cut_power(w->s);
    else
        kill_broker(w->s);
    for (int i = 0; i < 2; i++) {
        hello(w->s->f, w->pub[i].peer);
        publish_again(w, &w->pub[i]);
    }
}

static void wait_a_while(struct world *w)
{
    for (int i = 0; i < 2; i++)
        give(w->s->f, w->pub[i].peer, "[11 1]");
    pass(w->s->f, draw(w, 3) ? (int64_t)draw(w, 300) : WINDOW_MS / 2);
}

static void purge(struct world *w)
{
    let_store(w->s);
    see(w);
    if (call_code(w->s, "pub", "stream.purge", "{\"name\" \"m\"}"))
        return; /* a commit was to fail */
    w->first = count(
        row_of(call(w->s, "pub", "stream.list", "{}"), "streams", 1), "first");
    w->purged_ms = w->s->f->now;
    pass(w->s->f, 1);
}

static void step(struct world *w)
{
    uint32_t dice = draw(w, 100);

    if (dice < 60) {
        publish_some(w);
    } else if (dice < 80) {
        wait_a_while(w);
    } else if (dice < 88) {
        hold_store(w->s);
    } else if (dice < 92) {
        td_model_fail(w->s->model, 1, TIDINGS_EFULL);
        let_store(w->s);
    } else if (dice < 97) {
        let_store(w->s);
    } else if (dice < 98) {
        purge(w);
    } else {
        start_anew(w, dice == 99);
    }
    see(w);
}

/* ---- the end ---- */

static int id_of(const struct td_event *event)
{
    struct td_str id = {NULL, 0};
    int n = 0;

    if (event->attrs.len == 0)
        return 0;
    assert_true(td_map_str(event->attrs, "id", &id));
    for (size_t i = 1; i < id.len; i++)
        n = 10 * n + id.data[i] - '0';
    return n;
}

/* A message to the reader: which of whose events is where. */
static void read_message(struct world *w, struct sent *sent)
{
    const uint8_t *p = sent->body->data;
    const uint8_t *end = p + sent->body->len;

    assert_true(part_of(w->s->f, sent, 0));
    for (uint32_t b = 0; b < w->s->f->batches.len; b++) {
        const struct td_batch *batch = &w->s->f->batches.batch[b];
        int whose = memcmp(batch->producer.data, "pub", 3) ? 1 : 0;

        for (uint32_t r = 0; r < batch->runs_len; r++) {
            for (uint32_t i = 0; i < batch->runs[r].count; i++) {
                struct td_event event;
                struct stored *stored = &w->stored[++w->last];
                uint64_t n = batch->runs[r].first + i;

                assert_true(td_event_open(&event, &p, end));
                stored->id = id_of(&event);
                stored->ms = w->pub[whose].events[n].ms;
                assert_int_equal(stored->id, w->pub[whose].events[n].id);
            }
        }
    }
    assert_ptr_equal(p, end);
}

static void read_all(struct world *w)
{
    struct sent *sent;

    hello(w->s->f, "sub");
    consume(w->s, "sub", 1, ">", "m", NULL, "\"start\" \"all\"");
    w->last = w->first - 1;
    for (uint32_t i = 0; (sent = find(w->s->f, "sub", TD_DELIVER, i)); i++)
        read_message(w, sent);
}

static void check_told(const struct world *w)
{
    unsigned duplicates = 0;

    for (int i = 0; i < 2; i++) {
        for (uint64_t n = 1; n <= w->pub[i].last; n++) {
            const struct event *event = &w->pub[i].events[n];

            assert_false(event->open);
            duplicates += event->duplicate;
            if (event->sequence == 0)
                continue;
            if (event->sequence < w->first) {
                assert_true(!event->duplicate || event->ms <= w->purged_ms);
                continue;
            }
            assert_true(event->sequence <= w->last);
            assert_int_equal(w->stored[event->sequence].id, event->id);
        }
    }
    assert_true(duplicates > 0);
}

/* No two of one id have less than a window between them. */
static void check_once(const struct world *w)
{
    for (uint64_t n = w->first; n <= w->last; n++) {
        uint32_t between = 0;

        for (uint64_t k = n + 1;
             w->stored[n].id > 0 && k <= w->last && between < WINDOW_EVENTS;
             k++) {
            if (w->stored[k].id == w->stored[n].id) {
                assert_true(w->stored[k].ms - w->stored[n].ms >= WINDOW_MS);
                break;
            }
            between += w->stored[k].id > 0;
        }
    }
}

static void add_stream(struct world *w, bool rejects)
{
    char options[200];

    snprintf(options, sizeof(options), STREAM,
             rejects ? "\"max_events\" 60 \"on_full\" \"reject\"" : "");
    call(w->s, "pub", "stream.add", options);
}

static void run(struct world *w, uint32_t seed)
{
    memset(w, 0, sizeof(*w));
    w->random = seed;
    w->first = 1;
    assert_int_equal(setup_streams((void **)&w->s), 0);
    w->s->f->unjudged = true;
    for (int i = 0; i < 2; i++) {
        snprintf(w->pub[i].peer, sizeof(w->pub[i].peer), i ? "pvb" : "pub");
        hello(w->s->f, w->pub[i].peer);
    }
    add_stream(w, seed % 2);
    for (int i = 0; i < STEPS; i++)
        step(w);
    let_store(w->s);
    see(w);
    read_all(w);
    check_told(w);
    check_once(w);
    teardown_streams((void **)&w->s);
}

static void test_repeats_in_random_histories(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    (void)state;
    assert_non_null(w);
    for (uint32_t seed = 1; seed <= SEEDS; seed++)
        run(w, seed);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats_in_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
