/* The copy of the registry of services, and the lists made of it. */
#include "tests/support/td_test.h"

#include "client/registry.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

static tidings_err put(struct td_registry *r, const char *text)
{
    struct td_buf b = {0};
    tidings_err err;

    td_mp(&b, text);
    err = td_registry_put(r, td_mp_str(&b));
    td_buf_fini(&b);
    return err;
}

static tidings_err take(struct td_registry *r, const char *text)
{
    struct td_buf b = {0};
    tidings_err err;

    td_mp(&b, text);
    err = td_registry_remove(r, td_mp_str(&b));
    td_buf_fini(&b);
    return err;
}

#define ROW(service, id, state)                                                \
    "{\"service\" \"" service "\" \"id\" \"" id "\" \"state\" " state "}"

static size_t count(struct td_registry *r, const char *name)
{
    struct tidings_instances *list = td_registry_list(r, name);
    size_t len = list->len;

    tidings_instances_free(list);
    return len;
}

static void test_registry_lists_what_a_row_says(void **state)
{
    struct td_registry r = {0};
    const struct tidings_instance *i;
    struct tidings_instances *list;

    (void)state;
    assert_ok(put(&r, "{\"service\" \"a\" \"id\" \"x\" \"version\" \"1.0.0\" "
                      "\"state\" 3 \"text\" \"so\" \"draining\" true "
                      "\"metadata\" {\"k\" \"v\" \"\" \"\"} "
                      "\"endpoints\" [[\"n\" \"t.*\" \"g\"] [\"\" \"\"]] "
                      "\"more\" [1 2]}"));
    list = td_registry_list(&r, "a");
    assert_int_equal(list->len, 1);
    i = &list->list[0];
    assert_string_equal(i->service, "a");
    assert_string_equal(i->id, "x");
    assert_string_equal(i->version, "1.0.0");
    assert_string_equal(i->text, "so");
    assert_int_equal(i->health, TIDINGS_DEGRADED);
    assert_true(i->draining);
    assert_int_equal(i->metadata_len, 2);
    assert_string_equal(i->metadata[0].key, "k");
    assert_string_equal(i->metadata[0].value, "v");
    assert_string_equal(i->metadata[1].value, "");
    assert_int_equal(i->types_len, 2);
    assert_string_equal(i->types[0], "t.*");
    assert_string_equal(i->types[1], "");
    tidings_instances_free(list);
    td_registry_fini(&r);
}

static void test_registry_follows_changes(void **state)
{
    struct td_registry r = {0};
    struct tidings_instances *before;
    struct tidings_instances *list;

    (void)state;
    assert_ok(put(&r, ROW("b", "2", "2")));
    assert_ok(put(&r, ROW("b", "1", "2")));
    assert_ok(put(&r, ROW("a", "9", "2")));
    assert_ok(put(&r, ROW("b", "10", "2")));
    before = td_registry_list(&r, NULL);
    assert_int_equal(before->len, 4);
    assert_string_equal(before->list[0].service, "a");
    assert_string_equal(before->list[1].id, "1");
    assert_string_equal(before->list[2].id, "10");
    assert_string_equal(before->list[3].id, "2");
    list = td_registry_list(&r, NULL);
    assert_ptr_equal(list, before);
    tidings_instances_free(list);

    assert_ok(put(&r, ROW("b", "1", "5")));
    assert_int_equal(count(&r, "b"), 3);
    assert_ok(take(&r, ROW("b", "10", "2")));
    assert_ok(take(&r, ROW("b", "10", "2"))); /* it was gone */
    assert_ok(take(&r, ROW("c", "1", "2")));
    assert_int_equal(count(&r, "b"), 2);
    assert_ok(take(&r, ROW("a", "9", "2")));
    assert_int_equal(count(&r, "a"), 0);
    assert_int_equal(count(&r, NULL), 2);
    assert_int_equal(r.len, 2);

    td_registry_set_stale(&r, true);
    list = td_registry_list(&r, "b");
    assert_true(list->stale);
    assert_int_equal(list->list[0].health, TIDINGS_SICK);
    td_registry_fini(&r);
    assert_string_equal(list->list[1].id, "2"); /* it is the user's */
    tidings_instances_free(list);
    assert_int_equal(before->len, 4);
    tidings_instances_free(before);
}

static void test_registry_refuses_what_is_no_row(void **state)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "7",
        "{\"service\" \"a\" \"id\" \"x\"}",
        ROW("a", "x", "0"),
        ROW("a", "x", "6"),
        ROW("a", "x", "-1"),
        ROW("a", "", "2"),
        ROW("", "x", "2"),
        "{\"service\" s(65) \"id\" \"x\" \"state\" 2}",
        "{\"service\" \"a\" \"id\" s(33) \"state\" 2}",
        "{\"service\" 1 \"id\" \"x\" \"state\" 2}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"draining\" 1}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"version\" 1}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"text\" nil}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"metadata\" []}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"metadata\" {\"k\" 1}}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"metadata\" {1 \"v\"}}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"endpoints\" {}}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"endpoints\" [1]}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"endpoints\" [[]]}",
        "{\"service\" \"a\" \"id\" \"x\" \"state\" 2 \"endpoints\" [[\"n\"]]}",
    };
    struct td_registry r = {0};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_err err = put(&r, rows[i]);

        if (err != TIDINGS_EPROTO)
            print_error("%s: %s\n", rows[i], tidings_err_name(err));
        assert_err(err, TIDINGS_EPROTO);
    }
    assert_err(take(&r, "{}"), TIDINGS_EPROTO);
    assert_int_equal(r.len, 0);
    td_registry_fini(&r);
}

static void test_registry_is_bounded(void **state)
{
    struct td_registry r = {0};
    char row[80];

    (void)state;
    for (unsigned i = 0; i < TD_REGISTRY_MAX; i++) {
        snprintf(row, sizeof(row), ROW("a%u", "%u", "2"), i % 1000, i);
        assert_ok(put(&r, row));
    }
    assert_err(put(&r, ROW("b", "x", "2")), TIDINGS_ELIMIT);
    assert_int_equal(count(&r, NULL), TD_REGISTRY_MAX);
    td_registry_fini(&r);
}

static tidings_err fill(void *arg)
{
    struct td_registry r = {0};
    struct tidings_instances *list = NULL;
    struct td_buf b = {0};
    tidings_err err;

    td_alloc_hold(true);
    td_mp(&b, arg);
    td_alloc_hold(false);
    err = td_registry_put(&r, td_mp_str(&b));
    if (!err && !(list = td_registry_list(&r, "a")))
        err = TIDINGS_ENOMEM;
    if (!err)
        assert_int_equal(list->len, 1);
    tidings_instances_free(list);
    td_registry_fini(&r);
    td_alloc_hold(true);
    td_buf_fini(&b);
    td_alloc_hold(false);
    return err;
}

static void test_registry_survives_lack_of_memory(void **state)
{
    (void)state;
    assert_true(td_alloc_each(fill, ROW("a", "x", "2")) > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry_lists_what_a_row_says),
        cmocka_unit_test(test_registry_follows_changes),
        cmocka_unit_test(test_registry_refuses_what_is_no_row),
        cmocka_unit_test(test_registry_is_bounded),
        cmocka_unit_test(test_registry_survives_lack_of_memory),
    };

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
