/* Control frames: each operation there and back, and the hostile shapes of
 * FAULTS W08, W11 to W16, W20 and W26. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/frame.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

#define TOP "9223372036854775807" /* the largest integer that may travel */

enum from { CLIENT, BROKER };

/* One well-formed frame of each operation. */
static const struct {
    const char *text;
    enum td_op op;
    enum from from;
} good[] = {
    {"[1 \"tidings\" 1 1 b(16) \"shop\" {}]", TD_HELLO, CLIENT},
    {"[1 \"tidings\" 1 9 b(16) \"\" {\"a\" [1 {2 3}]}]", TD_HELLO, CLIENT},
    {"[1 \"tidings\" 0 " TOP " b(16) s(64) {}]", TD_HELLO, CLIENT},
    {"[2 1 12345 7 0 65536 8388608 {\"body_max\" 1}]", TD_WELCOME, BROKER},
    {"[3 0 []]", TD_PUBLISH, CLIENT},
    {"[3 1 [[b(16) \"/s\" -5 [[\"a.b\" 1 9 1 0]]]]]", TD_PUBLISH, CLIENT},
    {"[4 " TOP " " TOP " " TOP "]", TD_TAKEN, BROKER},
    {"[5 1 2 \"user.*\" {\"events\" 1 \"bytes\" 2}]", TD_SUBSCRIBE, CLIENT},
    {"[5 1 2 \"not . checked here\" {}]", TD_SUBSCRIBE, CLIENT},
    {"[6 1 2]", TD_UNSUBSCRIBE, CLIENT},
    {"[7 1 0 \"\" nil]", TD_REPLY, BROKER},
    {"[7 1 14 \"in use\" {\"a\" [1 2]}]", TD_REPLY, BROKER},
    {"[8 [[3 100 [[b(16) \"/s\" 0 [[\"a\" 1 9 1 0]]]]]]]", TD_DELIVER, BROKER},
    {"[8 []]", TD_DELIVER, BROKER},
    {"[9 0 []]", TD_CREDIT, CLIENT},
    {"[9 4 [[1 2 3 4] [5 6 7 8]]]", TD_CREDIT, CLIENT},
    {"[10 1 500 \"slow\"]", TD_GAP, BROKER},
    {"[10 1 120 \"expired\" 17 " TOP "]", TD_GAP, BROKER},
    {"[11 0]", TD_PING, CLIENT},
    {"[11 0]", TD_PING, BROKER},
    {"[12 " TOP "]", TD_PONG, CLIENT},
    {"[12 1]", TD_PONG, BROKER},
    {"[13 9 {}]", TD_STATS, CLIENT},
    {"[14 0 \"\"]", TD_BYE, CLIENT},
    {"[14 12 \"speaks 1 to 1\"]", TD_BYE, BROKER},
    {"[15 1 \"stream.add\" {\"name\" \"s\" \"patterns\" [\"a.>\"]}]", TD_CALL,
     CLIENT},
    {"[15 " TOP " \"no such call\" {}]", TD_CALL, CLIENT},
    {"[16 []]", TD_CONFIRM, BROKER},
    {"[16 [[1 5 0 \"events\" 77 3 false] [6 1 3 \"\" 0 0 true]]]", TD_CONFIRM,
     BROKER},
    {"[17 []]", TD_SETTLE, CLIENT},
    {"[17 [[1 2 3 4 500 \"no stock\"] [2 1 1 1 0 \"\"]]]", TD_SETTLE, CLIENT},
    {"[18 []]", TD_SETTLED, BROKER},
    {"[18 [[1 2 3 7]]]", TD_SETTLED, BROKER},
    {"[19 1 2 \"users\" \"1.0.0\" {\"endpoints\" []}]", TD_SERVE, CLIENT},
    {"[20 1 2]", TD_UNSERVE, CLIENT},
    {"[21 2 3 \"slow disk\"]", TD_HEALTH, CLIENT},
    {"[21 2 4 \"\"]", TD_HEALTH, BROKER},
    {"[22 \"/shop\" -5 [[1 \"user.get\" 0 1000 9 nil]]]", TD_REQUEST, CLIENT},
    {"[22 \"/shop\" " TOP " []]", TD_REQUEST, CLIENT},
    {"[23 [[1 2 3 \"user.get\" 0 1000 9 7 8 \"/shop\" -5]]]", TD_HANDLE,
     BROKER},
    {"[24 [[1 25 404 3 2 0 \"no such user\"]]]", TD_ANSWER, CLIENT},
    {"[25 [[1 25 404 0 \"no such user\" 0 \"a1\"]]]", TD_RESPONSE, BROKER},
    {"[8 [[3 1 [[b(16) \"/s\" 0 [[\"a\" 1 9 1 0]]]] [[1 9 1]]]]]", TD_DELIVER,
     BROKER},
};

static tidings_err decode(struct td_frame *out, const struct td_buf *b,
                          enum from from, const char **why)
{
    return td_frame_decode(out, b->data, b->len, from == CLIENT, why);
}

static void test_frame_decodes_and_encodes_each_operation(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        struct td_frame frame;
        struct td_buf in = {0};
        struct td_buf out = {0};
        const char *why;

        td_mp(&in, good[i].text);
        assert_row(good[i].text,
                   decode(&frame, &in, good[i].from, &why) == TIDINGS_OK);
        assert_row(good[i].text, frame.op == good[i].op);
        td_frame_encode(&out, &frame);
        assert_row(good[i].text, !out.failed && out.len == in.len &&
                                     memcmp(out.data, in.data, in.len) == 0);
        td_buf_fini(&in);
        td_buf_fini(&out);
    }
}

static void test_frame_table_has_a_row_for_each_operation(void **state)
{
    unsigned seen = 0;

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        seen |= 1u << good[i].op;
    for (unsigned op = 1; op < TD_OP_END; op++)
        assert_row(td_op_name(op), seen & 1u << op);
}

/* The fields land where their names say. */
static void test_frame_fields_land_in_their_members(void **state)
{
    struct td_frame f;
    struct td_buf b = {0};
    const char *why;

    (void)state;
    td_mp(&b, "[1 \"tidings\" 3 4 'ABCDEFGHIJKLMNOP' \"shop\" {\"k\" 5}]");
    assert_ok(decode(&f, &b, CLIENT, &why));
    assert_memory_equal(f.u.hello.magic.data, TD_PROTOCOL_MAGIC, 7);
    assert_int_equal(f.u.hello.version_min, 3);
    assert_int_equal(f.u.hello.version_max, 4);
    assert_int_equal(f.u.hello.producer.len, TD_PRODUCER_BYTES);
    assert_memory_equal(f.u.hello.producer.data, "ABCDEFGHIJKLMNOP", 16);
    assert_int_equal(f.u.hello.name.len, 4);
    assert_memory_equal(f.u.hello.name.data, "shop", 4);
    assert_int_equal(f.u.hello.options.len, 4);
    assert_memory_equal(f.u.hello.options.data, "\x81\xa1k\x05", 4);

    td_buf_reset(&b);
    td_mp(&b, "[2 1 2 3 4 5 6 {}]");
    assert_ok(decode(&f, &b, BROKER, &why));
    assert_int_equal(f.u.welcome.version, 1);
    assert_int_equal(f.u.welcome.epoch, 2);
    assert_int_equal(f.u.welcome.session, 3);
    assert_int_equal(f.u.welcome.taken, 4);
    assert_int_equal(f.u.welcome.events_limit, 5);
    assert_int_equal(f.u.welcome.bytes_limit, 6);

    td_buf_reset(&b);
    td_mp(&b, "[8 [[1 2 [3]]]]");
    assert_ok(decode(&f, &b, BROKER, &why));
    assert_int_equal(f.u.deliver.parts.len, 6);

    td_buf_reset(&b);
    td_mp(&b, "[15 9 \"dlq.list\" {\"k\" 5}]");
    assert_ok(decode(&f, &b, CLIENT, &why));
    assert_int_equal(f.u.call.request, 9);
    assert_int_equal(f.u.call.name.len, 8);
    assert_memory_equal(f.u.call.name.data, "dlq.list", 8);
    assert_int_equal(f.u.call.options.len, 4);
    assert_memory_equal(f.u.call.options.data, "\x81\xa1k\x05", 4);
    td_buf_fini(&b);
}

static const struct {
    const char *text;
    enum from from;
} bad[] = {
    /* no array that begins with an operation */
    {"", CLIENT},
    {"nil", CLIENT},
    {"{}", CLIENT},
    {"11", CLIENT},
    {"\"HELLO\"", CLIENT},
    {"[]", CLIENT},
    {"[nil]", CLIENT},
    {"[\"11\" 0]", CLIENT},
    {"[-11 0]", CLIENT},
    {"[11.0 0]", CLIENT},
    {"{11 0}", CLIENT},
    {"[[11 0]]", CLIENT},

    /* operations that are none, or not of this side */
    {"[0 0]", CLIENT},
    {"[26 0]", CLIENT},
    {"[26 0]", BROKER},
    {"[63 0]", CLIENT},
    {"[64 0]", CLIENT},
    {"[4294967307 0]", CLIENT}, /* 2^32 + 11 */
    {"[18446744073709551615 0]", CLIENT},
    {"[2 1 2 3 4 5 6 {}]", CLIENT},
    {"[4 1 2 3]", CLIENT},
    {"[7 1 0 \"\" nil]", CLIENT},
    {"[8 []]", CLIENT},
    {"[8 1 2 []]", BROKER},
    {"[8 {}]", BROKER},
    {"[10 1 2 \"slow\"]", CLIENT},
    {"[1 \"tidings\" 1 1 b(16) \"\" {}]", BROKER},
    {"[3 0 []]", BROKER},
    {"[5 1 2 \"a\" {}]", BROKER},
    {"[6 1 2]", BROKER},
    {"[9 0 []]", BROKER},
    {"[13 1 {}]", BROKER},
    {"[15 1 \"stream.list\" {}]", BROKER},
    {"[16 []]", CLIENT},
    {"[17 []]", BROKER},
    {"[18 []]", CLIENT},
    {"[19 1 2 \"users\" \"1.0.0\" {}]", BROKER},
    {"[20 1 2]", BROKER},
    {"[22 \"/shop\" 0 []]", BROKER},
    {"[23 []]", CLIENT},
    {"[24 []]", BROKER},
    {"[25 []]", CLIENT},

    /* bytes left over, another array behind (W14) */
    {"[11 0] nil", CLIENT},
    {"[11 0] [11 0]", CLIENT},
    {"[11 0] <c1>", CLIENT},

    /* missing fields */
    {"[11]", CLIENT},
    {"[1]", CLIENT},
    {"[1 \"tidings\" 1 1 b(16) \"name\"]", CLIENT},
    {"[6 1]", CLIENT},
    {"[2 1 2 3 4 5 6]", BROKER},
    {"[14 1]", CLIENT},
    {"[15 1 \"stream.list\"]", CLIENT},
    {"[16]", BROKER},
    {"[17]", CLIENT},
    {"[18]", BROKER},
    {"[19 1 2 \"users\" \"1.0.0\"]", CLIENT},
    {"[21 2 3]", CLIENT},
    {"[22 \"/shop\" 0]", CLIENT},

    /* integers: negative, float, too large, something else (W15) */
    {"[11 -1]", CLIENT},
    {"[11 0.0]", CLIENT},
    {"[11 <ca 7f c0 00 00>]", CLIENT},
    {"[11 9223372036854775808]", CLIENT},
    {"[11 18446744073709551615]", CLIENT},
    {"[11 -9223372036854775808]", CLIENT},
    {"[11 \"0\"]", CLIENT},
    {"[11 true]", CLIENT},
    {"[11 nil]", CLIENT},
    {"[11 []]", CLIENT},
    {"[4 1 2 -3]", BROKER},

    /* str, bin, map and array taken for one another */
    {"[1 'tidings' 1 1 b(16) \"\" {}]", CLIENT},
    {"[1 \"tidings\" 1 1 s(16) \"\" {}]", CLIENT},
    {"[1 \"tidings\" 1 1 b(15) \"\" {}]", CLIENT},
    {"[1 \"tidings\" 1 1 b(17) \"\" {}]", CLIENT},
    {"[1 \"tidings\" 1 1 '' \"\" {}]", CLIENT},
    {"[1 \"tidings\" 1 1 b(16) '' {}]", CLIENT},
    {"[1 \"tidings\" 1 1 b(16) s(65) {}]", CLIENT},
    {"[1 \"tidings\" 1 1 b(16) s(100000) {}]", CLIENT}, /* W20 */
    {"[1 \"tidings\" 1 1 b(16) \"\" []]", CLIENT},
    {"[1 \"tidings\" 1 1 b(16) \"\" nil]", CLIENT},
    {"[3 0 {}]", CLIENT},
    {"[3 0 nil]", CLIENT},
    {"[3 0 'batches']", CLIENT},
    {"[5 1 2 'user.*' {}]", CLIENT},
    {"[5 1 2 \"user.*\" []]", CLIENT},
    {"[9 0 {}]", CLIENT},
    {"[9 0 7]", CLIENT},
    {"[10 1 2 'slow']", BROKER},
    {"[10 1 2 \"slow\" -1]", BROKER},
    {"[10 1 2 \"slow\" \"1\" 2]", BROKER},
    {"[10 1 2 \"slow\" 1 nil]", BROKER},
    {"[13 1 nil]", CLIENT},
    {"[14 0 nil]", CLIENT},
    {"[15 1 'stream.list' {}]", CLIENT},
    {"[15 1 \"stream.list\" []]", CLIENT},
    {"[15 1 \"stream.list\" nil]", CLIENT},
    {"[15 -1 \"stream.list\" {}]", CLIENT},
    {"[15 1 7 {}]", CLIENT},
    {"[16 {}]", BROKER},
    {"[16 nil]", BROKER},
    {"[17 {}]", CLIENT},
    {"[17 7]", CLIENT},
    {"[18 \"\"]", BROKER},
    {"[19 1 2 \"users\" \"1.0.0\" []]", CLIENT},
    {"[22 nil 0 []]", CLIENT},
    {"[22 \"/shop\" 0.5 []]", CLIENT},
    {"[22 \"/shop\" 9223372036854775808 []]", CLIENT},
    {"[24 {}]", CLIENT},

    /* lengths, counts and depth (W11 to W13) */
    {"<dd ff*4 0b 00>", CLIENT},
    {"<df ff*4 0b 00>", CLIENT},
    {"<92 0b cf 00*7>", CLIENT},
    {"<93 0e 00 d9 ff>", CLIENT},
    {"<93 0e 00 db ff*4 61>", CLIENT},
    {"<93 03 00 dd ff*4>", CLIENT},
    {"<93 0d 01 df ff*4>", CLIENT},
    {"<93 0d 01 82 a1 61 01 a1 62>", CLIENT},
    {"[11 0 <d4 00 61>]", CLIENT}, /* ext, even where it is ignored */
    {"<93 0d 01 81 01 91*7 c0>", CLIENT},
    {"<93 03 00 91*8 c0>", CLIENT},
    {"<91*100000 c0>", CLIENT},
    {"[3 0 [1*16381]]", CLIENT}, /* 16,385 values */
    {"[11 0 s(1048576)]", CLIENT},
};

static void test_frame_refuses_what_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct td_frame frame;
        struct td_buf b = {0};
        const char *why = NULL;

        td_mp(&b, bad[i].text);
        assert_row(bad[i].text,
                   decode(&frame, &b, bad[i].from, &why) == TIDINGS_EPROTO);
        assert_row(bad[i].text, why && strlen(why) > 0);
        td_buf_fini(&b);
    }
}

static void test_frame_of_either_side_is_refused_from_the_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        bool both = good[i].op == TD_PING || good[i].op == TD_PONG ||
                    good[i].op == TD_BYE || good[i].op == TD_HEALTH;
        struct td_frame frame;
        struct td_buf b = {0};
        const char *why;

        td_mp(&b, good[i].text);
        assert_row(good[i].text,
                   decode(&frame, &b, good[i].from == CLIENT ? BROKER : CLIENT,
                          &why) == (both ? TIDINGS_OK : TIDINGS_EPROTO));
        td_buf_fini(&b);
    }
}

static void test_frame_is_refused_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        struct td_buf b = {0};

        td_mp(&b, good[i].text);
        for (size_t len = 0; len < b.len; len++) {
            uint8_t *cut = malloc(len + !len);
            struct td_frame frame;
            const char *why;

            assert_non_null(cut);
            memcpy(cut, b.data, len);
            assert_row_at(good[i].text, len,
                          td_frame_decode(&frame, cut, len,
                                          good[i].from == CLIENT,
                                          &why) == TIDINGS_EPROTO);
            free(cut);
        }
        td_buf_fini(&b);
    }
}

/* FAULTS W16: elements behind the ones we know are of a later version. */
static const char *const later[] = {
    "[11 5 1]",
    "[11 5 nil \"more\" {\"a\" [1]} [[]]]",
    "[11 5 1*16000]",
    "<dc 00 03 0b 05 07>",
    "<dd 00 00 00 02 cc 0b d3 00*7 05>", /* not the shortest form */
};

static void test_frame_ignores_elements_of_later_versions(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(later); i++) {
        struct td_frame frame;
        struct td_buf b = {0};
        const char *why;

        td_mp(&b, later[i]);
        assert_row(later[i], decode(&frame, &b, CLIENT, &why) == TIDINGS_OK);
        assert_row(later[i], frame.op == TD_PING && frame.u.ping.token == 5);
        td_buf_fini(&b);
    }
}

/* To the byte, and to the value. */
static void test_frame_at_its_limits_passes(void **state)
{
    struct td_frame frame;
    struct td_buf b = {0};
    char text[64];
    const char *why;

    (void)state;
    snprintf(text, sizeof(text), "[11 0 s(%u)]", TD_CONTROL_BYTES_MAX - 8);
    td_mp(&b, text);
    assert_int_equal(b.len, TD_CONTROL_BYTES_MAX);
    assert_ok(decode(&frame, &b, CLIENT, &why));

    td_buf_reset(&b);
    snprintf(text, sizeof(text), "[11 0 s(%u)]", TD_CONTROL_BYTES_MAX - 7);
    td_mp(&b, text);
    assert_err(decode(&frame, &b, CLIENT, &why), TIDINGS_EPROTO);

    td_buf_reset(&b);
    snprintf(text, sizeof(text), "[3 0 [1*%u]]", TD_SCAN_NODES_MAX - 4);
    td_mp(&b, text);
    assert_ok(decode(&frame, &b, CLIENT, &why));
    td_buf_fini(&b);
}

static void test_op_names_and_bodies(void **state)
{
    (void)state;
    assert_string_equal(td_op_name(TD_HELLO), "HELLO");
    assert_string_equal(td_op_name(TD_BYE), "BYE");
    assert_string_equal(td_op_name(TD_CALL), "CALL");
    assert_string_equal(td_op_name(TD_CONFIRM), "CONFIRM");
    assert_string_equal(td_op_name(TD_SETTLE), "SETTLE");
    assert_string_equal(td_op_name(TD_RESPONSE), "RESPONSE");
    assert_string_equal(td_op_name(0), "?");
    assert_string_equal(td_op_name(TD_OP_END), "?");
    assert_string_equal(td_op_name(UINT32_MAX), "?");
    for (unsigned op = 1; op < TD_OP_END; op++)
        assert_row(td_op_name(op), td_op_has_body((enum td_op)op) ==
                                       (op == TD_PUBLISH || op == TD_DELIVER ||
                                        op >= TD_REQUEST));
}

static void test_frame_constants_are_whole_values(void **state)
{
    struct td_str s = td_str_of("text");

    (void)state;
    assert_int_equal(s.len, 4);
    assert_memory_equal(s.data, "text", 4);
    assert_true(td_scan(td_nil.data, td_nil.len, &td_scan_control));
    assert_true(td_scan(td_empty_map.data, td_empty_map.len, &td_scan_control));
    assert_false(td_map_find(td_empty_map, "", &s));
}

/* ---- memory ---- */

static tidings_err encode_frame(void *arg)
{
    struct td_frame *frame = arg;
    struct td_buf b = {0};
    tidings_err err;

    td_frame_encode(&b, frame);
    err = b.failed ? TIDINGS_ENOMEM : TIDINGS_OK;
    td_buf_fini(&b);
    return err;
}

static void test_frame_encode_tells_each_failing_allocation(void **state)
{
    static char text[5000]; /* makes the buffer grow more than once */
    struct td_frame frame = {.op = TD_BYE};

    (void)state;
    frame.u.bye.text.data = memset(text, 'a', sizeof(text));
    frame.u.bye.text.len = sizeof(text);
    assert_true(td_alloc_each(encode_frame, &frame) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_decodes_and_encodes_each_operation),
        cmocka_unit_test(test_frame_table_has_a_row_for_each_operation),
        cmocka_unit_test(test_frame_fields_land_in_their_members),
        cmocka_unit_test(test_frame_refuses_what_is_malformed),
        cmocka_unit_test(test_frame_of_either_side_is_refused_from_the_other),
        cmocka_unit_test(test_frame_is_refused_cut_at_every_byte),
        cmocka_unit_test(test_frame_ignores_elements_of_later_versions),
        cmocka_unit_test(test_frame_at_its_limits_passes),
        cmocka_unit_test(test_op_names_and_bodies),
        cmocka_unit_test(test_frame_constants_are_whole_values),
        cmocka_unit_test(test_frame_encode_tells_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
