/* The engine: the newest of each name in random histories, of commits that fail,
 * crashes, retention, and no room. What is in the stream is what a reader of all
 * of it sees; what is the newest of it is worked out here. Where only that is
 * kept, nothing else may be missing. */
#include "tests/unit/stream_fixture.h"

#include <stdlib.h>

#include "broker/store/model_inside.h"
#include "tests/support/mp.h"

#define SEEDS  12
#define STEPS  600
#define KEYS   9u
#define EVENTS 32768u

struct world {
    struct streams *s;
    uint32_t random;
    unsigned lives;
    unsigned readers;
    uint64_t next; /* the producer's */
    bool compact;
    uint64_t gaps;          /* seen */
    uint64_t purged;        /* what is below it may be missing */
    bool empty[EVENTS];     /* each of its events has no data */
    unsigned name[EVENTS];  /* of each of its events: a key, or KEYS + type */
    unsigned seen[EVENTS];  /* of a look: the name + 1 at each sequence */
    unsigned ever[EVENTS];  /* of all looks: the same, and whether it was … */
    uint64_t event[EVENTS]; /* … which of the producer's … */
    bool buried[EVENTS];    /* … empty */
    uint64_t last;
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

static const char *key_of(unsigned n)
{
    static const char *const keys[KEYS] = {"a", "b", "c", "d", "e",
                                           "f", "g", "h", "i"};

    return keys[n];
}

static const char *type_of(unsigned n)
{
    static const char *const types[] = {"k.a", "k.b", "k.c"};

    return types[n];
}

static char *peer_of(struct world *w, char what)
{
    static char peer[8];

    snprintf(peer, sizeof(peer), "%c/%u", what, ++w->lives % 10000);
    return peer;
}

/* ---- publishing ---- */

static void publish_some(struct world *w)
{
    struct piece pieces[4];
    const char *keys[4][6];
    uint32_t n = 1 + draw(w, 4);

    if (w->next + 24 >= EVENTS)
        return;
    for (uint32_t i = 0; i < n; i++) {
        unsigned type = draw(w, 3);
        bool keyed = draw(w, 4) > 0;
        bool empty = draw(w, 3) == 0;
        uint32_t size = draw(w, 3) ? 3 : 300; /* worth to be cut out */

        pieces[i] =
            (struct piece){type_of(type), 1 + draw(w, 6), empty ? 0 : size,
                           w->next, keyed ? keys[i] : NULL};
        for (uint32_t k = 0; k < pieces[i].count; k++) {
            unsigned key = draw(w, 3) ? draw(w, 3) : draw(w, KEYS + 1);

            keys[i][k] = key < KEYS ? key_of(key) : NULL;
            w->empty[w->next] = empty;
            w->name[w->next++] = keyed && key < KEYS ? key : KEYS + type;
        }
    }
    publish(w->s->f, "p", DISK, pieces, n);
}

/* ---- looking ---- */

/* What a reader was sent: sequences, and of which of the producer's events. */
static uint32_t got(struct world *w, const char *peer, uint64_t *sequences,
                    uint64_t *events)
{
    uint32_t n = sequences_to(w->s->f, peer, events, EVENTS);
    uint32_t i = 0;
    struct td_span span;

    for (uint32_t k = 0; span_to(w->s, peer, k, &span); k++) {
        for (uint64_t q = 0; q < span.count; q++)
            sequences[i++] = span.sequence + q;
    }
    assert_int_equal(i, n);
    return n;
}

static uint32_t read_from(struct world *w, const char *start,
                          uint64_t *sequences, uint64_t *events)
{
    char *peer = peer_of(w, 'r');
    char more[40];
    uint32_t n;

    snprintf(more, sizeof(more), "\"start\" \"%s\"", start);
    hello(w->s->f, peer);
    consume(w->s, peer, 1, ">", "k", NULL, more);
    for (int i = 0; i < 20; i++) {
        pass(w->s->f, 10);
        givef(w->s->f, peer, "[9 %u []]", messages_to(w->s->f, peer));
    }
    n = got(w, peer, sequences, events);
    assert_int_equal(missed_by(w->s->f, peer, NULL), 0);
    give(w->s->f, peer, "[14 0 \"\"]");
    return n;
}

static void look_at_all(struct world *w)
{
    static uint64_t sequences[EVENTS], events[EVENTS];
    uint32_t n = read_from(w, "all", sequences, events);

    memset(w->seen, 0, sizeof(w->seen));
    w->last = 0;
    for (uint32_t i = 0; i < n; i++) {
        assert_true(sequences[i] > w->last && sequences[i] < EVENTS);
        w->last = sequences[i];
        w->seen[w->last] = w->name[events[i]] + 1;
        assert_true(w->ever[w->last] == 0 ||
                    w->ever[w->last] == w->seen[w->last]);
        w->ever[w->last] = w->seen[w->last];
        w->buried[w->last] = w->empty[events[i]];
        w->event[w->last] = events[i];
    }
}

/* A tombstone of its name came later, and was gone before it was seen. */
static bool was_buried(const struct world *w, uint64_t sequence)
{
    for (uint64_t n = w->event[sequence] + 1; n < w->next; n++) {
        if (w->empty[n] && w->name[n] + 1 == w->ever[sequence])
            return true;
    }
    return false;
}

/* What is missing has a newer one of its name, or was a tombstone. */
static void check_missing(const struct world *w)
{
    bool newer[KEYS + 4] = {false};

    for (uint64_t q = w->last; q >= w->purged && q > 0; q--) {
        if (w->ever[q] && !w->seen[q])
            assert_true(w->compact && (newer[w->ever[q]] || w->buried[q] ||
                                       was_buried(w, q)));
        newer[w->ever[q]] = true;
    }
}

/* Nothing newer has its name. */
static bool is_newest(const struct world *w, uint64_t sequence)
{
    for (uint64_t q = sequence + 1; q <= w->last; q++) {
        if (w->seen[q] == w->seen[sequence])
            return false;
    }
    return w->seen[sequence] > 0;
}

static void check_newest(struct world *w)
{
    static uint64_t sequences[EVENTS], events[EVENTS];
    uint32_t n = read_from(w, "last", sequences, events);
    uint32_t i = 0;

    for (uint64_t q = 1; q <= w->last; q++) {
        if (!is_newest(w, q))
            continue;
        assert_true(i < n);
        assert_int_equal(sequences[i], q);
        i++;
    }
    assert_int_equal(i, n);
}

/* A condition that cannot hold is answered with what there is. */
static void check_conflict(struct world *w)
{
    const unsigned name = draw(w, KEYS);
    const char *key = key_of(name);
    const struct piece piece = {"k.a", 1, 3, w->next, &key};
    struct td_confirm row;
    uint64_t actual = 0;
    uint32_t n = 0;

    for (uint64_t q = 1; q <= w->last; q++) {
        if (w->seen[q] == name + 1)
            actual = q;
    }
    if (w->compact && actual == 0)
        return; /* a tombstone that is gone may be known for a while */
    while (confirm_to(w->s, "p", n, &row))
        n++;
    publish_if(w->s->f, "p", DISK, &piece, 1, "{\"expect_key\" 30000}");
    settle_down(w->s);
    w->name[w->next++] = name;
    assert_true(confirm_to(w->s, "p", n, &row));
    assert_int_equal(row.code, TIDINGS_ECONFLICT);
    assert_int_equal(row.sequence, actual);
}

/* What the stream says of itself is what its records say: without holes, and
 * each names its predecessor. */
static void check_records(struct world *w)
{
    const struct td_records *map = &w->s->model->current->map;
    const struct td_stream *k = td_stream_by_id(w->s->f->engine, 2);
    const struct td_place from = td_place_two(TD_TABLE_RECORD, 2, 0);
    uint64_t before = 0, next = 0, first = 0, bytes = 0;
    struct td_record_head head;
    uint32_t id;

    for (uint32_t i = td_records_find(map, td_place_str(&from));
         i < map->len &&
         td_place_read_two(map->records[i]->key, TD_TABLE_RECORD, &id,
                           &first) &&
         id == 2;
         i++) {
        assert_true(td_record_read(map->records[i]->value, &head));
        assert_true(next == 0 || first == next);
        assert_true(next == 0 || head.previous == before);
        w->gaps += head.gone;
        before = first;
        next = first + head.events;
        bytes += map->records[i]->value.len;
    }
    assert_int_equal(bytes, k->kept.bytes);
    assert_true(next == 0 || next == k->kept.next);
}

static void look(struct world *w)
{
    td_model_fail(w->s->model, 0, TIDINGS_OK);
    let_store(w->s);
    pass(w->s->f, 100);
    td_model_limit(w->s->model, 0, 0);
    pass(w->s->f, 1100); /* a commit may have failed */
    settle_down(w->s);
    forget(w->s->f);
    look_at_all(w);
    check_missing(w);
    check_newest(w);
    check_records(w);
    check_conflict(w);
    forget(w->s->f);
}

/* ---- what happens ---- */

static void greet(struct world *w)
{
    hello(w->s->f, "p");
    /* what failed is sent again under new numbers only */
    w->next = frame(w->s->f, "p", TD_WELCOME, 0)->u.welcome.taken + 1 > w->next
                  ? frame(w->s->f, "p", TD_WELCOME, 0)->u.welcome.taken + 1
                  : w->next;
}

static void purge(struct world *w)
{
    uint64_t before = w->last ? 1 + draw(w, (uint32_t)w->last) : 0;

    if (before == 0)
        return;
    w->purged = before > w->purged ? before : w->purged;
    givef(w->s->f, "p",
          "[15 7 \"stream.purge\" {\"name\" \"k\" \"before\" %u}]",
          (unsigned)before);
}

static void step(struct world *w)
{
    switch (draw(w, 24)) {
    case 0:
        look(w);
        kill_broker(w->s);
        greet(w);
        break;
    case 1:
        let_store(w->s);
        cut_power(w->s);
        greet(w);
        look(w);
        break;
    case 2:
    case 3:
        hold_store(w->s);
        td_model_fail(w->s->model, 1 + draw(w, 3),
                      draw(w, 2) ? TIDINGS_EFULL : TIDINGS_ENOMEM);
        break;
    case 4:
        let_store(w->s);
        break;
    case 5:
        td_model_commit(w->s->model, 1 + draw(w, 3));
        break;
    case 6:
        look(w);
        break;
    case 7:
        if (draw(w, 4) == 0)
            purge(w);
        break;
    case 8:
        if (draw(w, 3) == 0)
            td_model_limit(w->s->model, 1, 0); /* there is no room */
        pass(w->s->f, 1 + draw(w, 700));
        break;
    default:
        publish_some(w);
        break;
    }
    flush(w->s->f);
    if (w->s->f->sent_len > SENT_MAX / 2)
        forget(w->s->f);
}

#define STREAM "\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true "

static const char *const options[] = {
    "{" STREAM "\"compact\" true \"tombstone_ms\" 100}",
    "{" STREAM "}",
    "{" STREAM "\"compact\" true}",
    "{" STREAM "\"max_events\" 60}",
};

/* Returns how many gaps were seen. */
static uint64_t run(struct streams *s, uint32_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t gaps;

    assert_non_null(w);
    w->s = s;
    w->random = seed;
    w->next = 1;
    s->f->unjudged = true;
    greet(w);
    w->compact = seed % 2 == 0;
    call(s, "p", "stream.add", options[seed % 4]);
    if (seed % 4 == 3)
        w->purged = UINT64_MAX; /* all the time */
    for (int i = 0; i < STEPS; i++)
        step(w);
    look(w);
    gaps = w->gaps;
    assert_true(w->compact || gaps == 0);
    free(w);
    return gaps;
}

static void test_newest_in_random_histories(void **state)
{
    const char *text = getenv("TIDINGS_SEED");
    uint32_t first = text ? (uint32_t)atoi(text) : 1;
    uint64_t gaps = 0;
    void *s;

    (void)state;
    for (uint32_t seed = first; seed < first + (text ? 1 : SEEDS); seed++) {
        assert_int_equal(setup_streams(&s), 0);
        gaps += run(s, seed);
        teardown_streams(&s);
    }
    assert_true(text || gaps > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_in_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
