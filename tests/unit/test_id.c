/* Producers and event ids: the text is a ULID, a dash and the sequence, and
 * sorts in the order of publishing. */
#include "tests/support/td_test.h"

#include "proto/id.h"

#define ZEROS "0000000000000"

/* Producer in hex; the ULID texts were worked out from its bits by hand. */
static const struct {
    const char *producer;
    uint64_t sequence;
    const char *text;
} known[] = {
    {"00000000000000000000000000000000", 0,
     "00000000000000000000000000-" ZEROS},
    {"00000000000000000000000000000001", 1,
     "00000000000000000000000001-0000000000001"},
    {"0000000000000000000000000000001f", 31,
     "0000000000000000000000000Z-000000000000Z"},
    {"00000000000000000000000000000020", 32,
     "00000000000000000000000010-0000000000010"},
    {"80000000000000000000000000000000", 18,
     "40000000000000000000000000-000000000000J"},
    {"ffffffffffffffffffffffffffffffff", INT64_MAX,
     "7ZZZZZZZZZZZZZZZZZZZZZZZZZ-7ZZZZZZZZZZZZ"},
    {"ffffffffffffffffffffffffffffffff", UINT64_MAX,
     "7ZZZZZZZZZZZZZZZZZZZZZZZZZ-FZZZZZZZZZZZZ"},
    /* the example of the ULID specification: time 1469918176385 */
    {"01563df3648100000000000000000000", 1,
     "01ARYZ6S410000000000000000-0000000000001"},
    /* every digit of the alphabet, in order */
    {"0110c8531d0952d8d73e1194e95b5f19", 0xd6f9df7c0110c85,
     "0123456789ABCDEFGHJKMNPQRS-0TVWXYZ012345"},
};

static void unhex(uint8_t out[TD_PRODUCER_BYTES], const char *hex)
{
    for (int i = 0; i < (int)TD_PRODUCER_BYTES; i++) {
        unsigned byte;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
}

static void test_id_format_gives_known_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(known); i++) {
        uint8_t producer[TD_PRODUCER_BYTES];
        char text[TD_ID_TEXT_BYTES + 1];

        unhex(producer, known[i].producer);
        memset(text, 'x', sizeof(text));
        td_id_format(text, producer, known[i].sequence);
        assert_row(known[i].text, text[TD_ID_TEXT_BYTES] == '\0');
        assert_row(text, strcmp(text, known[i].text) == 0);
    }
}

/* The example of PROTOCOL.md 3. */
static void test_producer_of_a_name_is_its_hash(void **state)
{
    uint8_t expected[TD_PRODUCER_BYTES];
    uint8_t producer[TD_PRODUCER_BYTES];

    (void)state;
    unhex(expected, "ab57f20ed4a262c8d3485a330269c49c");
    td_producer_named(producer, (struct td_str){"orders-1", 8});
    assert_memory_equal(producer, expected, sizeof(expected));
}

static void test_producer_begins_with_its_time(void **state)
{
    static const uint8_t random[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const uint8_t expected[TD_PRODUCER_BYTES] = {
        0x01, 0x56, 0x3d, 0xf3, 0x64, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    uint8_t producer[TD_PRODUCER_BYTES];

    (void)state;
    td_producer_make(producer, 1469918176385, random);
    assert_memory_equal(producer, expected, sizeof(expected));
}

static void test_producer_of_a_later_time_sorts_later(void **state)
{
    static const uint8_t high[10] = {255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255};
    static const uint8_t low[10] = {0};
    uint8_t a[TD_PRODUCER_BYTES];
    uint8_t b[TD_PRODUCER_BYTES];
    char text_a[TD_ID_TEXT_BYTES + 1];
    char text_b[TD_ID_TEXT_BYTES + 1];

    (void)state;
    for (int bit = 0; bit < 48; bit++) {
        td_producer_make(a, ((uint64_t)1 << bit) - 1, high);
        td_producer_make(b, (uint64_t)1 << bit, low);
        td_id_format(text_a, a, INT64_MAX);
        td_id_format(text_b, b, 1);
        assert_row_at(text_a, bit, strcmp(text_a, text_b) < 0);
    }
}

/* A step up from each value gives the text of the next, and sorts after it:
 * around every carry of the base and at the end of the range. */
static void test_id_increment_equals_format_of_the_next(void **state)
{
    const uint8_t producer[TD_PRODUCER_BYTES] = {0xff, 0xff, 0xff};

    (void)state;
    for (int bit = 0; bit < 63; bit++) {
        uint64_t around = (uint64_t)1 << bit;

        for (uint64_t n = around - (around > 2 ? 2 : 1); n < around + 2; n++) {
            char stepped[TD_ID_TEXT_BYTES + 1];
            char before[TD_ID_TEXT_BYTES + 1];
            char next[TD_ID_TEXT_BYTES + 1];

            td_id_format(stepped, producer, n);
            memcpy(before, stepped, sizeof(before));
            td_id_increment(stepped);
            td_id_format(next, producer, n + 1);
            assert_row(next, strcmp(stepped, next) == 0);
            assert_row(next, strcmp(before, next) < 0);
        }
    }
}

static void test_id_increment_counts_on_and_on(void **state)
{
    const uint8_t producer[TD_PRODUCER_BYTES] = {1};
    char counted[TD_ID_TEXT_BYTES + 1];

    (void)state;
    td_id_format(counted, producer, 1);
    for (uint64_t n = 1; n <= 100000; n++) {
        char text[TD_ID_TEXT_BYTES + 1];

        td_id_format(text, producer, n);
        assert_row(text, strcmp(text, counted) == 0);
        td_id_increment(counted);
    }
}

/* The producer's half is never touched, not even past the last sequence. */
static void test_id_increment_leaves_the_producer_alone(void **state)
{
    char id[] = "00000000000000000000000000-ZZZZZZZZZZZZZ";

    (void)state;
    td_id_increment(id);
    assert_string_equal(id, "00000000000000000000000000-" ZEROS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_format_gives_known_texts),
        cmocka_unit_test(test_producer_of_a_name_is_its_hash),
        cmocka_unit_test(test_producer_begins_with_its_time),
        cmocka_unit_test(test_producer_of_a_later_time_sorts_later),
        cmocka_unit_test(test_id_increment_equals_format_of_the_next),
        cmocka_unit_test(test_id_increment_counts_on_and_on),
        cmocka_unit_test(test_id_increment_leaves_the_producer_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
