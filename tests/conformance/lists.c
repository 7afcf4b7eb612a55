/* Lists: all of their events are stored, one after the other, or none is,
 * whatever comes between. */
#include "tests/conformance/kept.h"

#include <stdlib.h>
#include <time.h>

#define LIST  7u /* events of a list */
#define LISTS 60u

/* ---- what a list is told ---- */

struct told {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    size_t calls;
    tidings_err errs[TIDINGS_LIST_MAX];
    uint64_t sequences[TIDINGS_LIST_MAX];
    size_t duplicates;
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct told *t = arg;

    pthread_mutex_lock(&t->lock);
    if (t->calls < TIDINGS_LIST_MAX) {
        t->errs[t->calls] = confirm->err;
        t->sequences[t->calls] = confirm->sequence;
    }
    t->duplicates += confirm->duplicate;
    t->calls++;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static bool told_wait(struct told *t, size_t calls)
{
    struct timespec end;
    bool ok;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += CONF_MS / 1000;
    pthread_mutex_lock(&t->lock);
    while (t->calls < calls &&
           pthread_cond_timedwait(&t->changed, &t->lock, &end) == 0)
        ;
    ok = t->calls == calls;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

/* Publishes a list; all of its events are told the same, which it returns. */
static tidings_err put_if(struct told *t, tidings_bus *bus,
                          const struct tidings_event *events, size_t len,
                          const uint64_t *expected)
{
    const struct tidings_publish_options options = {
        .level = TIDINGS_DISK,
        .on_confirm = on_confirm,
        .arg = t,
        .expects = expected != NULL,
        .expected = expected ? *expected : 0};

    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    assert_ok(tidings_publish_all(bus, events, len, &options));
    assert_true(told_wait(t, len));
    for (size_t i = 1; i < len; i++) {
        assert_int_equal(t->errs[i], t->errs[0]);
        if (!t->errs[0])
            assert_int_equal(t->sequences[i], t->sequences[0] + i);
    }
    return t->errs[0];
}

static tidings_err put(struct told *t, tidings_bus *bus,
                       const struct tidings_event *events, size_t len)
{
    return put_if(t, bus, events, len, NULL);
}

/* len events without data: the second of them of that type, and the second
 * last with that id. */
static void list_of(struct tidings_event *events, size_t len,
                    const struct kept *k, const char *second, const char *id)
{
    memset(events, 0, len * sizeof(*events));
    for (size_t i = 0; i < len; i++)
        events[i].type = k->type;
    if (second)
        events[1].type = second;
    if (id) {
        events[len - 2].id = id;
        events[len - 2].source = "/lists";
    }
}

/* ---- stored ---- */

struct other {
    tidings_bus *bus;
    const struct kept *k;
    atomic_bool stop;
    tidings_err err;
};

static void *publish_others(void *arg)
{
    struct other *o = arg;

    while (!o->err && !atomic_load(&o->stop)) {
        o->err = tidings_publish(o->bus, o->k->type, NULL, 0);
        conf_pause_us(50);
    }
    return NULL;
}

/* Others publish meanwhile; types differ, so that it is many runs. */
static void check_stored(struct conf *c, enum tidings_storage storage)
{
    static struct told t;
    static struct tidings_event events[TIDINGS_LIST_MAX];
    tidings_bus *bus = kept_open(c);
    struct other other = {.bus = kept_open(c)};
    struct tidings_info info;
    pthread_t thread;
    char type[32];
    struct kept k;

    kept_add_in(&k, bus, storage, false);
    snprintf(type, sizeof(type), "%s.b", k.type);
    list_of(events, TIDINGS_LIST_MAX, &k, type, "one");
    for (size_t i = 0; i < TIDINGS_LIST_MAX; i += 3)
        events[i].type = type;
    other.k = &k;
    assert_int_equal(pthread_create(&thread, NULL, publish_others, &other), 0);
    for (size_t len = TIDINGS_LIST_MAX; len > 2; len /= 2)
        assert_ok(put(&t, bus, events, len));
    atomic_store(&other.stop, true);
    pthread_join(thread, NULL);
    assert_ok(other.err);
    assert_ok(tidings_flush(other.bus, CONF_MS));
    assert_ok(tidings_info(&info, other.bus));
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"),
                     2 * TIDINGS_LIST_MAX - 4 + info.confirmed);
}

static void test_lists_are_stored_one_after_the_other(void **state)
{
    kept_in_each_storage(*state, check_stored);
}

/* ---- refused ---- */

static void check_refused(struct conf *c, enum tidings_storage storage)
{
    const struct operate_option two[] = {
        {"name", NULL, 0}, {"before", NULL, 3}, {0}};
    const uint64_t wrong = 7, right = 10;
    tidings_bus *bus = kept_open(c);
    struct tidings_event events[LIST];
    struct tidings_stream_options options;
    struct operate_option purge[3];
    const char *patterns[1];
    struct kept k, other;
    struct tally *live;
    static struct told t;

    kept_add(&other, bus);
    kept_name(&k);
    options = kept_options(&k, patterns);
    options.storage = storage;
    options.max_events = 14;
    options.on_full = TIDINGS_REJECT;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    kept_publish(&k, bus, 1, 2); /* of a record of their own */
    kept_publish(&k, bus, 3, 8);
    live = conf_subscribe(c, bus, k.pattern);
    list_of(events, LIST, &k, other.type, NULL);
    assert_err(put(&t, bus, events, LIST), TIDINGS_EINVAL); /* two streams */
    list_of(events, LIST, &k, NULL, NULL);
    assert_err(put_if(&t, bus, events, LIST, &wrong), TIDINGS_ECONFLICT);
    assert_int_equal(t.sequences[LIST - 1], 10);
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_int_equal(tally_count(live), 0);
    bus = kept_open(c);
    assert_err(put_if(&t, bus, events, LIST, &right), TIDINGS_EFULL);
    assert_err(put(&t, bus, events, LIST), TIDINGS_EFULL); /* 4 would fit */
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 10);
    memcpy(purge, two, sizeof(two));
    purge[0].text = k.stream;
    assert_ok(operate(NULL, NULL, bus, "stream.purge", purge));
    assert_err(put(&t, bus, events, LIST), TIDINGS_EFULL); /* one too many */
    assert_ok(put_if(&t, bus, events, LIST - 1, &right));
    assert_int_equal(t.sequences[0], 11);
    assert_int_equal(operate_stream_figure(bus, other.stream, "last"), 0);
}

static void test_lists_are_refused_as_a_whole(void **state)
{
    kept_in_each_storage(*state, check_refused);
}

/* One of it was stored alone: it is refused. All of it was: it is there. */
static void check_repeats(struct conf *c, enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    struct tidings_event events[LIST];
    char ids[LIST][8];
    struct kept k;
    static struct told t;

    kept_add_in(&k, bus, storage, false);
    list_of(events, LIST, &k, NULL, "known");
    assert_ok(put(&t, bus, events + LIST - 2, 2));
    assert_err(put(&t, bus, events, LIST), TIDINGS_ECONFLICT);
    for (size_t i = 0; i < LIST; i++) {
        snprintf(ids[i], sizeof(ids[i]), "id-%zu", i);
        events[i].id = ids[i];
        events[i].source = "/lists";
    }
    for (int round = 0; round < 3; round++) {
        assert_ok(put(&t, round == 2 ? kept_open(c) : bus, events, LIST));
        assert_int_equal(t.duplicates, round ? LIST : 0);
        assert_int_equal(t.sequences[0], 3);
    }
    events[3].id = "another";
    assert_err(put(&t, bus, events, LIST), TIDINGS_ECONFLICT);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 2 + LIST);
}

static void test_lists_come_again_as_a_whole(void **state)
{
    kept_in_each_storage(*state, check_repeats);
}

/* What no broker would take is not even packed. */
/* D20: none of it is stored, and which is bad is said */
static void test_lists_have_bounds(void **state)
{
    static struct tidings_event events[TIDINGS_LIST_MAX + 1];
    static char data[TIDINGS_DATA_MAX / 2];
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_info info;
    struct kept k;

    kept_add(&k, bus);
    list_of(events, TIDINGS_LIST_MAX + 1, &k, NULL, NULL);
    assert_err(tidings_publish_all(bus, events, 0, NULL), TIDINGS_EINVAL);
    assert_err(tidings_publish_all(bus, NULL, 1, NULL), TIDINGS_EINVAL);
    assert_err(tidings_publish_all(bus, events, TIDINGS_LIST_MAX + 1, NULL),
               TIDINGS_EINVAL);
    events[LIST - 1].type = "a..b";
    assert_err(tidings_publish_all(bus, events, LIST, NULL), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "event 6"));
    events[LIST - 1].type = k.type;
    for (size_t i = 0; i < LIST; i++) {
        events[i].data = data;
        events[i].data_len = sizeof(data);
    }
    assert_err(tidings_publish_all(bus, events, LIST, NULL), TIDINGS_ELIMIT);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.confirmed, 0);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 0);
}

/* ---- killed ---- */

/* The broker is killed while lists are under way: each is stored once, and its
 * events are together. */
static void test_killed_brokers_store_lists_as_a_whole(void **state)
{
    const struct tidings_sub_options all = {
        .start = {.kind = TIDINGS_START_ALL}};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_event events[LIST];
    uint64_t n[LIST];
    struct kept k;

    if (!conf_has_data() || !conf_has_daemon())
        skip(); /* inproc ends with its publishers */
    kept_add(&k, bus);
    list_of(events, LIST, &k, NULL, NULL);
    for (uint64_t list = 0; list < LISTS; list++) {
        for (size_t i = 0; i < LIST; i++) {
            n[i] = list * LIST + i + 1;
            events[i].data = &n[i];
            events[i].data_len = sizeof(n[i]);
        }
        assert_ok(tidings_publish_all(bus, events, LIST, NULL));
        if (list == LISTS / 2)
            conf_restart(c);
    }
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"),
                     LISTS * LIST);
    hand_join(h, bus, &k, NULL, &all);
    assert_true(hand_wait(h, LISTS * LIST, CONF_MS));
    assert_true(hand_saw_just(h, 1, LISTS * LIST));
}

int conf_run_lists(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_lists_are_stored_one_after_the_other),
        KEPT_TEST(test_lists_are_refused_as_a_whole),
        KEPT_TEST(test_lists_come_again_as_a_whole),
        KEPT_TEST(test_lists_have_bounds),
        KEPT_TEST(test_killed_brokers_store_lists_as_a_whole),
    };

    return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
