/* A thread that cannot be started: the call that wants it fails with EIO, and
 * leaves nothing behind (FAULTS R02). The linker puts __wrap_pthread_create()
 * in pthread_create()'s place. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "tidings/tidings.h"

#define STARTS_MAX 20u /* more than any call here starts */
#define WORKERS    4u
#define WAIT_S     15
#define WAIT_MS    (WAIT_S * 1000)

static unsigned starts_left; /* 0: all succeed; 1: the next one fails */

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg)
{
    if (starts_left > 0 && --starts_left == 0)
        return 11; /* EAGAIN, as where there are too many */
    return __real_pthread_create(out, attr, run, arg);
}

static tidings_err post(void *arg, const struct tidings_event *event)
{
    (void)event;
    sem_post(arg);
    return TIDINGS_OK;
}

static bool comes(sem_t *handled)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    return sem_timedwait(handled, &until) == 0;
}

static void test_bus_without_its_threads_is_none(void **state)
{
    tidings_err err = TIDINGS_EIO;
    unsigned nth = 0;
    (void)state;

    while (err && nth < STARTS_MAX) {
        tidings_bus *bus = NULL;

        starts_left = ++nth;
        err = tidings_open(&bus, "inproc://threads", NULL);
        starts_left = 0;
        if (err) {
            assert_err(err, TIDINGS_EIO);
            assert_null(bus);
        }
        assert_ok(tidings_close(bus));
    }
    assert_ok(err);
    assert_true(nth > 2); /* the broker's, the bus's own */
}

static void test_subscription_without_all_its_workers_is_none(void **state)
{
    const struct tidings_sub_options o = {.workers = WORKERS};
    tidings_bus *bus = NULL;
    tidings_sub *sub = NULL;
    sem_t handled;
    char want[80];
    (void)state;

    assert_int_equal(sem_init(&handled, 0, 0), 0);
    assert_ok(tidings_open(&bus, "inproc://workers", NULL));
    assert_ok(tidings_wait(bus, WAIT_MS));
    for (unsigned nth = 1; nth <= WORKERS; nth++) {
        starts_left = nth;
        assert_err(tidings_subscribe(&sub, bus, "a", post, &handled, &o),
                   TIDINGS_EIO);
        assert_int_equal(starts_left, 0);
        assert_null(sub);
        snprintf(want, sizeof(want),
                 "no more than %u of %u workers could be started", nth - 1,
                 WORKERS);
        assert_string_equal(tidings_detail(), want);
    }

    /* The bus is as it was. */
    assert_ok(tidings_subscribe(&sub, bus, "a", post, &handled, &o));
    assert_ok(tidings_publish(bus, "a", NULL, 0));
    assert_true(comes(&handled));
    assert_ok(tidings_close(bus));
    sem_destroy(&handled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bus_without_its_threads_is_none),
        cmocka_unit_test(test_subscription_without_all_its_workers_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
