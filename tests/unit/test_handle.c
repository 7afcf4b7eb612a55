/* Handles: a slot and a generation; closed, foreign and forked ones are
 * recognised before anything is locked. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/handle.h"
#include "proto/limits.h"

/* What a handle leads to is never looked into: any address will do. */
static char things[TD_BUSES_MAX + 1];

static struct td_bus *thing(size_t i)
{
    return (struct td_bus *)&things[i];
}

static tidings_bus *make(size_t i)
{
    tidings_bus *handle = NULL;
    struct td_locks *locks = NULL;

    assert_ok(td_handle_new(&handle, thing(i), &locks));
    assert_non_null(handle);
    assert_non_null(locks);
    return handle;
}

/* The code that locking it gives; it stays locked when that is OK. */
static tidings_err lock(tidings_bus *handle, size_t i)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *bus = td_handle_lock(handle, &err);

    if (!bus)
        return err;
    assert_ptr_equal(bus, thing(i));
    assert_ok(err);
    return TIDINGS_OK;
}

static void unmake(tidings_bus *handle, size_t i)
{
    assert_ok(lock(handle, i));
    td_handle_free(handle);
}

static void test_handle_leads_to_its_bus(void **state)
{
    struct td_locks *locks;
    tidings_bus *handle;
    tidings_err err;

    (void)state;
    assert_ok(td_handle_new(&handle, thing(0), &locks));
    assert_ptr_equal(td_handle_lock(handle, &err), thing(0));
    assert_int_not_equal(pthread_mutex_trylock(&locks->bus), 0);
    assert_null(td_handle_try_lock(handle, &err));
    assert_err(err, TIDINGS_EFULL);
    assert_ptr_equal(td_handle_lock_packer(handle, &err), thing(0));
    pthread_mutex_unlock(&locks->packer);
    pthread_mutex_unlock(&locks->bus);
    assert_ptr_equal(td_handle_try_lock(handle, &err), thing(0));
    td_handle_free(handle);
    assert_int_equal(pthread_mutex_trylock(&locks->bus), 0);
    pthread_mutex_unlock(&locks->bus);
}

static void test_handle_is_closed_once_it_is_free(void **state)
{
    tidings_bus *old = make(0);
    tidings_bus *handle;
    tidings_err err;

    (void)state;
    unmake(old, 0);
    for (size_t i = 0; i <= TD_BUSES_MAX; i++) { /* its slot comes round */
        handle = make(i % 2);
        assert_ptr_not_equal(handle, old);
        assert_err(lock(old, 0), TIDINGS_ECLOSED);
        assert_null(td_handle_try_lock(old, &err));
        assert_err(err, TIDINGS_ECLOSED);
        assert_null(td_handle_lock_packer(old, &err));
        assert_err(err, TIDINGS_ECLOSED);
        unmake(handle, i % 2);
    }
}

static void test_handles_end_at_1024(void **state)
{
    static tidings_bus *handles[TD_BUSES_MAX];
    tidings_bus *none = NULL;
    struct td_locks *locks;

    (void)state;
    for (size_t i = 0; i < TD_BUSES_MAX; i++)
        handles[i] = make(i);
    assert_err(td_handle_new(&none, thing(0), &locks), TIDINGS_ELIMIT);
    assert_null(none);
    unmake(handles[77], 77);
    handles[77] = make(TD_BUSES_MAX);
    unmake(handles[77], TD_BUSES_MAX);
    for (size_t i = 0; i < TD_BUSES_MAX; i++) {
        if (i != 77)
            unmake(handles[i], i);
    }
}

static void test_handle_of_another_kind_is_invalid(void **state)
{
    tidings_bus *bus = make(0);
    tidings_sub *sub = td_handle_sub(bus, 1);
    uint32_t number = 0;
    tidings_err err;

    (void)state;
    assert_err(lock(NULL, 0), TIDINGS_EINVAL);
    assert_err(lock((tidings_bus *)(uintptr_t)1023, 0), TIDINGS_EINVAL);
    assert_err(lock((tidings_bus *)sub, 0), TIDINGS_EINVAL);
    assert_null(td_handle_lock_sub(NULL, &number, &err));
    assert_err(err, TIDINGS_EINVAL);
    assert_null(td_handle_lock_sub((tidings_sub *)bus, &number, &err));
    assert_err(err, TIDINGS_EINVAL);
    assert_err(lock((tidings_bus *)((uintptr_t)bus + 1), 0), TIDINGS_ECLOSED);
    assert_err(lock((tidings_bus *)((uintptr_t)bus + 1024), 0),
               TIDINGS_ECLOSED);
    unmake(bus, 0);
}

static void test_subscription_handle_carries_its_number(void **state)
{
    static const uint32_t numbers[] = {1, 2, 1000, 65536, INT32_MAX};
    tidings_bus *bus = make(5);
    tidings_err err;

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(numbers); i++) {
        tidings_sub *sub = td_handle_sub(bus, numbers[i]);
        uint32_t number = 0;

        assert_non_null(sub);
        assert_ptr_equal(td_handle_lock_sub(sub, &number, &err), thing(5));
        assert_int_equal(number, numbers[i]);
        td_handle_free(bus);
        assert_null(td_handle_lock_sub(sub, &number, &err));
        assert_err(err, TIDINGS_ECLOSED);
        bus = make(5);
    }
    unmake(bus, 5);
}

/* ---- fork ---- */

static int in_child(tidings_bus *bus, tidings_sub *sub)
{
    struct td_locks *locks;
    tidings_bus *own;
    tidings_err err;
    uint32_t number;

    if (td_handle_lock(bus, &err) || err != TIDINGS_EFORKED)
        return 1;
    if (td_handle_try_lock(bus, &err) || err != TIDINGS_EFORKED)
        return 2;
    if (td_handle_lock_packer(bus, &err) || err != TIDINGS_EFORKED)
        return 3;
    if (td_handle_lock_sub(sub, &number, &err) || err != TIDINGS_EFORKED)
        return 4;
    for (size_t i = 0; i < 2 * TD_BUSES_MAX; i++) { /* over every slot */
        if (td_handle_new(&own, thing(1), &locks))
            return 5;
        if (td_handle_lock(own, &err) != thing(1))
            return 6;
        td_handle_free(own);
    }
    return 0;
}

/* The parent's slot is locked at the fork: the child must not wait for it. */
static void test_handles_of_the_parent_are_forked(void **state)
{
    tidings_bus *bus = make(3);
    tidings_sub *sub = td_handle_sub(bus, 1);
    tidings_err err;
    int status = -1;
    pid_t pid;

    (void)state;
    assert_ptr_equal(td_handle_lock(bus, &err), thing(3));
    pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(in_child(bus, sub));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    td_handle_free(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handle_leads_to_its_bus),
        cmocka_unit_test(test_handle_is_closed_once_it_is_free),
        cmocka_unit_test(test_handles_end_at_1024),
        cmocka_unit_test(test_handle_of_another_kind_is_invalid),
        cmocka_unit_test(test_subscription_handle_carries_its_number),
        cmocka_unit_test(test_handles_of_the_parent_are_forked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
