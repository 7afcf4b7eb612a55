/* libtidings_json: memory may run out anywhere. */
#include "tests/unit/json_fixture.h"

#include <stdlib.h>

#include <jansson.h>

#include "tests/support/alloc.h"

static tidings_err data_round_trip(void)
{
    static const char text[] = "{\"a\":[1,true,{\"b\":\"x\"}],\"c\":2.5}";
    void *data = NULL;
    char *json = NULL;
    size_t len;
    tidings_err err = tidings_data_from_json(&data, &len, text, strlen(text));

    if (!err)
        err = tidings_data_to_json(&json, data, len);
    tidings_free(data);
    tidings_free(json);
    return err;
}

static tidings_err round_trips(void *arg)
{
    static const char *const jsons[] = {
        HEAD ",\"ext\":\"x\",\"data\":{\"a\":[1,2.5],\"b\":\"x\"}}",
        HEAD ",\"datacontenttype\":\"application/json\",\"data\":[1]}",
        HEAD ",\"datacontenttype\":\"text/plain\",\"data\":\"x\"}",
        HEAD ",\"datacontenttype\":\"image/png\",\"data_base64\":\"Zm9v\"}",
    };
    tidings_err err = data_round_trip();
    (void)arg;

    for (size_t i = 0; !err && i < TD_ARRAY_LEN(jsons); i++) {
        struct tidings_event *event = NULL;
        char *json = NULL;

        err = tidings_event_from_json(&event, jsons[i], strlen(jsons[i]));
        if (!err)
            err = tidings_event_to_json(&json, event);
        tidings_free(event);
        tidings_free(json);
    }
    return err;
}

static void test_memory_may_run_out_anywhere(void **state)
{
    (void)state;

    assert_true(td_alloc_each(round_trips, NULL) >= 10);
}

/* jansson's own allocations, which the linker does not wrap. */
static size_t jansson_left;

static void *jansson_malloc(size_t size)
{
    if (jansson_left > 0 && --jansson_left == 0)
        return NULL;
    return malloc(size);
}

/* It does not tell "out of memory" from "not JSON" everywhere; what counts
 * is that nothing breaks and nothing leaks. */
static void test_memory_of_jansson_may_run_out_anywhere(void **state)
{
    size_t n = 0;
    tidings_err err;
    (void)state;

    json_set_alloc_funcs(jansson_malloc, free);
    do {
        jansson_left = ++n;
        err = round_trips(NULL);
        assert_true(err == TIDINGS_OK || err == TIDINGS_ENOMEM ||
                    err == TIDINGS_EINVAL);
    } while (jansson_left == 0);
    json_set_alloc_funcs(malloc, free);

    assert_ok(err);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_may_run_out_anywhere),
        cmocka_unit_test(test_memory_of_jansson_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
