/* The other end of -Wl,--wrap: every allocation of the test's objects. */
#include "tests/support/alloc.h"

#include "tests/support/td_test.h"

#include <stdatomic.h>
#include <stdlib.h>

#define RUNS_MAX 100000 /* a scenario that never gets through is a bug */

/* What is to fail, on one thread … */
static _Thread_local size_t left; /* allocations up to the failing one */
static _Thread_local bool rest;   /* … and those after it */
static _Thread_local bool failed;
static _Thread_local unsigned held;
/* … and on all of them together. */
static atomic_size_t all_left;
static atomic_bool all_rest;
static atomic_bool all_failed;

static atomic_size_t live;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
/* Visible: the linker sees shared libraries refer to them, and insists. */
TIDINGS_API void *__wrap_malloc(size_t size);
TIDINGS_API void *__wrap_calloc(size_t n, size_t size);
TIDINGS_API void *__wrap_realloc(void *memory, size_t size);
TIDINGS_API char *__wrap_strdup(const char *s);
TIDINGS_API void __wrap_free(void *memory);

/* ---- arming ---- */

void td_alloc_arm(enum td_alloc_way way, size_t n)
{
    left = n;
    held = 0; /* of a test that has failed in between */
    rest = way == TD_ALLOC_REST;
    failed = false;
}

void td_alloc_fail(size_t n)
{
    td_alloc_arm(TD_ALLOC_ONE, n);
}

bool td_alloc_failed(void)
{
    return failed;
}

void td_alloc_stop(void)
{
    left = 0;
    atomic_store(&all_left, 0);
}

/* Counted last, so that no thread sees half of it. */
void td_alloc_arm_all(enum td_alloc_way way, size_t n)
{
    atomic_store(&all_left, 0);
    atomic_store(&all_rest, way == TD_ALLOC_REST);
    atomic_store(&all_failed, false);
    atomic_store(&all_left, n);
}

bool td_alloc_failed_anywhere(void)
{
    return atomic_load(&all_failed);
}

void td_alloc_hold(bool on)
{
    held += on ? 1u : -1u;
}

static bool fails_here(void)
{
    if (left == 0 || (left > 1 && left--))
        return false;
    if (!rest)
        left = 0;
    failed = true;
    return true;
}

static bool fails_anywhere(void)
{
    size_t n = atomic_load(&all_left);
    size_t next;

    do {
        if (n == 0)
            return false;
        next = n > 1 || !atomic_load(&all_rest) ? n - 1 : 1;
    } while (!atomic_compare_exchange_weak(&all_left, &n, next));
    if (n > 1)
        return false;
    atomic_store(&all_failed, true);
    return true;
}

static bool fails_now(void)
{
    return !held && (fails_here() || fails_anywhere());
}

/* ---- what is wrapped ---- */

static void *count(void *memory)
{
    if (memory)
        atomic_fetch_add(&live, 1);
    return memory;
}

size_t td_alloc_live(void)
{
    return atomic_load(&live);
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    void *moved = fails_now() ? NULL : __real_realloc(memory, size);

    return memory ? moved : count(moved);
}

char *__wrap_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = __wrap_malloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}

void __wrap_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

/* ---- scenarios ---- */

static size_t each(enum td_alloc_way way, tidings_err (*run)(void *arg),
                   void *arg)
{
    for (size_t n = 1; n < RUNS_MAX; n++) {
        size_t before = td_alloc_live();
        tidings_err err;

        td_alloc_arm(way, n);
        err = run(arg);
        td_alloc_stop();
        if (td_alloc_live() != before)
            print_error("allocation %zu failed, and this was left:\n", n);
        assert_int_equal(td_alloc_live(), before);
        if (!failed) {
            assert_ok(err);
            return n - 1;
        }
        assert_err(err, TIDINGS_ENOMEM);
    }
    fail_msg("still allocating after %d runs", RUNS_MAX);
    return 0;
}

size_t td_alloc_each(tidings_err (*run)(void *arg), void *arg)
{
    each(TD_ALLOC_REST, run, arg);
    return each(TD_ALLOC_ONE, run, arg);
}
