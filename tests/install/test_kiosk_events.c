/* The kiosk's events: what is written is read again, and what a hostile
 * publisher sends is refused with the field's name. */
#include "tests/support/td_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tidings/tidings.h>

#include "samples/kiosk/events.h"

/* ---- round trip, through a bus ---- */

struct got { /* written by handlers, read when the bus is at rest */
    struct kiosk_user_created user;
    struct kiosk_order_created order;
    tidings_err user_err;
    tidings_err order_err;
    int count;
};

static tidings_err on_user(void *arg, const struct tidings_event *event)
{
    struct got *got = arg;

    got->count++;
    return got->user_err = kiosk_read_user_created(&got->user, event);
}

static tidings_err on_order(void *arg, const struct tidings_event *event)
{
    struct got *got = arg;

    got->count++;
    return got->order_err = kiosk_read_order_created(&got->order, event);
}

static void test_kiosk_events_survive_the_bus(void **state)
{
    struct kiosk_user_created user = {"u1", "john_doe", "john@example.com",
                                      "John Doe"};
    struct kiosk_order_created order = {
        .order_id = "o1",
        .user_id = "u1",
        .items = {{"prod1", 2}, {"prod2", 1000}},
        .items_len = 2,
        .total_cents = 9999,
    };
    struct got got = {0};
    tidings_bus *bus = NULL;

    (void)state;
    assert_ok(tidings_open(&bus, "inproc://kiosk-events", NULL));
    assert_ok(
        tidings_subscribe(NULL, bus, "user.created", on_user, &got, NULL));
    assert_ok(
        tidings_subscribe(NULL, bus, "order.created", on_order, &got, NULL));

    assert_ok(kiosk_publish_user_created(bus, &user));
    assert_ok(kiosk_publish_order_created(bus, &order));
    assert_ok(tidings_flush(bus, 5000));
    assert_ok(tidings_drain(bus, 5000));
    assert_ok(tidings_close(bus));

    assert_int_equal(got.count, 2);
    assert_ok(got.user_err);
    assert_ok(got.order_err);
    assert_string_equal(got.user.user_id, "u1");
    assert_string_equal(got.user.username, "john_doe");
    assert_string_equal(got.user.email, "john@example.com");
    assert_string_equal(got.user.name, "John Doe");
    assert_string_equal(got.order.order_id, "o1");
    assert_string_equal(got.order.user_id, "u1");
    assert_int_equal(got.order.items_len, 2);
    assert_string_equal(got.order.items[0].product_id, "prod1");
    assert_int_equal(got.order.items[0].quantity, 2);
    assert_string_equal(got.order.items[1].product_id, "prod2");
    assert_int_equal(got.order.items[1].quantity, 1000);
    assert_int_equal(got.order.total_cents, 9999);
}

static void test_kiosk_events_are_not_published_out_of_bounds(void **state)
{
    struct kiosk_order_created order = {
        .order_id = "o1",
        .user_id = "u1",
        .items = {{"prod1", 0}},
        .items_len = 1,
    };
    struct tidings_info info;
    tidings_bus *bus = NULL;

    (void)state;
    assert_ok(tidings_open(&bus, "inproc://kiosk-bounds", NULL));
    assert_err(kiosk_publish_order_created(bus, &order), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "item.quantity"));
    order.items[0].quantity = 1;
    order.items_len = 0;
    assert_err(kiosk_publish_order_created(bus, &order), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "order_created.items"));

    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.published, 0);
    assert_ok(tidings_close(bus));
}

/* ---- hostile data: a good record with one thing changed ---- */

enum change {
    MISSING,
    NIL,
    NUMBER,
    TEXT,
    LONG_TEXT,
    BINARY,
    EMPTY_LIST,
    LONG_LIST,
    LIST_OF_NUMBERS
};

struct row {
    const char *field;
    enum change change;
    int64_t number;
    const char *text;
    size_t text_len;
    const char *detail; /* what the error says; NULL: it is accepted */
};

#define STRING(s) .change = TEXT, .text = (s), .text_len = sizeof(s) - 1

static const struct row rows[] = {
    {.field = "", .change = NIL, .detail = NULL},
    {"order_id", MISSING, .detail = "order_created.order_id: is missing"},
    {"order_id", NIL, .detail = "order_created.order_id: is no string"},
    {"order_id", NUMBER, 7, .detail = "order_created.order_id: is no string"},
    {"order_id", BINARY, .detail = "order_created.order_id: is no string"},
    {"order_id", LONG_TEXT, .detail = "order_created.order_id: is too long"},
    {"order_id", STRING(""), .detail = "order_created.order_id: is empty"},
    {"user_id",
     STRING("u\0"
            "1"),
     .detail = "user_id: is empty or not plain"},
    {"user_id", STRING("\x1b[2J"), .detail = "user_id: is empty or not plain"},
    {"user_id", STRING("u1\n"), .detail = "user_id: is empty or not plain"},
    {"items", MISSING, .detail = "order_created.items: is missing"},
    {"items", NIL, .detail = "order_created.items: is no list"},
    {"items", NUMBER, 3, .detail = "order_created.items: is no list"},
    {"items", EMPTY_LIST, .detail = "order_created.items: has not 1..16"},
    {"items", LONG_LIST, .detail = "order_created.items: has too many"},
    {"items", LIST_OF_NUMBERS, .detail = "item.product_id: is missing"},
    {"product_id", MISSING, .detail = "item.product_id: is missing"},
    {"quantity", NUMBER, 0, .detail = "item.quantity: is not in 1..1000"},
    {"quantity", NUMBER, 1001, .detail = "item.quantity: is not in 1..1000"},
    {"quantity", NUMBER, INT64_MIN, .detail = "item.quantity: is not in"},
    {"quantity", STRING("2"), .detail = "item.quantity: is no 64-bit"},
    {"total_cents", NUMBER, -1, .detail = "total_cents: is not in 0.."},
    {"total_cents", NUMBER, INT64_MAX, .detail = "total_cents: is not in 0.."},
    {"total_cents", NIL, .detail = "total_cents: is no 64-bit integer"},
};

static void put_item(tidings_writer *w, const struct row *row);

static void put_changed(tidings_writer *w, const struct row *row)
{
    char long_text[300];

    memset(long_text, 'x', sizeof(long_text));
    switch (row->change) {
    case MISSING:
        break;
    case NIL:
        tidings_put_nil(w);
        break;
    case NUMBER:
        tidings_put_int(w, row->number);
        break;
    case TEXT:
        tidings_put_string_n(w, row->text, row->text_len);
        break;
    case LONG_TEXT:
        tidings_put_string_n(w, long_text, sizeof(long_text));
        break;
    case BINARY:
        tidings_put_binary(w, "o1", 2);
        break;
    case EMPTY_LIST:
        tidings_put_array(w, 0);
        break;
    case LONG_LIST:
        tidings_put_array(w, 17);
        for (int i = 0; i < 17; i++)
            put_item(w, row);
        break;
    case LIST_OF_NUMBERS:
        tidings_put_array(w, 1);
        tidings_put_int(w, 1);
        break;
    }
}

/* Puts the key; true when the caller is to put the good value after it. */
static bool put_key(tidings_writer *w, const struct row *row, const char *key)
{
    bool changed = strcmp(row->field, key) == 0;

    if (changed && row->change == MISSING) {
        tidings_put_string(w, "of no interest"); /* the count stays right */
        return true;
    }
    tidings_put_string(w, key);
    if (changed)
        put_changed(w, row);
    return !changed;
}

static void put_item(tidings_writer *w, const struct row *row)
{
    tidings_put_map(w, 2);
    if (put_key(w, row, "product_id"))
        tidings_put_string(w, "prod1");
    if (put_key(w, row, "quantity"))
        tidings_put_int(w, 2);
}

static void put_order(tidings_writer *w, const struct row *row)
{
    tidings_put_map(w, 5);
    tidings_put_string(w, "of a later version");
    tidings_put_bool(w, true);
    if (put_key(w, row, "order_id"))
        tidings_put_string(w, "o1");
    if (put_key(w, row, "user_id"))
        tidings_put_string(w, "u1");
    if (put_key(w, row, "items")) {
        tidings_put_array(w, 1);
        put_item(w, row);
    }
    if (put_key(w, row, "total_cents"))
        tidings_put_int(w, 9999);
}

static bool refused_as_expected(const struct row *row)
{
    struct kiosk_order_created order = {.order_id = "before"};
    struct tidings_event event = {.type = "order.created", .id = "1"};
    tidings_writer *w = tidings_writer_new();
    tidings_err err;
    bool ok;

    put_order(w, row);
    assert_ok(tidings_writer_bytes(w, &event.data, &event.data_len));
    err = kiosk_read_order_created(&order, &event);
    if (row->detail)
        ok = err == TIDINGS_EPROTO && strstr(tidings_detail(), row->detail) &&
             strcmp(order.order_id, "before") == 0;
    else
        ok = err == TIDINGS_OK && strcmp(order.order_id, "o1") == 0;
    if (!ok)
        print_error("%s, change %d: %s, \"%s\"\n", row->field, row->change,
                    tidings_err_text(err), tidings_detail());
    tidings_writer_free(w);
    return ok;
}

static void test_kiosk_order_refuses_hostile_fields(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        wrong += !refused_as_expected(&rows[i]);
    assert_int_equal(wrong, 0);
}

/* Every prefix of a good record, and records that are no map at all. Each is
 * copied to its own block, so that reading past it is seen. */
static void test_kiosk_order_refuses_broken_bytes(void **state)
{
    static const char *const others[] = {"\xc0", "\x90", "\x80", "\xc1",
                                         "\xdf\xff\xff\xff\xff"};
    struct tidings_event event = {.type = "order.created", .id = "1"};
    struct kiosk_order_created order;
    tidings_writer *w = tidings_writer_new();
    const void *good;
    size_t len;

    (void)state;
    put_order(w, &rows[0]);
    assert_ok(tidings_writer_bytes(w, &good, &len));
    for (size_t cut = 0; cut < len; cut++) {
        void *copy = malloc(cut ? cut : 1);

        assert_non_null(copy);
        memcpy(copy, good, cut);
        event.data = copy;
        event.data_len = cut;
        assert_err(kiosk_read_order_created(&order, &event), TIDINGS_EPROTO);
        free(copy);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        event.data = others[i];
        event.data_len = strlen(others[i]);
        assert_err(kiosk_read_order_created(&order, &event), TIDINGS_EPROTO);
    }
    tidings_writer_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kiosk_events_survive_the_bus),
        cmocka_unit_test(test_kiosk_events_are_not_published_out_of_bounds),
        cmocka_unit_test(test_kiosk_order_refuses_hostile_fields),
        cmocka_unit_test(test_kiosk_order_refuses_broken_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
