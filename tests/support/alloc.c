/* The other end of -Wl,--wrap: every allocation of the test's objects. */
#include "tests/support/alloc.h"

#include "tests/support/td_test.h"

#include <stdlib.h>

#define RUNS_MAX 100000 /* a scenario that never gets through is a bug */

static _Thread_local size_t left; /* allocations up to the failing one */
static _Thread_local bool failed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
/* Visible: the linker sees shared libraries refer to them, and insists. */
TIDINGS_API void *__wrap_malloc(size_t size);
TIDINGS_API void *__wrap_calloc(size_t n, size_t size);
TIDINGS_API void *__wrap_realloc(void *memory, size_t size);
TIDINGS_API char *__wrap_strdup(const char *s);

void td_alloc_fail(size_t n)
{
    left = n;
    failed = false;
}

bool td_alloc_failed(void)
{
    return failed;
}

static bool fails_now(void)
{
    if (left == 0 || --left > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = __wrap_malloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}

size_t td_alloc_each(tidings_err (*run)(void *arg), void *arg)
{
    for (size_t n = 1; n < RUNS_MAX; n++) {
        tidings_err err;

        td_alloc_fail(n);
        err = run(arg);
        left = 0;
        if (!failed) {
            assert_ok(err);
            return n - 1;
        }
        assert_err(err, TIDINGS_ENOMEM);
    }
    fail_msg("still allocating after %d runs", RUNS_MAX);
    return 0;
}
