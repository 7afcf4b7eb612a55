/* Rows of requests and their answers: there and back, and hostile shapes. */
#include "tests/support/td_test.h"

#include "proto/frame.h"
#include "proto/limits.h"
#include "tests/support/mp.h"

#define TOP "9223372036854775807" /* the largest integer that may travel */

static bool request(struct td_reader *in, struct td_buf *out)
{
    struct td_request_row row;

    if (!td_request_read(in, &row))
        return false;
    td_request_append(out, &row);
    return true;
}

static bool handle(struct td_reader *in, struct td_buf *out)
{
    struct td_handle_row row;

    if (!td_handle_read(in, &row))
        return false;
    td_handle_append(out, &row);
    return true;
}

static bool answer(struct td_reader *in, struct td_buf *out)
{
    struct td_answer_row row;

    if (!td_answer_read(in, &row))
        return false;
    td_answer_append(out, &row);
    return true;
}

static bool response(struct td_reader *in, struct td_buf *out)
{
    struct td_response_row row;

    if (!td_response_read(in, &row))
        return false;
    td_response_append(out, &row);
    return true;
}

typedef bool copier(struct td_reader *in, struct td_buf *out);

static const struct {
    const char *text;
    copier *copy;
} good[] = {
    {"[1 \"user.get\" 0 1000 9 nil]", request},
    {"[" TOP " s(255) 17 86400000 " TOP " {\"key\" \"a\"}]", request},
    {"[1 \"\" 1 1 0 {}]", request},
    {"[1 2 3 \"user.get\" 0 1000 9 7 8 \"/shop\" -5]", handle},
    {"[" TOP " 64 0 \"$service.ping\" 16 1 0 1 1 s(1023) " TOP "]", handle},
    {"[1 0 0 250 200 9 \"\"]", answer},
    {"[" TOP " 2147483647 999 " TOP " " TOP " " TOP " s(255)]", answer},
    {"[1 0 0 9 \"\" 0 \"a1\"]", response},
    {"[1 24 0 0 \"nobody\" 0 \"\"]", response},
};

/* What is read, and written again, is the same; every shorter text is none. */
static void test_request_rows_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        struct td_buf in = {0};
        struct td_buf out = {0};
        struct td_reader r;

        td_mp(&in, good[i].text);
        r = td_reader_of(in.data, in.len);
        assert_row(good[i].text, good[i].copy(&r, &out));
        assert_row(good[i].text, r.p == r.end && !out.failed);
        assert_row(good[i].text,
                   in.len == out.len && memcmp(in.data, out.data, in.len) == 0);
        for (size_t len = 0; len < in.len; len++) {
            r = td_reader_of(in.data, len);
            assert_row(good[i].text, !good[i].copy(&r, &out));
        }
        td_buf_fini(&in);
        td_buf_fini(&out);
    }
}

static const struct {
    const char *text;
    copier *copy;
} bad[] = {
    {"[1 \"user.get\" 0 1000 9]", request},
    {"[1 \"user.get\" 2 1000 9 nil]", request}, /* an unknown flag */
    {"[1 \"user.get\" 0 0 9 nil]", request},    /* nothing is left */
    {"[1 \"user.get\" 0 86400001 9 nil]", request},
    {"[-1 \"user.get\" 0 1000 9 nil]", request},
    {"[1 'user.get' 0 1000 9 nil]", request},
    {"[1 \"user.get\" 0 1000 -9 nil]", request},
    {"[1 \"user.get\" 0 1000 9 []]", request},
    {"[1 \"user.get\" 0 1000 9 \"key\"]", request},
    {"{1 2}", request},
    {"[1 2 3 \"user.get\" 0 1000 9 7 8 \"/shop\"]", handle},
    {"[1 2 3 \"user.get\" 0 1000 9 7 8 nil -5]", handle},
    {"[1 2 3 \"user.get\" 0 1000 9 7 8 \"/shop\" 0.5]", handle},
    {"[1 2147483648 0 250 200 9 \"\"]", answer},
    {"[1 0 1000 250 200 9 \"\"]", answer},
    {"[1 0 0 250 200 9 s(256)]", answer},
    {"[1 0 0 -250 200 9 \"\"]", answer},
    {"[1 0 0 250 200 9]", answer},
    {"[1 2147483648 0 9 \"\" 0 \"a1\"]", response},
    {"[1 0 0 9 \"\" 0]", response},
    {"[1 0 0 9 \"\" 0 7]", response},
};

static void test_request_rows_refuse_what_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct td_buf in = {0};
        struct td_buf out = {0};
        struct td_reader r;

        td_mp(&in, bad[i].text);
        r = td_reader_of(in.data, in.len);
        assert_row(bad[i].text, !bad[i].copy(&r, &out));
        td_buf_fini(&in);
        td_buf_fini(&out);
    }
}

/* Fields that a later version adds are passed over. */
static void test_request_rows_may_have_more_fields(void **state)
{
    struct td_buf in = {0};
    struct td_buf out = {0};
    struct td_reader r;

    (void)state;
    td_mp(&in, "[1 \"user.get\" 0 1000 9 nil \"new\" {}] [2 \"a\" 0 1 2 nil]");
    r = td_reader_of(in.data, in.len);
    assert_true(request(&r, &out));
    assert_true(request(&r, &out));
    assert_ptr_equal(r.p, r.end);
    td_buf_fini(&in);
    td_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_rows_there_and_back),
        cmocka_unit_test(test_request_rows_refuse_what_is_malformed),
        cmocka_unit_test(test_request_rows_may_have_more_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
