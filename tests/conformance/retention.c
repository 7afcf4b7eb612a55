/* What streams with bounds keep: how much, how many and how long, and what they
 * do when they are full. */
#include "tests/conformance/kept.h"

#define GROUP     "g"
#define EVENTS    200u
#define DATA      1024u  /* bytes of an event */
#define MAX_BYTES 65536u /* of a stream */

static const struct tidings_sub_options from_all = {
    .start = {.kind = TIDINGS_START_ALL}};

static void add(struct kept *k, tidings_bus *bus, enum tidings_storage storage,
                struct tidings_stream_options bounds)
{
    const char *patterns[1];
    struct tidings_stream_options options;

    kept_name(k);
    options = kept_options(k, patterns);
    options.storage = storage;
    options.max_age_ms = bounds.max_age_ms;
    options.max_bytes = bounds.max_bytes;
    options.max_events = bounds.max_events;
    options.on_full = bounds.on_full;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
}

static uint64_t figure(tidings_bus *bus, const struct kept *k, const char *key)
{
    return operate_stream_figure(bus, k->stream, key);
}

/* Waits until a figure is at most so much. */
static bool until_most(tidings_bus *bus, const struct kept *k, const char *key,
                       uint64_t most)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (figure(bus, k, key) > most) {
        if (td_proc_now_ms() > end)
            return false;
        conf_pause_us(2000);
    }
    return true;
}

static char data[2 * MAX_BYTES];

static void publish_many(const struct kept *k, tidings_bus *bus, unsigned n)
{
    for (unsigned i = 1; i <= n; i++) {
        assert_ok(tidings_publish(bus, k->type, data, DATA));
        if (i % 5 == 0) /* whole records go: none is to be large */
            assert_ok(tidings_flush(bus, CONF_MS));
    }
}

static tidings_err publish_large(const struct kept *k, tidings_bus *bus,
                                 size_t len)
{
    assert_ok(tidings_publish(bus, k->type, data, len));
    return tidings_flush(bus, CONF_MS);
}

/* All from there on is read, and nothing before it. */
static void check_read(struct conf *c, tidings_bus *bus, const struct kept *k,
                       uint64_t first, uint64_t last)
{
    struct hand *h = hand_new(c);
    tidings_sub *sub = hand_join(h, bus, k, NULL, &from_all);

    assert_true(hand_wait(h, last - first + 1, CONF_MS));
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    assert_int_equal(hand_count(h), last - first + 1);
    for (uint64_t i = 0; i < hand_count(h); i++)
        assert_int_equal(hand_call(h, i).sequence, first + i);
    hand_free(h);
}

/* A group that had no member meanwhile gets what is kept, and is told of the
 * rest. */
static void check_group(struct conf *c, tidings_bus *bus, const struct kept *k,
                        uint64_t first, uint64_t last)
{
    struct hand *h = hand_new(c);

    hand_join(h, bus, k, GROUP, NULL);
    assert_true(operate_until_settled(bus, k->stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), last - first + 1);
    if (last >= first)
        assert_int_equal(hand_call(h, 0).sequence, first);
    assert_true(hand_wait_missed(h, first - 1, CONF_MS));
    assert_int_equal(h->missed, first - 1);
    assert_string_equal(h->reason, "expired");
    assert_int_equal(operate_group_figure(bus, k->stream, GROUP, "expired"),
                     first - 1);
    assert_int_equal(operate_group_figure(bus, k->stream, GROUP, "acked"),
                     last - first + 1);
}

static void add_group(tidings_bus *bus, const struct kept *k)
{
    const struct tidings_group_options options = {
        .stream = k->stream, .group = GROUP, .start.kind = TIDINGS_START_ALL};

    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

/* ---- bytes ---- */

static void check_bytes(struct conf *c, enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    uint64_t first;
    struct kept k;

    add(&k, bus, storage,
        (struct tidings_stream_options){.max_bytes = MAX_BYTES});
    add_group(bus, &k);
    publish_many(&k, bus, EVENTS);
    assert_true(until_most(bus, &k, "bytes", MAX_BYTES));
    first = figure(bus, &k, "first");
    assert_int_equal(figure(bus, &k, "last"), EVENTS);
    /* as many as there is room for: each is a little more than its data */
    assert_in_range(EVENTS + 1 - first, MAX_BYTES / DATA / 2, MAX_BYTES / DATA);
    check_read(c, bus, &k, first, EVENTS);
    check_group(c, bus, &k, first, EVENTS);
    /* the newest stays, however large it is, until it is not */
    assert_ok(publish_large(&k, bus, 2 * MAX_BYTES));
    assert_true(until_most(bus, &k, "events", 1));
    check_read(c, bus, &k, EVENTS + 1, EVENTS + 1);
    assert_ok(publish_large(&k, bus, DATA));
    assert_true(until_most(bus, &k, "bytes", MAX_BYTES));
    check_read(c, bus, &k, EVENTS + 2, EVENTS + 2);
}

static void test_streams_keep_so_many_bytes(void **state)
{
    kept_in_each_storage(*state, check_bytes);
}

/* What is refused leaves no number behind, and what is there stays. */
static void check_bytes_rejected(struct conf *c, enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    tidings_err err = TIDINGS_OK;
    uint64_t stored = 0;
    uint64_t full;
    char why[100];
    struct kept k;

    add(&k, bus, storage,
        (struct tidings_stream_options){.max_bytes = MAX_BYTES,
                                        .on_full = TIDINGS_REJECT});
    assert_err(publish_large(&k, bus, 2 * MAX_BYTES), TIDINGS_EFULL);
    while (stored < EVENTS && !(err = publish_large(&k, bus, DATA)))
        stored++;
    assert_err(err, TIDINGS_EFULL);
    snprintf(why, sizeof(why), "stream %s is full", k.stream);
    assert_non_null(strstr(tidings_detail(), why));
    assert_in_range(stored, MAX_BYTES / DATA / 2, MAX_BYTES / DATA);
    full = figure(bus, &k, "bytes");
    assert_true(full <= MAX_BYTES);
    assert_int_equal(figure(bus, &k, "last"), stored);
    check_read(c, bus, &k, 1, stored);
    assert_ok(operate(NULL, NULL, bus, "stream.purge",
                      (struct operate_option[]){
                          {"name", k.stream, 0}, {"before", NULL, 11}, {0}}));
    /* whole records go a little later, and with them their bytes */
    assert_true(until_most(bus, &k, "bytes", full - full / stored * 10));
    for (unsigned n = 1; n <= 10; n++) /* as many as went */
        assert_ok(publish_large(&k, bus, DATA));
    assert_err(publish_large(&k, bus, DATA), TIDINGS_EFULL);
    check_read(c, bus, &k, 11, stored + 10);
}

static void test_streams_reject_more_bytes(void **state)
{
    kept_in_each_storage(*state, check_bytes_rejected);
}

/* ---- events ---- */

static void check_events(struct conf *c, enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    struct kept k;

    add(&k, bus, storage, (struct tidings_stream_options){.max_events = 77});
    add_group(bus, &k);
    kept_publish(&k, bus, 1, EVENTS);
    assert_true(until_most(bus, &k, "events", 77));
    assert_int_equal(figure(bus, &k, "events"), 77);
    assert_int_equal(figure(bus, &k, "first"), EVENTS - 76);
    check_read(c, bus, &k, EVENTS - 76, EVENTS);
    check_group(c, bus, &k, EVENTS - 76, EVENTS);
}

static void test_streams_keep_so_many_events(void **state)
{
    kept_in_each_storage(*state, check_events);
}

/* ---- many at once ---- */

#define PUBLISHERS 8u
#define EACH       (400u / CONF_SLOW)
#define ROOM       (PUBLISHERS * EACH / 2) /* for half of it */

/* A publisher on a bus of its own, confirm by confirm. */
struct filler {
    tidings_bus *bus;
    const struct kept *k;
    atomic_uint stored;
    atomic_uint refused;
    atomic_uint wrong;
    atomic_ullong highest; /* sequence */
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct filler *f = arg;

    if (confirm->err)
        atomic_fetch_add(
            confirm->err == TIDINGS_EFULL ? &f->refused : &f->wrong, 1);
    else
        atomic_fetch_add(&f->stored, 1);
    if (!confirm->err && confirm->sequence > atomic_load(&f->highest))
        atomic_store(&f->highest, confirm->sequence);
}

static void *fill(void *arg)
{
    struct filler *f = arg;
    const struct tidings_event event = {.type = f->k->type};
    const struct tidings_publish_options options = {
        .level = TIDINGS_OS, .on_confirm = on_confirm, .arg = f};

    for (unsigned i = 0; i < EACH; i++) {
        if (tidings_publish_with(f->bus, &event, &options))
            atomic_fetch_add(&f->wrong, 1);
        if (i % 16 == 0)
            conf_pause_us(100); /* so that their batches mix */
    }
    if (tidings_flush(f->bus, CONF_MS))
        atomic_fetch_add(&f->wrong, 1);
    return NULL;
}

/* D11: not one more than there is room for, whoever comes when. */
static void check_crowd(struct conf *c, enum tidings_storage storage)
{
    struct filler fillers[PUBLISHERS] = {{0}};
    pthread_t threads[PUBLISHERS];
    tidings_bus *bus = kept_open(c);
    unsigned stored = 0;
    struct kept k;

    add(&k, bus, storage,
        (struct tidings_stream_options){.max_events = ROOM,
                                        .on_full = TIDINGS_REJECT});
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        fillers[i].k = &k;
        assert_ok(tidings_open(&fillers[i].bus, conf_url(), NULL));
        pthread_create(&threads[i], NULL, fill, &fillers[i]);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        const struct filler *f = &fillers[i];

        pthread_join(threads[i], NULL);
        assert_ok(tidings_close(f->bus));
        assert_int_equal(f->wrong, 0);
        assert_int_equal(f->stored + f->refused, EACH);
        assert_true(f->highest <= ROOM);
        stored += f->stored;
    }
    assert_int_equal(figure(bus, &k, "events"), stored);
    assert_true(stored <= ROOM);
    /* a batch is stored whole or refused whole */
    while (publish_large(&k, bus, 1) == TIDINGS_OK)
        stored++;
    assert_int_equal(stored, ROOM);
    assert_int_equal(figure(bus, &k, "events"), ROOM);
}

static void test_streams_reject_whoever_comes_too_late(void **state)
{
    kept_in_each_storage(*state, check_crowd);
}

/* ---- age ---- */

/* Looked at once a second: all in one test, so that it waits once. */
struct aged {
    struct kept plain, full;
};

static void age_begin(struct aged *a, tidings_bus *bus,
                      enum tidings_storage storage)
{
    add(&a->plain, bus, storage,
        (struct tidings_stream_options){.max_age_ms = 100});
    add_group(bus, &a->plain);
    add(&a->full, bus, storage,
        (struct tidings_stream_options){
            .max_age_ms = 100, .max_events = 10, .on_full = TIDINGS_REJECT});
    kept_publish(&a->plain, bus, 1, 10);
    kept_publish(&a->full, bus, 1, 10);
}

/* One that is full and rejects has room again. */
static void age_end(struct aged *a, struct conf *c, tidings_bus *bus)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    tidings_err err;

    assert_true(until_most(bus, &a->plain, "events", 0));
    assert_int_equal(figure(bus, &a->plain, "first"), 11);
    assert_int_equal(figure(bus, &a->plain, "bytes"), 0);
    check_group(c, bus, &a->plain, 11, 10);
    kept_publish(&a->plain, bus, 11, 1); /* numbers are not used again */
    assert_int_equal(figure(bus, &a->plain, "last"), 11);
    while ((err = publish_large(&a->full, bus, 1)) == TIDINGS_EFULL &&
           td_proc_now_ms() < end)
        conf_pause_us(2000);
    assert_ok(err);
    assert_int_equal(figure(bus, &a->full, "last"), 11);
    assert_true(figure(bus, &a->full, "first") > 1);
}

static void test_streams_keep_so_long(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct aged in_memory, on_disk;

    age_begin(&in_memory, bus, TIDINGS_STORE_MEMORY);
    if (conf_has_data())
        age_begin(&on_disk, bus, TIDINGS_STORE_DISK);
    age_end(&in_memory, c, bus);
    if (conf_has_data())
        age_end(&on_disk, c, bus);
}

/* ---- the next broker ---- */

static void test_the_next_broker_keeps_the_same(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    uint64_t bytes;
    uint64_t first;
    struct kept full, k;

    if (!conf_has_data())
        skip();
    add(&k, bus, TIDINGS_STORE_DISK,
        (struct tidings_stream_options){.max_bytes = MAX_BYTES});
    add(&full, bus, TIDINGS_STORE_DISK,
        (struct tidings_stream_options){.max_events = 10,
                                        .on_full = TIDINGS_REJECT});
    kept_publish(&full, bus, 1, 10);
    publish_many(&k, bus, 100);
    assert_true(until_most(bus, &k, "bytes", MAX_BYTES));
    bytes = figure(bus, &k, "bytes");
    first = figure(bus, &k, "first");
    conf_restart(c);
    if (!conf_has_daemon())
        bus = kept_open(c);
    assert_int_equal(figure(bus, &k, "bytes"), bytes);
    assert_int_equal(figure(bus, &k, "first"), first);
    publish_many(&k, bus, 10);
    assert_true(until_most(bus, &k, "bytes", MAX_BYTES));
    assert_true(figure(bus, &k, "first") > first);
    check_read(c, bus, &k, figure(bus, &k, "first"), 110);
    assert_err(publish_large(&full, bus, 1), TIDINGS_EFULL);
    check_read(c, bus, &full, 1, 10);
}

/* ---- other bounds ---- */

/* What a smaller bound takes from a group it is told. */
static void check_changes(struct conf *c, enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    const struct tidings_sub_options told = {
        .start = {.kind = TIDINGS_START_ALL}, .on_gap = hand_gap};
    struct tidings_group_options group = {.group = GROUP,
                                          .start = {.kind = TIDINGS_START_ALL}};
    struct tidings_stream_options options;
    struct hand *h = hand_new(c);
    const char *patterns[1];
    struct kept k;

    kept_name(&k);
    options = kept_options(&k, patterns);
    options.storage = storage;
    assert_err(tidings_stream_set(bus, &options, CONF_MS), TIDINGS_ENOTFOUND);
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    group.stream = k.stream;
    assert_ok(tidings_group_add(bus, &group, CONF_MS));
    for (uint64_t i = 1; i <= 10; i++)
        kept_publish(&k, bus, i, 1);
    options.max_events = 3;
    assert_err(tidings_stream_add(bus, &options, CONF_MS), TIDINGS_EEXIST);
    assert_ok(tidings_stream_set(bus, &options, CONF_MS));
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    assert_true(until_most(bus, &k, "events", 3));
    hand_join(h, bus, &k, GROUP, &told);
    assert_true(hand_wait_missed(h, 7, CONF_MS));
    assert_true(hand_wait(h, 3, CONF_MS));
    assert_true(hand_saw_just(h, 8, 3));
    options.max_events = 0;
    options.on_full = TIDINGS_REJECT;
    options.max_bytes = 1;
    assert_ok(tidings_stream_set(bus, &options, CONF_MS));
    assert_err(publish_large(&k, bus, 1), TIDINGS_EFULL);
    options.max_bytes = 0;
    assert_ok(tidings_stream_set(bus, &options, CONF_MS));
    kept_publish(&k, bus, 11, 5);
    assert_int_equal(figure(bus, &k, "events"), 8);
    options.keyed = true;
    options.max_events = 1;
    assert_err(tidings_stream_set(bus, &options, CONF_MS), TIDINGS_EEXIST);
    assert_int_equal(figure(bus, &k, "events"), 8);
    options.dedup_events = UINT64_MAX;
    assert_err(tidings_stream_set(bus, &options, CONF_MS), TIDINGS_EINVAL);
    assert_err(tidings_stream_set(bus, NULL, CONF_MS), TIDINGS_EINVAL);
}

static void test_streams_get_other_bounds(void **state)
{
    kept_in_each_storage(*state, check_changes);
}

static void test_other_bounds_outlive_the_broker(void **state)
{
    struct conf *c = *state;
    struct tidings_stream_options options;
    const char *patterns[1];
    tidings_bus *bus;
    struct kept k;

    if (!conf_has_data())
        skip();
    bus = kept_open(c);
    kept_name(&k);
    options = kept_options(&k, patterns);
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    kept_publish(&k, bus, 1, 10);
    options.max_events = 4;
    assert_ok(tidings_stream_set(bus, &options, CONF_MS));
    conf_restart(c);
    if (!conf_has_daemon())
        bus = kept_open(c);
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    kept_publish(&k, bus, 11, 1);
    assert_true(until_most(bus, &k, "events", 4));
}

int conf_run_retention(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_streams_keep_so_many_bytes),
        KEPT_TEST(test_streams_reject_more_bytes),
        KEPT_TEST(test_streams_keep_so_many_events),
        KEPT_TEST(test_streams_reject_whoever_comes_too_late),
        KEPT_TEST(test_streams_keep_so_long),
        KEPT_TEST(test_the_next_broker_keeps_the_same),
        KEPT_TEST(test_streams_get_other_bounds),
        KEPT_TEST(test_other_bounds_outlive_the_broker),
    };

    return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}
