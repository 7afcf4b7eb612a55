/* What comes again is stored once: over another link of the same bus, known by
 * its producer and number; from another bus, or to the next broker, by the
 * source and id that it has of its own. */
#include "tests/conformance/kept.h"

#define ROUNDS 3u
#define EVENTS 300u /* of a round */
#define IDS    100u

/* What callbacks were told, one at a time. */
struct told {
    atomic_uint calls;
    unsigned errs;
    unsigned wrong; /* another stream, or another sequence than its number */
    unsigned duplicates;
    const char *stream;
};

struct ask {
    struct told *told;
    uint64_t n; /* the sequence that it is to have */
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct ask *ask = arg;
    struct told *t = ask->told;
    bool forgotten = confirm->duplicate && confirm->sequence == 0;

    t->errs += confirm->err != TIDINGS_OK;
    t->duplicates += confirm->duplicate;
    if (!confirm->err && !forgotten &&
        (confirm->sequence != ask->n || strcmp(confirm->stream, t->stream)))
        t->wrong++;
    atomic_fetch_add(&t->calls, 1);
}

static bool told_wait(struct told *t, unsigned calls)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(&t->calls) < calls && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(&t->calls) == calls;
}

/* Event n, with an id of its own or without. */
static void publish_asked(tidings_bus *bus, const struct kept *k,
                          struct ask *ask, bool named)
{
    const struct tidings_publish_options options = {
        .level = TIDINGS_DISK, .on_confirm = on_confirm, .arg = ask};
    struct tidings_event event = {
        .type = k->type, .data = &ask->n, .data_len = sizeof(ask->n)};
    char id[24];

    snprintf(id, sizeof(id), "order-%u", (unsigned)ask->n);
    if (named) {
        event.id = id;
        event.source = "/repeats";
    }
    assert_ok(tidings_publish_with(bus, &event, &options));
}

static bool until_stored(tidings_bus *bus, const struct kept *k, uint64_t last)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (operate_stream_figure(bus, k->stream, "last") < last) {
        if (td_proc_now_ms() > end)
            return false;
        conf_pause_us(1000);
    }
    return true;
}

/* ---- links ---- */

/* Of each round some is stored, the first at least, but not confirmed when the
 * link is lost; half of it has ids. */
static void check_links(struct conf *c, enum tidings_storage storage)
{
    const struct td_chaos_rules deaf = {.hole_down = true};
    const struct tidings_sub_options all = {
        .start = {.kind = TIDINGS_START_ALL}};
    tidings_bus *bus = kept_open(c);
    tidings_bus *lossy = conf_open_at(c, td_chaos_url(c->chaos), NULL);
    static struct ask asks[ROUNDS * EVENTS];
    struct told told = {0};
    struct hand *h = hand_new(c);
    struct tidings_info info;
    struct kept k;
    uint64_t n = 0;
    int64_t us;

    kept_add_in(&k, bus, storage, false);
    told.stream = k.stream;
    assert_ok(tidings_wait(lossy, CONF_MS));
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_ok(tidings_ping(&us, lossy, CONF_MS)); /* it has all answers */
        td_chaos_rules(c->chaos, &deaf);
        for (unsigned i = 0; i < EVENTS; i++, n++) {
            asks[n] = (struct ask){&told, n + 1};
            publish_asked(lossy, &k, &asks[n], n % 2);
        }
        assert_true(until_stored(bus, &k, n - EVENTS + 1));
        td_chaos_rules(c->chaos, &(struct td_chaos_rules){0});
        td_chaos_cut(c->chaos);
        assert_ok(tidings_flush(lossy, CONF_MS));
        assert_true(told_wait(&told, (unsigned)n));
    }
    assert_ok(tidings_info(&info, lossy));
    assert_int_equal(info.connects, 1 + ROUNDS);
    assert_true(info.resent >= ROUNDS);
    assert_int_equal(info.confirmed, n);
    assert_int_equal(told.errs, 0);
    assert_int_equal(told.wrong, 0);
    assert_true(told.duplicates >= ROUNDS);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), n);
    hand_join(h, bus, &k, NULL, &all);
    assert_true(hand_wait(h, n, CONF_MS));
    assert_true(hand_saw_just(h, 1, n));
}

static void test_what_comes_over_another_link_is_stored_once(void **state)
{
    if (!conf_has_daemon())
        skip(); /* inproc has no link to lose */
    conf_chaos(*state);
    kept_in_each_storage(*state, check_links);
}

/* ---- buses ---- */

static void publish_ids(tidings_bus *bus, const struct kept *k,
                        struct told *told, unsigned count)
{
    static struct ask asks[2 * IDS];

    memset(told, 0, sizeof(*told));
    told->stream = k->stream;
    for (unsigned i = 0; i < count; i++) {
        asks[i] = (struct ask){told, i + 1};
        publish_asked(bus, k, &asks[i], true);
    }
    assert_true(told_wait(told, count));
    assert_int_equal(told->errs, 0);
    assert_int_equal(told->wrong, 0);
}

/* One that is closed, and another, as of a program that begins anew. */
static void check_buses(struct conf *c, enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    tidings_bus *first = conf_open(c, NULL);
    struct told told;
    struct kept k;

    kept_add_in(&k, bus, storage, false);
    publish_ids(first, &k, &told, IDS);
    assert_int_equal(told.duplicates, 0);
    conf_forget(c, first);
    assert_ok(tidings_close(first));
    publish_ids(conf_open(c, NULL), &k, &told, IDS + 10);
    assert_int_equal(told.duplicates, IDS);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), IDS + 10);
    assert_int_equal(operate_stream_figure(bus, k.stream, "repeats"), IDS);
}

static void test_what_comes_from_another_bus_is_stored_once(void **state)
{
    kept_in_each_storage(*state, check_buses);
}

static void test_what_comes_to_the_next_broker_is_stored_once(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct told told;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    publish_ids(bus, &k, &told, IDS);
    for (unsigned round = 1; round < 3; round++) {
        conf_restart(c);
        if (!conf_has_daemon())
            bus = kept_open(c);
        publish_ids(bus, &k, &told, IDS + 10 * round);
        assert_int_equal(told.duplicates, IDS + 10 * (round - 1));
    }
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), IDS + 20);
}

int conf_run_repeats(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_what_comes_over_another_link_is_stored_once),
        KEPT_TEST(test_what_comes_from_another_bus_is_stored_once),
        KEPT_TEST(test_what_comes_to_the_next_broker_is_stored_once),
    };

    return cmocka_run_group_tests_name("repeats", tests, NULL, NULL);
}
