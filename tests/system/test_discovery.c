/* Discovery after a real kill -9: who is gone is in no list for longer than the
 * broker takes to ask after those that serve, an event, and a round trip
 * (PROTOCOL.md 3 "Silence", 11.2). */
#include "tests/system/system.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "proto/limits.h"
#include "tidings/data.h"
#include "tidings/service.h"

#define INSTANCES 2u

/* A second of silence, up to another until it is looked at, and a round trip on
 * a busy machine. */
#define GONE_MS (2 * TD_PROBE_MS + 3000)

struct fixture {
    struct td_daemon broker;
    struct td_proc instance[INSTANCES];
    tidings_bus *bus;
    tidings_bus *looker;
    pthread_mutex_t mutex;
    char down[TD_INSTANCE_BYTES_MAX + 1]; /* id in the last $service.down */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    pthread_mutex_init(&f->mutex, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->bus);
    tidings_close(f->looker);
    for (unsigned i = 0; i < INSTANCES; i++)
        td_proc_end(&f->instance[i]);
    td_daemon_end(&f->broker);
    pthread_mutex_destroy(&f->mutex);
    free(f);
    return 0;
}

static void pause_ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static tidings_err on_down(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_value data;

    if (tidings_value_read(&data, event->data, event->data_len))
        return TIDINGS_EHANDLER;
    pthread_mutex_lock(&f->mutex);
    tidings_get_string(f->down, sizeof(f->down), data, "id");
    pthread_mutex_unlock(&f->mutex);
    return TIDINGS_OK;
}

static void start(struct fixture *f)
{
    static const char *const argv[] = {"system_instance", "found", NULL};

    sys_broker_start(&f->broker, NULL);
    setenv("TIDINGS_URL", f->broker.endpoint[0], 1);
    for (unsigned i = 0; i < INSTANCES; i++)
        assert_true(td_proc_start(&f->instance[i], argv));
    for (unsigned i = 0; i < INSTANCES; i++)
        sys_expect(&f->instance[i], "registered");
    assert_ok(tidings_open(&f->bus, f->broker.endpoint[0], NULL));
    assert_ok(tidings_open(&f->looker, f->broker.endpoint[0], NULL));
    assert_ok(
        tidings_subscribe(NULL, f->bus, "$service.down", on_down, f, NULL));
}

static bool was_told(struct fixture *f, const char *id)
{
    bool told;

    pthread_mutex_lock(&f->mutex);
    told = strcmp(f->down, id) == 0;
    pthread_mutex_unlock(&f->mutex);
    return told;
}

static bool is_listed(tidings_bus *bus, const char *id)
{
    struct tidings_instances *list;
    bool listed = false;

    assert_ok(tidings_discover(&list, bus, "found", SYS_WAIT_MS));
    assert_false(list->stale);
    for (size_t i = 0; i < list->len; i++)
        listed = listed || strcmp(list->list[i].id, id) == 0;
    tidings_instances_free(list);
    return listed;
}

/* The id of the instance that is that process. */
static void id_of(struct fixture *f, const struct td_proc *p,
                  char id[TD_INSTANCE_BYTES_MAX + 1])
{
    struct tidings_instances *list;
    char pid[24];

    snprintf(pid, sizeof(pid), "%ld", (long)p->pid);
    *id = '\0';
    assert_ok(tidings_discover(&list, f->bus, "found", SYS_WAIT_MS));
    for (size_t i = 0; i < list->len; i++) {
        const struct tidings_instance *at = &list->list[i];

        for (size_t k = 0; k < at->metadata_len; k++) {
            if (strcmp(at->metadata[k].key, "pid") == 0 &&
                strcmp(at->metadata[k].value, pid) == 0)
                snprintf(id, TD_INSTANCE_BYTES_MAX + 1, "%s", at->id);
        }
    }
    tidings_instances_free(list);
    assert_true(*id);
}

/* To another instance and back: what the broker had said before is here. */
static void round_trip(tidings_bus *bus)
{
    struct tidings_reply reply;

    assert_ok(
        tidings_request(&reply, bus, "instance.echo", NULL, 0, SYS_WAIT_MS));
    tidings_reply_fini(&reply);
}

/* One who hears of it himself, and one who only looks. */
static void test_discovery_forgets_who_was_killed(void **state)
{
    struct fixture *f = *state;
    char killed[TD_INSTANCE_BYTES_MAX + 1];
    char other[TD_INSTANCE_BYTES_MAX + 1];
    int64_t end_ms;

    start(f);
    id_of(f, &f->instance[0], killed);
    id_of(f, &f->instance[1], other);
    assert_true(is_listed(f->looker, killed));
    sys_kill(&f->instance[0]);
    end_ms = td_proc_now_ms() + GONE_MS;
    while (!was_told(f, killed) && td_proc_now_ms() < end_ms)
        pause_ms();
    assert_true(was_told(f, killed));
    round_trip(f->bus);
    round_trip(f->looker);
    assert_false(is_listed(f->bus, killed));
    assert_false(is_listed(f->looker, killed));
    assert_true(is_listed(f->bus, other));
    assert_true(td_proc_now_ms() < end_ms);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_discovery_forgets_who_was_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
