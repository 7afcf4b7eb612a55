#include "tests/system/load.h"

#include <stdlib.h>

#define SOME 5000 /* events of each publisher show that they flow */

int load_setup(void **state)
{
    *state = calloc(1, sizeof(struct load));
    return *state ? 0 : -1;
}

int load_teardown(void **state)
{
    struct load *l = *state;

    for (size_t i = 0; i < LOAD_PUBLISHERS; i++)
        td_proc_end(&l->publishers[i]);
    sys_peer_close(&l->peer);
    td_daemon_end(&l->broker);
    free(l);
    return 0;
}

struct goal {
    uint64_t epochs;
    uint64_t highest[LOAD_PUBLISHERS];
};

static bool flows(const struct watch *w, void *arg)
{
    const struct goal *g = arg;

    if (w->producers_len < LOAD_PUBLISHERS || w->new_epoch < g->epochs)
        return false;
    for (size_t i = 0; i < LOAD_PUBLISHERS; i++) {
        if (w->producers[i].fresh ||
            w->producers[i].highest < g->highest[i] + SOME)
            return false;
    }
    return true;
}

void load_expect_flow(struct load *l, uint64_t epochs)
{
    struct watch seen = watch_now(&l->peer.watch);
    struct goal goal = {.epochs = epochs};

    for (size_t i = 0; i < LOAD_PUBLISHERS; i++)
        goal.highest[i] = seen.producers[i].highest;
    assert_true(watch_until(&l->peer.watch, flows, &goal, SYS_WAIT_MS));
}

void load_start_broker(struct load *l)
{
    sys_broker_start(&l->broker, NULL);
    sys_peer_open(&l->peer, l->broker.endpoint[0], "watcher");
    sys_peer_subscribe(&l->peer, "load.>");
}

void load_start(struct load *l)
{
    static const char *const types[LOAD_PUBLISHERS] = {"load.a", "load.b"};

    load_start_broker(l);
    for (size_t i = 0; i < LOAD_PUBLISHERS; i++)
        sys_worker(&l->publishers[i], l->broker.endpoint[0], "pub", types[i],
                   NULL);
    load_expect_flow(l, 0);
}

void load_check_order(struct load *l)
{
    struct watch seen = watch_now(&l->peer.watch);

    assert_int_equal(seen.producers_len, LOAD_PUBLISHERS);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.holes, seen.missed);
    assert_int_equal(seen.bad_events, 0);
}
