/* The engine: groups with policy key. That each key is held by the member that
 * has its events, and for so many, the judge sees after every step. */
#include "tests/unit/engine_harness.h"

#include "tests/support/mp.h"

#define EVENTS_MAX 2000
#define KEY        "\"group\" \"g\" \"group_policy\" \"key\""
#define WIDE_KEY   "{" ROOM " " KEY "}"
#define ONE_KEY    "{\"events\" 1 \"bytes\" 2000000 " KEY "}"

/* ---- publishing ---- */

/* One run with an event of each letter's key, '-' being none. */
static void publish_keys(struct fixture *f, uint64_t first, const char *letters)
{
    static char texts[128][2];
    const char *keys[64];
    struct piece piece = {"a", (uint32_t)strlen(letters), 3, first, keys};

    assert_true(piece.count <= TD_ARRAY_LEN(keys));
    for (uint32_t i = 0; i < piece.count; i++) {
        texts[(int)letters[i]][0] = letters[i];
        keys[i] = letters[i] == '-' ? NULL : texts[(int)letters[i]];
    }
    publish(f, "pub", 0, &piece, 1);
}

/* The members greet, in order, with these options. */
static void begin_members(struct fixture *f, uint32_t members,
                          const char *options)
{
    hello(f, "pub");
    for (uint32_t i = 0; i < members; i++) {
        char name[4] = {'m', (char)('0' + i), '\0'};

        subscriber(f, name, "a", options);
    }
    flush(f);
    forget(f);
}

static void take(struct fixture *f, const char *peer, uint64_t taken,
                 uint64_t limit)
{
    givef(f, peer, "[9 %u [[1 %u %u 100000000]]]",
          (unsigned)session_of(f, peer)->messages_out, (unsigned)taken,
          (unsigned)limit);
}

static void take_all(struct fixture *f, const char *peer)
{
    take(f, peer, sub_of(f, peer, 1)->sent, 100000);
}

/* What the peer has got, as letters of the text that was published. */
static const char *letters_to(struct fixture *f, const char *peer,
                              const char *published)
{
    static char out[EVENTS_MAX + 1];
    uint64_t seen[EVENTS_MAX];
    uint32_t n = sequences_to(f, peer, seen, EVENTS_MAX);

    for (uint32_t i = 0; i < n; i++)
        out[i] = published[seen[i] - 1];
    out[n] = '\0';
    return out;
}

/* ---- who gets what ---- */

static void test_engine_gives_a_key_to_one_member(void **state)
{
    struct fixture *f = *state;

    begin_members(f, 2, WIDE_KEY);
    publish_keys(f, 1, "abababcbca");
    flush(f);
    assert_string_equal(letters_to(f, "m0", "abababcbca"), "aaacca");
    assert_string_equal(letters_to(f, "m1", "abababcbca"), "bbbb");
    publish_keys(f, 11, "bac"); /* they still hold them */
    flush(f);
    assert_string_equal(letters_to(f, "m0", "abababcbcabac"), "aaaccaac");
    assert_string_equal(letters_to(f, "m1", "abababcbcabac"), "bbbbb");
}

static void test_engine_gives_what_has_no_key_to_who_holds_fewest(void **state)
{
    struct fixture *f = *state;

    begin_members(f, 3, WIDE_KEY);
    publish_keys(f, 1, "aaaa-----b");
    flush(f);
    assert_string_equal(letters_to(f, "m0", "aaaa-----b"), "aaaa");
    assert_int_equal(sub_of(f, "m1", 1)->sent, 3);
    assert_int_equal(sub_of(f, "m2", 1)->sent, 3);
    publish_one(f, "pub", "a", 4, 3, 11); /* a run without keys */
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->sent, 5);
    assert_int_equal(sub_of(f, "m1", 1)->sent + sub_of(f, "m2", 1)->sent, 9);
}

static void test_engine_releases_a_key_that_is_taken(void **state)
{
    struct fixture *f = *state;

    begin_members(f, 2, WIDE_KEY);
    publish_keys(f, 1, "aaab");
    publish_keys(f, 5, "a");
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->sent, 4);
    take_all(f, "m0");
    publish_keys(f, 6, "cccccc"); /* to m0, which holds fewest now */
    publish_keys(f, 12, "a");     /* and this to m1 */
    flush(f);
    assert_string_equal(letters_to(f, "m0", "aaabaccccccaX"), "aaaacccccc");
    assert_string_equal(letters_to(f, "m1", "aaabaccccccaX"), "ba");
}

/* Taken is taken, even if what came with it is not. */
static void test_engine_releases_a_key_event_by_event(void **state)
{
    struct fixture *f = *state;

    begin_members(f, 1, WIDE_KEY);
    publish_keys(f, 1, "aabb");
    flush(f);
    take(f, "m0", 1, 100000);
    subscriber(f, "m1", "a", WIDE_KEY);
    publish_keys(f, 5, "a"); /* one a is still with m0 */
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->sent, 5);
    take(f, "m0", 3, 100000); /* the first two a, and a b */
    publish_keys(f, 6, "a");  /* still: the third a */
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->sent, 6);
    subscriber(f, "m2", "a", WIDE_KEY);
    take(f, "m0", 4, 100000); /* the last b; two a are left */
    publish_keys(f, 7, "b");
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->sent, 6);
    assert_int_equal(sub_of(f, "m1", 1)->sent, 1);
}

/* The same where a part of what was sent at once is taken. */
static void test_engine_releases_what_is_taken_of_a_message(void **state)
{
    struct fixture *f = *state;

    begin_members(f, 1, WIDE_KEY);
    publish_keys(f, 1, "aab");
    flush(f);
    take(f, "m0", 2, 100000);
    subscriber(f, "m1", "a", WIDE_KEY);
    publish_keys(f, 4, "a");
    flush(f);
    assert_int_equal(sub_of(f, "m1", 1)->sent, 1);
}

/* Others' keys flow on while one member has no credit. */
static void test_engine_lets_other_keys_flow_on(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a", ONE_KEY);
    subscriber(f, "m1", "a", WIDE_KEY);
    publish_keys(f, 1, "aabbaabb");
    flush(f);
    assert_string_equal(letters_to(f, "m0", "aabbaabb"), "a");
    assert_string_equal(letters_to(f, "m1", "aabbaabb"), "bbbb");
    for (uint32_t i = 0; i < 5; i++) {
        publish_keys(f, 9 + 2 * i, "ba");
        flush(f);
        assert_int_equal(sub_of(f, "m1", 1)->sent, 5 + i);
    }
    take(f, "m0", 1, 100);
    flush(f);
    assert_string_equal(letters_to(f, "m0", "aabbaabbbabababababa"),
                        "aaaaaaaaa");
}

/* ---- leaving ---- */

/* What it was dealt and not sent goes to the others, each key in order. */
static void test_engine_deals_again_what_a_member_leaves(void **state)
{
    static const char published[] = "abacbaXabcab";
    struct fixture *f = *state;
    uint64_t seen[32];
    uint64_t last[128] = {0};
    uint32_t n;

    begin_members(f, 1, ONE_KEY);
    publish_keys(f, 1, "abacbaX");
    flush(f);
    subscriber(f, "m1", "a", ONE_KEY);
    subscriber(f, "m2", "a", ONE_KEY);
    give(f, "m0", "[6 9 1]");
    publish_keys(f, 8, "abcab");
    flush(f);
    for (uint32_t i = 0; i < 12; i++) {
        take_all(f, "m1");
        take_all(f, "m2");
        flush(f);
    }
    assert_int_equal(events_to(f, "m1") + events_to(f, "m2"), 11);
    for (uint32_t m = 1; m <= 2; m++) {
        n = sequences_to(f, m == 1 ? "m1" : "m2", seen, 32);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t *before = &last[(int)published[seen[i] - 1]];

            assert_true(seen[i] > *before);
            *before = seen[i];
        }
    }
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_UNSUBSCRIBED], 1);
}

/* A member's session is over: only what was sent to it is lost, and the rest
 * goes to the others in the same turn. */
static void test_engine_loses_only_what_was_sent_to_the_lost(void **state)
{
    static const struct {
        const char *row;
        const char *bye;
        enum td_drop reason;
    } rows[] = {
        {"unsubscribes", "[6 9 1]", TD_DROP_UNSUBSCRIBED},
        {"says goodbye", "[14 0 \"\"]", TD_DROP_UNSUBSCRIBED},
        {"breaks the rules", "[0]", TD_DROP_SESSION_LOST},
        {"is gone", NULL, TD_DROP_SESSION_LOST},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        begin_members(f, 1, ONE_KEY);
        publish_keys(f, 1, "aaabbb");
        flush(f);
        subscriber(f, "m1", "a", WIDE_KEY);
        if (rows[i].bye)
            give(f, "m0", rows[i].bye);
        else
            gone(f, "m0");
        flush(f);
        assert_row(rows[i].row, sub_of(f, "m1", 1)->sent == 5);
        assert_row(rows[i].row,
                   f->engine->counters.all.dropped[rows[i].reason] == 1);
        teardown((void **)&f);
    }
    (void)state;
}

static void test_engine_forgets_the_keys_it_drops(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a",
               "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 4 "
               "\"policy\" \"drop_oldest\" " KEY "}");
    subscriber(f, "m1", "a", ONE_KEY);
    for (uint32_t i = 0; i < 20; i++) {
        publish_keys(f, 1 + 5 * i, "aabcb");
        assert_true(td_group_waiting(sub_of(f, "m0", 1)->group) <= 4);
        flush(f);
    }
    take_all(f, "m0");
    take_all(f, "m1");
    flush(f);
    take_all(f, "m0");
    take_all(f, "m1");
    flush(f);
    assert_null(sub_of(f, "m0", 1)->group->named->keys.table);
    assert_int_equal(events_to(f, "m0") + events_to(f, "m1") +
                         missed_by(f, "m0", "oldest") +
                         missed_by(f, "m1", "oldest"),
                     100);
}

/* ---- hostile ---- */

/* Events of a run with flag 2 that have no such attribute, or are none. */
static void test_engine_deals_what_lies_about_its_key(void **state)
{
    static const struct {
        const char *row;
        const char *bytes;
        size_t len;
    } rows[] = {
#define ROW(row, bytes) {row, bytes, sizeof(bytes) - 1}
        ROW("no attributes", "\xc4\x04\x92\x00\xc4\x00"),
        ROW("attributes are a number", "\xc4\x05\x93\x00\xc4\x00\x07"),
        ROW("an empty map", "\xc4\x05\x93\x00\xc4\x00\x80"),
        ROW("a map cut off", "\xc4\x05\x93\x00\xc4\x00\x81"),
        ROW("a map of a million",
            "\xc4\x09\x93\x00\xc4\x00\xdf\x00\x0f\xff\xff"),
        ROW("not an array", "\xc4\x01\xc0"),
        ROW("nothing", "\xc4\x00"),
        ROW("bad msgpack", "\xc4\x02\xc1\xc1"),
        ROW("four elements", "\xc4\x06\x94\x00\xc4\x00\x80\xc0"),
        ROW("data beyond the end", "\xc4\x04\x92\x00\xc4\x7f"),
        ROW("a key of a number",
            "\xc4\x13\x93\x00\xc4\x00\x81\xacpartitionkey\x07"),
        ROW("a key cut off",
            "\xc4\x13\x93\x00\xc4\x00\x81\xacpartitionkey\xa9"),
        ROW("an empty key", "\xc4\x13\x93\x00\xc4\x00\x81\xacpartitionkey\xa0"),
        ROW("bytes left over", "\xc4\x06\x93\x00\xc4\x00\x80\x80"),
#undef ROW
    };
    struct fixture *f = *state;

    begin_members(f, 2, WIDE_KEY);
    for (unsigned i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_body *body = td_body_copy(rows[i].bytes, rows[i].len);
        struct td_buf b = {0};
        char text[128];

        assert_non_null(body);
        snprintf(text, sizeof(text),
                 "[3 0 [['pubpubpubpubpubp' \"/s\" 0 [[\"a\" 1 %u %u 2]]]]]",
                 (unsigned)rows[i].len, i + 1);
        td_mp(&b, text);
        message(f, "pub", 2, &b, body);
        flush(f);
        assert_row(rows[i].row, session_of(f, "pub") != NULL);
        assert_row(rows[i].row,
                   sub_of(f, "m0", 1)->sent + sub_of(f, "m1", 1)->sent ==
                       i + 1);
        td_buf_fini(&b);
        td_body_unref(body);
    }
    take_all(f, "m0");
    take_all(f, "m1");
    assert_null(sub_of(f, "m0", 1)->group->named->keys.table);
}

/* Each event of another key is a piece of its own, and counts with its share of
 * the tables: there is room for as many as fit with it, and for no more. */
static void test_engine_bounds_a_queue_by_key_in_bytes(void **state)
{
    struct fixture *f = *state;
    const struct td_group *g;
    const struct td_piece *piece;
    uint64_t waiting;

    begin_members(f, 2,
                  "{\"events\" 1 \"bytes\" 2000000 \"queue_bytes\" 800 "
                  "\"policy\" \"drop_newest\" " KEY "}");
    publish_keys(f, 1, "abababababababababababababababababababababababab");
    g = sub_of(f, "m0", 1)->group;
    waiting = td_group_waiting_bytes(g);
    piece = td_queue_back(&sub_of(f, "m0", 1)->own);
    assert_true(waiting <= 800);
    assert_true(waiting + td_piece_cost(piece) / piece->events > 800);
    assert_true(td_group_waiting(g) > 2);
    assert_int_equal(td_group_pending(g) + g->ledger.dropped[TD_DROP_NEWEST],
                     48);
    assert_int_equal(g->ledger.dropped[TD_DROP_MEMORY], 0);
}

/* ---- all together ---- */

/* Across all members, in the order of sending: each key's events rise. */
static void check_order(struct fixture *f, const char *published,
                        uint64_t last[128])
{
    for (uint32_t i = 0; i < f->sent_len; i++) {
        struct sent *s = &f->sent[i];
        const char *why;

        if (!s->body)
            continue;
        assert_ok(td_frame_decode(&s->frame, s->control.data, s->control.len,
                                  false, &why));
        assert_true(part_of(f, s, 0));
        for (uint32_t r = 0; r < f->batches.runs_len; r++) {
            const struct td_run *run = &f->batches.runs[r];

            for (uint32_t k = 0; k < run->count; k++) {
                int key = published[run->first + k - 1];

                assert_true(key == '-' || run->first + k > last[key]);
                last[key] = run->first + k;
            }
        }
    }
    forget(f);
}

static uint32_t roll(uint32_t *dice, uint32_t sides)
{
    *dice = *dice * 1664525u + 1013904223u;
    return (*dice >> 16) % sides;
}

static void publish_some(struct fixture *f, char *published, uint32_t *dice)
{
    size_t before = strlen(published);
    uint32_t n = 1 + roll(dice, 8);

    for (uint32_t i = 0; i < n; i++)
        published[before + i] = "abcdefg--"[roll(dice, 9)];
    published[before + n] = '\0';
    publish_keys(f, before + 1, published + before);
}

/* A member that is there takes some or leaves; one that is not joins. */
static void act(struct fixture *f, uint32_t member, uint32_t *dice)
{
    char name[4] = {'m', (char)('0' + member), '\0'};
    struct td_session *s = session_of(f, name);

    if (!s || !s->subs) {
        if (!s)
            hello(f, name);
        givef(f, name,
              "[5 1 1 \"a\" {\"events\" %u \"bytes\" 100000000 " KEY "}]",
              1 + roll(dice, 5));
    } else if (roll(dice, 12) == 0) {
        give(f, name, roll(dice, 2) ? "[6 9 1]" : "[14 0 \"\"]");
    } else {
        const struct td_sub *sub = s->subs;
        uint64_t taken =
            sub->delivered + roll(dice, (uint32_t)td_sub_in_flight(sub) + 1);

        take(f, name, taken,
             sub->events_limit > taken + 5 ? sub->events_limit : taken + 5);
    }
}

static void test_engine_keeps_each_key_in_order(void **state)
{
    for (uint32_t round = 0; round < 15; round++) {
        struct fixture *f;
        uint32_t dice = round;
        char published[EVENTS_MAX + 1] = "";
        uint64_t last[128] = {0};

        assert_int_equal(setup((void **)&f), 0);
        begin_members(f, 3, WIDE_KEY);
        for (uint32_t step = 0; step < 150; step++) {
            publish_some(f, published, &dice);
            act(f, roll(&dice, 5), &dice);
            if (roll(&dice, 2))
                act(f, roll(&dice, 5), &dice);
            flush(f);
            check_order(f, published, last);
        }
        teardown((void **)&f);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_gives_a_key_to_one_member),
        TEST(test_engine_gives_what_has_no_key_to_who_holds_fewest),
        TEST(test_engine_releases_a_key_that_is_taken),
        TEST(test_engine_releases_a_key_event_by_event),
        TEST(test_engine_releases_what_is_taken_of_a_message),
        TEST(test_engine_lets_other_keys_flow_on),
        TEST(test_engine_deals_again_what_a_member_leaves),
        TEST(test_engine_loses_only_what_was_sent_to_the_lost),
        TEST(test_engine_forgets_the_keys_it_drops),
        TEST(test_engine_deals_what_lies_about_its_key),
        TEST(test_engine_bounds_a_queue_by_key_in_bytes),
        TEST(test_engine_keeps_each_key_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
