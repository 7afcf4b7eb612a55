/* Several buses in one process: on several names, on one name, and beside one
 * to a broker. */
#include "tests/embed/host.h"

#define NAMES  4
#define BUSES  3 /* of each name */
#define EVENTS (400 / HOST_SLOW)
#define RACERS 4
#define RACES  (200 / HOST_SLOW)

static tidings_err publish(tidings_bus *bus, const char *type, uint64_t sender,
                           uint64_t n)
{
    const struct host_number number = {.sender = sender, .n = n};

    return tidings_publish(bus, type, &number, sizeof(number));
}

static uint64_t epoch_of(tidings_bus *bus)
{
    struct tidings_info info;

    assert_ok(tidings_wait(bus, HOST_MS));
    assert_ok(tidings_info(&info, bus));
    return info.epoch;
}

/* ---- names ---- */

struct grid {
    tidings_bus *bus[NAMES][BUSES];
    struct host_seen seen[NAMES][BUSES];
};

static void open_grid(struct grid *g)
{
    memset(g, 0, sizeof(*g));
    for (int b = 0; b < BUSES; b++) { /* not name by name */
        for (int i = 0; i < NAMES; i++) {
            char url[32];

            snprintf(url, sizeof(url), "inproc://name-%d", i);
            assert_ok(tidings_open(&g->bus[i][b], url, NULL));
            assert_ok(tidings_subscribe(NULL, g->bus[i][b], "grid.*",
                                        host_on_event, &g->seen[i][b], NULL));
        }
    }
}

/* A name's buses share its events; those of other names never come. */
static void test_names_are_apart_and_a_name_is_shared(void **state)
{
    struct host_use before = host_use_now();
    struct grid g;

    (void)state;
    open_grid(&g);
    for (uint64_t n = 1; n <= EVENTS; n++) {
        for (int i = 0; i < NAMES * BUSES; i++)
            assert_ok(
                publish(g.bus[i / BUSES][i % BUSES], "grid.a", (uint64_t)i, n));
    }
    for (int i = 0; i < NAMES * BUSES; i++)
        assert_true(host_wait_events(&g.seen[i / BUSES][i % BUSES],
                                     (uint64_t)BUSES * EVENTS));
    for (int i = 0; i < NAMES * BUSES; i++)
        assert_ok(tidings_close(g.bus[i / BUSES][i % BUSES]));
    for (int i = 0; i < NAMES; i++) {
        for (int b = 0; b < BUSES; b++) {
            struct host_seen *seen = &g.seen[i][b];

            assert_int_equal(atomic_load(&seen->events), BUSES * EVENTS);
            assert_int_equal(atomic_load(&seen->wrong), 0);
            for (int s = 0; s < NAMES * BUSES; s++)
                assert_int_equal(atomic_load(&seen->last[s]),
                                 s / BUSES == i ? EVENTS : 0);
        }
    }
    host_expect_use(before);
}

/* A name's broker lives from the first bus to the last. */
static void test_a_name_ends_with_its_last_bus(void **state)
{
    tidings_bus *first;
    tidings_bus *second;
    uint64_t epoch;

    (void)state;
    assert_ok(tidings_open(&first, "inproc://life", NULL));
    epoch = epoch_of(first);
    assert_ok(tidings_open(&second, "inproc://life", NULL));
    assert_int_equal(epoch_of(second), epoch);
    assert_ok(tidings_close(first));
    assert_ok(tidings_open(&first, "inproc://life", NULL));
    assert_int_equal(epoch_of(first), epoch);
    assert_ok(tidings_close(second));
    assert_ok(tidings_close(first));
    assert_ok(tidings_open(&first, "inproc://life", NULL));
    assert_int_not_equal(epoch_of(first), epoch);
    assert_ok(tidings_close(first));
}

/* ---- one bus's handler at another bus ---- */

struct bridge {
    tidings_bus *to;
    const char *type;
    atomic_uint failed;
};

static tidings_err pass_on(void *arg, const struct tidings_event *event)
{
    struct bridge *b = arg;

    if (tidings_publish(b->to, b->type, event->data, event->data_len))
        atomic_fetch_add(&b->failed, 1);
    return TIDINGS_OK;
}

/* There and back again: inproc, a broker, and another name. */
static void test_handlers_pass_events_from_bus_to_bus(void **state)
{
    struct host_use before = host_use_now();
    struct td_daemon broker = {.listening = 0};
    struct host_seen seen = {.events = 0};
    tidings_bus *bus[3];
    struct bridge bridges[3];

    (void)state;
    host_broker_start(&broker);
    assert_ok(tidings_open(&bus[0], "inproc://here", NULL));
    assert_ok(tidings_open(&bus[1], broker.endpoint[0], NULL));
    assert_ok(tidings_open(&bus[2], "inproc://there", NULL));
    for (int i = 0; i < 3; i++) {
        bridges[i] = (struct bridge){.to = bus[(i + 1) % 3],
                                     .type = i < 2 ? "go" : "back"};
        assert_ok(
            tidings_subscribe(NULL, bus[i], "go", pass_on, &bridges[i], NULL));
    }
    assert_ok(
        tidings_subscribe(NULL, bus[0], "back", host_on_event, &seen, NULL));
    for (uint64_t n = 1; n <= EVENTS; n++)
        assert_ok(publish(bus[0], "go", 0, n));
    assert_true(host_wait_events(&seen, EVENTS));
    assert_int_equal(atomic_load(&seen.wrong), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&bridges[i].failed), 0);
        assert_ok(tidings_close(bus[i]));
    }
    td_daemon_end(&broker);
    host_expect_use(before);
}

struct closer {
    tidings_bus *own;
    tidings_bus *other;
    atomic_int own_err;
    atomic_int other_err;
    atomic_bool done;
};

static tidings_err close_both(void *arg, const struct tidings_event *event)
{
    struct closer *c = arg;

    (void)event;
    atomic_store(&c->own_err, (int)tidings_close(c->own));
    atomic_store(&c->other_err, (int)tidings_close(c->other));
    atomic_store(&c->done, true);
    return TIDINGS_OK;
}

static void test_a_handler_closes_another_bus_of_its_name(void **state)
{
    struct host_use before = host_use_now();
    struct host_seen seen = {.events = 0};
    struct closer c = {.done = false};

    (void)state;
    assert_ok(tidings_open(&c.own, "inproc://pair", NULL));
    assert_ok(tidings_open(&c.other, "inproc://pair", NULL));
    assert_ok(tidings_subscribe(NULL, c.own, "close", close_both, &c, NULL));
    assert_ok(
        tidings_subscribe(NULL, c.other, "close", host_on_event, &seen, NULL));
    assert_ok(tidings_publish(c.own, "close", NULL, 0));
    assert_ok(tidings_drain(c.own, HOST_MS));
    assert_true(atomic_load(&c.done));
    assert_err((tidings_err)atomic_load(&c.own_err), TIDINGS_EDEADLK);
    assert_ok((tidings_err)atomic_load(&c.other_err));
    assert_err(tidings_close(c.other), TIDINGS_ECLOSED);
    assert_ok(tidings_close(c.own));
    host_expect_use(before);
}

/* ---- a name that comes and goes ---- */

static void *open_and_close(void *arg)
{
    atomic_uint *wrong = arg;

    for (int i = 0; i < RACES; i++) {
        struct host_seen seen = {.events = 0};
        tidings_bus *bus;
        tidings_err err = tidings_open(&bus, "inproc://race", NULL);

        if (!err)
            err = tidings_subscribe(NULL, bus, "race.*", host_on_event, &seen,
                                    NULL);
        if (!err)
            err = tidings_publish(bus, "race.a", NULL, 0);
        if (!err)
            err = tidings_drain(bus, HOST_MS);
        if (!err)
            err = tidings_close(bus);
        /* Its own event came, whatever the others did. */
        if (err || atomic_load(&seen.events) == 0)
            atomic_fetch_add(wrong, 1);
    }
    return NULL;
}

static void test_a_name_is_opened_and_closed_at_once(void **state)
{
    struct host_use before = host_use_now();
    pthread_t threads[RACERS];
    atomic_uint wrong = 0;

    (void)state;
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, open_and_close, &wrong), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    host_expect_use(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_apart_and_a_name_is_shared),
        cmocka_unit_test(test_a_name_ends_with_its_last_bus),
        cmocka_unit_test(test_handlers_pass_events_from_bus_to_bus),
        cmocka_unit_test(test_a_handler_closes_another_bus_of_its_name),
        cmocka_unit_test(test_a_name_is_opened_and_closed_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
