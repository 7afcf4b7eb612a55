/* Members of a durable group that come and go while events are delivered to
 * them, and while other threads settle (FAULTS D22): none is called any more
 * once its end has returned, and each event is settled once. */
#include "tests/conformance/kept.h"

#include <sched.h>
#include <stdlib.h>

#define RACES  (64 / CONF_SLOW)
#define GROUP  "racers"
#define EVENTS 2000000u /* more than there are */
#define LATER  16       /* events at a time that another thread settles */

/* What all members of a race share. */
struct race {
    struct kept k;
    tidings_bus *from;
    atomic_bool stop;
    uint64_t published;
    tidings_err err; /* of the publisher */
    pthread_mutex_t lock;
    struct tidings_delivery later[LATER];
    size_t later_len;
    unsigned odd; /* settlements that gave an error which they must not */
    atomic_bool *seen;
};

struct member {
    struct race *race;
    atomic_bool over; /* its end has returned */
    atomic_uint calls;
    atomic_uint late;
};

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct member *m = arg;
    struct race *r = m->race;
    struct tidings_delivery d;
    tidings_err answer = TIDINGS_OK;
    uint64_t n = 0;

    if (event->data_len == sizeof(n))
        memcpy(&n, event->data, sizeof(n));
    if (n < EVENTS)
        atomic_store(&r->seen[n], true);
    atomic_fetch_add(&m->calls, 1);
    if (n % 3 == 0 && !tidings_delivery(&d, event)) {
        pthread_mutex_lock(&r->lock);
        if (r->later_len < LATER) {
            r->later[r->later_len++] = d;
            answer = TIDINGS_ELATER;
        }
        pthread_mutex_unlock(&r->lock);
    }
    if (atomic_load(&m->over))
        atomic_fetch_add(&m->late, 1);
    return answer;
}

/* ---- beside it ---- */

static void *publish(void *arg)
{
    struct race *r = arg;

    while (!atomic_load(&r->stop) && !r->err && r->published + 1 < EVENTS) {
        uint64_t n = ++r->published;

        r->err = tidings_publish(r->from, r->k.type, &n, sizeof(n));
        if (n % 8 == 0)
            conf_pause_us(100);
    }
    return NULL;
}

/* Those of a member that has ended were given back. */
static bool is_settlement(tidings_err err)
{
    return err == TIDINGS_OK || err == TIDINGS_ENOTFOUND ||
           err == TIDINGS_ECLOSED;
}

static void *settle(void *arg)
{
    struct race *r = arg;

    while (!atomic_load(&r->stop)) {
        pthread_mutex_lock(&r->lock);
        while (r->later_len > 0) {
            const struct tidings_delivery *d = &r->later[--r->later_len];

            r->odd += !is_settlement(tidings_settle(d, TIDINGS_ACK, 0, NULL));
        }
        pthread_mutex_unlock(&r->lock);
        sched_yield();
    }
    return NULL;
}

/* ---- the race ---- */

typedef tidings_err end_member(struct conf *c, tidings_bus *bus,
                               tidings_sub *sub);

static tidings_err by_unsubscribing(struct conf *c, tidings_bus *bus,
                                    tidings_sub *sub)
{
    (void)c;
    (void)bus;
    return tidings_unsubscribe(sub, CONF_MS);
}

static tidings_err by_closing(struct conf *c, tidings_bus *bus,
                              tidings_sub *sub)
{
    (void)sub;
    conf_forget(c, bus);
    return tidings_close(bus);
}

/* Comes, is called a few times, and goes; *bus: NULL if that ends with it. */
static tidings_err come_and_go(struct conf *c, struct member *m,
                               tidings_bus **bus, unsigned calls,
                               end_member *end)
{
    struct tidings_sub_options options = {
        .stream = m->race->k.stream, .group = GROUP, .window_events = 64};
    int64_t deadline = td_proc_now_ms() + CONF_MS;
    tidings_sub *sub;
    tidings_err err;

    if (!*bus)
        *bus = conf_open(c, NULL);
    err = tidings_subscribe(&sub, *bus, ">", on_event, m, &options);
    while (!err && atomic_load(&m->calls) < calls &&
           td_proc_now_ms() < deadline)
        sched_yield();
    if (!err)
        err = end(c, *bus, sub);
    atomic_store(&m->over, true);
    if (end == by_closing)
        *bus = NULL;
    return err;
}

static tidings_err race_members(struct conf *c, struct member *members,
                                unsigned races, end_member *end)
{
    tidings_bus *bus = NULL;
    uint32_t random = 5;
    tidings_err err = TIDINGS_OK;

    for (unsigned i = 0; i < races && !err; i++)
        err = come_and_go(c, &members[i], &bus, conf_random(&random, 40), end);
    if (bus)
        conf_forget(c, bus);
    tidings_close(bus);
    return err;
}

static void check_group(tidings_bus *bus, const struct kept *k)
{
    static const char *const none[] = {"dead", "timed_out", "lost", "expired"};

    assert_int_equal(operate_group_figure(bus, k->stream, GROUP, "acked"),
                     operate_stream_figure(bus, k->stream, "last"));
    for (size_t i = 0; i < TD_ARRAY_LEN(none); i++)
        assert_row(none[i],
                   operate_group_figure(bus, k->stream, GROUP, none[i]) == 0);
}

/* One that stays has the rest, and settles all of it itself. */
static void handle_the_rest(struct conf *c, struct race *r, struct member *m)
{
    const struct tidings_sub_options options = {.stream = r->k.stream,
                                                .group = GROUP};
    tidings_bus *bus = conf_open(c, NULL);

    r->later_len = LATER;
    assert_ok(tidings_subscribe(NULL, bus, ">", on_event, m, &options));
    assert_true(operate_until_settled(bus, r->k.stream, GROUP, CONF_MS));
    check_group(bus, &r->k);
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
}

static void check_members(struct race *r, struct member *members, unsigned len)
{
    uint64_t calls = 0;
    unsigned late = 0;

    for (unsigned i = 0; i < len; i++) {
        calls += atomic_load(&members[i].calls);
        late += atomic_load(&members[i].late);
    }
    for (uint64_t n = 1; n <= r->published; n++)
        assert_true(atomic_load(&r->seen[n]));
    assert_int_equal(late, 0);
    assert_int_equal(r->odd, 0);
    assert_true(calls >= r->published);
}

static void race_all(struct conf *c, unsigned races, end_member *end)
{
    struct race *r = calloc(1, sizeof(*r));
    struct member *members = calloc(races + 1, sizeof(*members));
    struct tidings_group_options group = {.group = GROUP};
    pthread_t threads[2];
    tidings_err err;

    assert_true(r && members);
    r->seen = calloc(EVENTS, sizeof(*r->seen));
    assert_non_null(r->seen);
    pthread_mutex_init(&r->lock, NULL);
    r->from = kept_open(c);
    kept_add(&r->k, r->from);
    group.stream = r->k.stream;
    assert_ok(tidings_group_add(r->from, &group, CONF_MS));
    for (unsigned i = 0; i <= races; i++)
        members[i].race = r;
    assert_int_equal(pthread_create(&threads[0], NULL, publish, r), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, settle, r), 0);
    err = race_members(c, members, races, end);
    atomic_store(&r->stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_ok(err);
    assert_ok(r->err);
    assert_ok(tidings_flush(r->from, CONF_MS));
    handle_the_rest(c, r, &members[races]);
    check_members(r, members, races + 1);
    pthread_mutex_destroy(&r->lock);
    free(r->seen);
    free(members);
    free(r);
}

static void test_members_are_not_called_after_unsubscribe(void **state)
{
    race_all(*state, RACES, by_unsubscribing);
}

static void test_members_are_not_called_after_close(void **state)
{
    race_all(*state, RACES / 2, by_closing);
}

int conf_run_race(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_members_are_not_called_after_unsubscribe),
        KEPT_TEST(test_members_are_not_called_after_close),
    };

    return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
