#include "tests/conformance/over.h"

#include <sched.h>
#include <stdlib.h>

#include "tests/conformance/workers.h"

tidings_err over_note(void *arg, const struct tidings_event *event)
{
    struct over *o = arg;

    (void)event;
    atomic_fetch_add(&o->calls, 1);
    sched_yield();
    if (atomic_load(&o->over))
        atomic_fetch_add(&o->late, 1);
    return TIDINGS_OK;
}

struct spinner {
    tidings_bus *bus;
    atomic_bool stop;
    tidings_err err;
};

static void *publish_until(void *arg)
{
    struct spinner *s = arg;

    for (uint64_t n = 0; !atomic_load(&s->stop) && !s->err; n++) {
        s->err = n % 2 ? tidings_publish(s->bus, "race", "x", 1)
                       : workers_publish(s->bus, "race", n % 3 ? "a" : "b", n);
        sched_yield();
    }
    return NULL;
}

static tidings_err come_and_go(struct over *one, tidings_bus *to,
                               const struct tidings_sub_options *o,
                               unsigned calls)
{
    tidings_sub *sub;
    tidings_err err = tidings_subscribe(&sub, to, "race", over_note, one, o);
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (!err && atomic_load(&one->calls) < calls && td_proc_now_ms() < end)
        sched_yield();
    if (!err)
        err = tidings_unsubscribe(sub, CONF_MS);
    atomic_store(&one->over, true);
    return err;
}

void over_race(tidings_bus *from, tidings_bus *to,
               const struct tidings_sub_options *o, unsigned races,
               unsigned most)
{
    struct spinner s = {.bus = from};
    struct over *all = calloc(races, sizeof(*all));
    uint32_t random = 3;
    unsigned calls = 0;
    unsigned late = 0;
    tidings_err err = TIDINGS_OK;
    pthread_t thread;

    assert_non_null(all);
    assert_int_equal(pthread_create(&thread, NULL, publish_until, &s), 0);
    for (unsigned i = 0; i < races && !err; i++)
        err = come_and_go(&all[i], to, o, conf_random(&random, most));
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    tidings_drain(to, CONF_MS);
    for (unsigned i = 0; i < races; i++) {
        calls += atomic_load(&all[i].calls);
        late += atomic_load(&all[i].late);
    }
    free(all);
    assert_ok(err);
    assert_ok(s.err);
    assert_int_equal(late, 0);
    assert_true(calls >= races / 2);
}
