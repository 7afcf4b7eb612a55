/* The engine: the newest of each name in random histories, of commits that fail,
 * crashes and retention. What is in the stream is what a reader of all of it
 * sees; what is the newest of it is worked out here. */
#include "tests/unit/stream_fixture.h"

#include <stdlib.h>

#include "tests/support/mp.h"

#define SEEDS  12
#define STEPS  400
#define KEYS   9u
#define EVENTS 8192u

struct world {
    struct streams *s;
    uint32_t random;
    unsigned lives;
    unsigned readers;
    uint64_t next;         /* the producer's */
    unsigned name[EVENTS]; /* of each of its events: a key, or KEYS + type */
    unsigned seen[EVENTS]; /* of a look: the name + 1 at each sequence */
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

        pieces[i] = (struct piece){type_of(type), 1 + draw(w, 6), 3, w->next,
                                   keyed ? keys[i] : NULL};
        for (uint32_t k = 0; k < pieces[i].count; k++) {
            unsigned key = draw(w, 3) ? draw(w, 3) : draw(w, KEYS + 1);

            keys[i][k] = key < KEYS ? key_of(key) : NULL;
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
    while (confirm_to(w->s, "p", n, &row))
        n++;
    publish_if(w->s->f, "p", DISK, &piece, 1, "{\"expect_key\" 8000}");
    settle_down(w->s);
    w->name[w->next++] = name;
    assert_true(confirm_to(w->s, "p", n, &row));
    assert_int_equal(row.code, TIDINGS_ECONFLICT);
    assert_int_equal(row.sequence, actual);
}

static void look(struct world *w)
{
    td_model_fail(w->s->model, 0, TIDINGS_OK);
    let_store(w->s);
    pass(w->s->f, 600); /* a commit may have failed */
    settle_down(w->s);
    forget(w->s->f);
    look_at_all(w);
    check_newest(w);
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
    if (w->last == 0)
        return;
    givef(w->s->f, "p",
          "[15 7 \"stream.purge\" {\"name\" \"k\" \"before\" %u}]",
          (unsigned)(1 + draw(w, (uint32_t)w->last)));
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

static void run(struct streams *s, uint32_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->s = s;
    w->random = seed;
    w->next = 1;
    s->f->unjudged = true;
    greet(w);
    call(s, "p", "stream.add",
         seed % 3 == 0
             ? "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true "
               "\"max_events\" 60}"
             : "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true}");
    for (int i = 0; i < STEPS; i++)
        step(w);
    look(w);
    free(w);
}

static void test_newest_in_random_histories(void **state)
{
    const char *text = getenv("TIDINGS_SEED");
    uint32_t first = text ? (uint32_t)atoi(text) : 1;
    void *s;

    (void)state;
    for (uint32_t seed = first; seed < first + (text ? 1 : SEEDS); seed++) {
        assert_int_equal(setup_streams(&s), 0);
        run(s, seed);
        teardown_streams(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_in_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
