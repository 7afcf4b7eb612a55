/* The event of a dead letter, from the bytes that a broker answers with. */
#include "tests/support/td_test.h"

#include "proto/id.h"
#include "proto/limits.h"
#include "tidings/tidings.h"

#define BASE_US INT64_C(1709208000000000)

static const uint8_t producer[TD_PRODUCER_BYTES] = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255};

struct fixture {
    tidings_writer *batch;
    tidings_writer *body;
    tidings_writer *array;
    tidings_writer *row;
    const char *source;
    const char *type;
    uint64_t first;
    struct tidings_event *event;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.batch = tidings_writer_new(),
                         .body = tidings_writer_new(),
                         .array = tidings_writer_new(),
                         .row = tidings_writer_new()};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_free(f->event);
    tidings_writer_free(f->batch);
    tidings_writer_free(f->body);
    tidings_writer_free(f->array);
    tidings_writer_free(f->row);
    return 0;
}

static void set_batch(struct fixture *f, const char *source, const char *type,
                      uint64_t first)
{
    f->source = source;
    f->type = type;
    f->first = first;
}

/* A list of one batch with one run of one event, which is in f->body. */
static void put_batch(struct fixture *f)
{
    tidings_writer *w = f->batch;
    const void *bytes;
    size_t len;

    assert_ok(tidings_writer_bytes(f->body, &bytes, &len));
    tidings_writer_reset(w);
    tidings_put_array(w, 1);
    tidings_put_array(w, 4);
    tidings_put_binary(w, producer, sizeof(producer));
    tidings_put_string(w, f->source);
    tidings_put_int(w, BASE_US);
    tidings_put_array(w, 1);
    tidings_put_array(w, 5);
    tidings_put_string(w, f->type);
    tidings_put_uint(w, 1);
    tidings_put_uint(w, len);
    tidings_put_uint(w, f->first);
    tidings_put_uint(w, 0);
}

/* [dt, data, attributes]; the attributes follow. */
static void begin_event(tidings_writer *w, uint32_t attributes)
{
    tidings_writer_reset(w);
    tidings_put_array(w, 3);
    tidings_put_int(w, -1000);
    tidings_put_binary(w, "\x01", 1);
    tidings_put_map(w, attributes);
}

static tidings_err open_row(struct fixture *f)
{
    struct tidings_value row;
    const void *bytes;
    size_t len;

    put_batch(f);
    tidings_writer_reset(f->row);
    tidings_put_map(f->row, 2);
    tidings_put_string(f->row, "batch");
    assert_ok(tidings_writer_bytes(f->batch, &bytes, &len));
    tidings_put_binary(f->row, bytes, len);
    tidings_put_string(f->row, "event");
    assert_ok(tidings_writer_bytes(f->body, &bytes, &len));
    tidings_put_binary(f->row, bytes, len);
    assert_ok(tidings_writer_bytes(f->row, &bytes, &len));
    assert_ok(tidings_value_read(&row, bytes, len));
    tidings_free(f->event);
    f->event = NULL;
    return tidings_dead_event(&f->event, row);
}

/* The array goes into a bin. */
static void put_body(struct fixture *f)
{
    const void *bytes;
    size_t len;

    assert_ok(tidings_writer_bytes(f->array, &bytes, &len));
    tidings_writer_reset(f->body);
    tidings_put_binary(f->body, bytes, len);
}

static void test_dead_event_is_as_it_was_published(void **state)
{
    struct fixture *f = *state;
    const struct tidings_event *event;
    char id[TD_ID_TEXT_BYTES + 1];

    set_batch(f, "/shop", "order.created", 1000);
    begin_event(f->array, 0);
    put_body(f);
    assert_ok(open_row(f));

    event = f->event;
    td_id_format(id, producer, 1000);
    assert_string_equal(event->id, id);
    assert_string_equal(event->type, "order.created");
    assert_string_equal(event->source, "/shop");
    assert_true(event->time_us == BASE_US - 1000);
    assert_int_equal(event->data_len, 1);
    assert_memory_equal(event->data, "\x01", 1);
    assert_null(event->subject);
    assert_int_equal(event->attrs_len, 0);
}

static void test_dead_event_without_attributes_needs_no_map(void **state)
{
    struct fixture *f = *state;

    set_batch(f, "/s", "a", (UINT64_MAX >> 1) - 1);
    tidings_writer_reset(f->array);
    tidings_put_array(f->array, 2);
    tidings_put_int(f->array, 0);
    tidings_put_binary(f->array, NULL, 0);
    put_body(f);

    assert_ok(open_row(f));
    assert_int_equal(f->event->data_len, 0);
}

static void test_dead_event_has_its_attributes(void **state)
{
    struct fixture *f = *state;
    const struct tidings_event *event;

    set_batch(f, "/shop", "a", 1);
    begin_event(f->array, 8);
    tidings_put_string(f->array, "id");
    tidings_put_string(f->array, "own-id");
    tidings_put_string(f->array, "source");
    tidings_put_string(f->array, "/own");
    tidings_put_string(f->array, "subject");
    tidings_put_string(f->array, "su");
    tidings_put_string(f->array, "datacontenttype");
    tidings_put_string(f->array, "text/plain");
    tidings_put_string(f->array, "dataschema");
    tidings_put_string(f->array, "ds");
    tidings_put_string(f->array, "partitionkey");
    tidings_put_string(f->array, "");
    tidings_put_string(f->array, "priority");
    tidings_put_int(f->array, INT32_MIN);
    tidings_put_string(f->array, "urgent");
    tidings_put_bool(f->array, true);
    put_body(f);

    assert_ok(open_row(f));
    event = f->event;
    assert_string_equal(event->id, "own-id");
    assert_string_equal(event->source, "/own");
    assert_string_equal(event->subject, "su");
    assert_string_equal(event->datacontenttype, "text/plain");
    assert_string_equal(event->dataschema, "ds");
    assert_int_equal(event->attrs_len, 3);
    assert_string_equal(event->attrs[0].string, "");
    assert_true(event->attrs[1].integer == INT32_MIN);
    assert_true(event->attrs[2].boolean);
}

static void test_dead_event_takes_64_attributes_and_no_more(void **state)
{
    struct fixture *f = *state;

    for (uint32_t n = TIDINGS_ATTRS_MAX; n <= TIDINGS_ATTRS_MAX + 1; n++) {
        set_batch(f, "/s", "a", 1);
        begin_event(f->array, n);
        for (uint32_t i = 0; i < n; i++) {
            char name[16];

            snprintf(name, sizeof(name), "a%u", i);
            tidings_put_string(f->array, name);
            tidings_put_binary(f->array, "bin", 3);
        }
        put_body(f);
        assert_err(open_row(f),
                   n > TIDINGS_ATTRS_MAX ? TIDINGS_EPROTO : TIDINGS_OK);
    }
}

static void test_dead_row_without_an_event_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct tidings_value row;
    const void *bytes;
    size_t len;

    tidings_put_map(f->row, 0);
    assert_ok(tidings_writer_bytes(f->row, &bytes, &len));
    assert_ok(tidings_value_read(&row, bytes, len));
    assert_err(tidings_dead_event(&f->event, row), TIDINGS_ENOTFOUND);
}

/* Each byte of a good row cut off, and each changed, is an error or an event,
 * never worse: the sanitizers watch. */
static void test_dead_row_that_is_damaged_is_refused_or_read(void **state)
{
    struct fixture *f = *state;
    unsigned char copy[256];
    struct tidings_value row;
    const void *bytes;
    size_t len;
    unsigned refused = 0;

    set_batch(f, "/shop", "order.created", 1000);
    begin_event(f->array, 1);
    tidings_put_string(f->array, "subject");
    tidings_put_string(f->array, "su");
    put_body(f);
    assert_ok(open_row(f));
    assert_ok(tidings_writer_bytes(f->row, &bytes, &len));
    assert_true(len <= sizeof(copy));

    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            tidings_free(f->event);
            f->event = NULL;
            memcpy(copy, bytes, len);
            copy[at] ^= (unsigned char)(1u << bit);
            if (tidings_value_read(&row, copy, len) ||
                tidings_dead_event(&f->event, row)) {
                refused++;
                continue;
            }
            assert_true(f->event->type && f->event->id && f->event->source);
        }
    }
    assert_true(refused > len);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_dead_event_is_as_it_was_published),
        TEST(test_dead_event_without_attributes_needs_no_map),
        TEST(test_dead_event_has_its_attributes),
        TEST(test_dead_event_takes_64_attributes_and_no_more),
        TEST(test_dead_row_without_an_event_is_not_found),
        TEST(test_dead_row_that_is_damaged_is_refused_or_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
