/* What a member has in flight: any range of it is taken and extended. */
#include "tests/support/td_test.h"

#include "broker/engine/inflight.h"
#include "tests/support/alloc.h"

#define MANY 65536u /* tags */

/* ---- rows ---- */

/* What is shown, as text: "1-3" a part, "!4-9" a range that is missing. */
struct text {
    char s[200];
    size_t len;
};

static void write_text(void *ctx, const struct td_lease *lease)
{
    struct text *text = ctx;
    bool missing = lease->sequence == 0;
    uint64_t last =
        missing ? (uint64_t)lease->deadline_ms : lease->tag + lease->count - 1;

    text->len += (size_t)snprintf(
        text->s + text->len, sizeof(text->s) - text->len, "%s%s%llu-%llu",
        text->len ? " " : "", missing ? "!" : "",
        (unsigned long long)lease->tag, (unsigned long long)last);
    assert_true(text->len < sizeof(text->s));
}

/* Tags 1-5, 6-10, and 21-30. */
static void three(struct td_inflight *f)
{
    struct td_lease lease = {.tag = 1, .sequence = 100, .count = 5};

    lease.deadline_ms = 10;
    assert_true(td_inflight_add(f, &lease));
    lease.tag = 6;
    assert_true(td_inflight_add(f, &lease)); /* another sequence */
    lease.tag = 21;
    lease.count = 10;
    assert_true(td_inflight_add(f, &lease));
    assert_int_equal(f->len, 3);
}

#define LAST UINT64_MAX

static const struct {
    const char *row;
    uint64_t first, last;
    const char *shown;
    uint64_t left;
} rows[] = {
    {"all of one", 1, 5, "1-5", 15},
    {"its first", 1, 1, "1-1", 19},
    {"its last", 5, 5, "5-5", 19},
    {"out of the middle", 2, 4, "2-4", 17},
    {"over an edge", 4, 7, "4-5 6-7", 16},
    {"over a hole", 9, 22, "9-10 !11-20 21-22", 16},
    {"in a hole", 12, 13, "!12-13", 20},
    {"0", 0, 0, "!0-0", 20},
    {"from 0", 0, 2, "!0-0 1-2", 18},
    {"the end", 30, 31, "30-30 !31-31", 19},
    {"above", 31, 40, "!31-40", 20},
    {"all there are", 0, LAST,
     "!0-0 1-5 6-10 !11-20 21-30 !31-18446744073709551615", 0},
    {"the last there is", LAST, LAST,
     "!18446744073709551615-18446744073709551615", 20},
    {"backwards", 5, 4, "", 20},
    {"backwards from the last", LAST, 0, "", 20},
};

static void test_inflight_takes_any_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_inflight f = {0};
        struct text text = {0};

        three(&f);
        assert_row(rows[i].row,
                   td_inflight_take(&f, rows[i].first, rows[i].last, write_text,
                                    &text));
        assert_row(rows[i].row, !strcmp(text.s, rows[i].shown));
        assert_row(rows[i].row, f.events == rows[i].left);
        assert_row(rows[i].row, f.last_tag == 30);
        assert_row(rows[i].row, (f.earliest_ms == 10) == (f.events > 0));
        td_inflight_fini(&f);
    }
}

/* The same ranges: what is extended is what a take would have shown. */
static void test_inflight_extends_any_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_inflight f = {0};

        three(&f);
        assert_row(rows[i].row,
                   td_inflight_extend(&f, rows[i].first, rows[i].last, 90, NULL,
                                      NULL));
        assert_row(rows[i].row, f.events == 20);
        td_inflight_expire(&f, 9, NULL, NULL);
        assert_row(rows[i].row, f.events == 20);
        td_inflight_expire(&f, 89, NULL, NULL);
        assert_row(rows[i].row, f.events == 20 - rows[i].left);
        assert_row(rows[i].row,
                   f.earliest_ms == (f.events > 0 ? 90 : INT64_MAX));
        td_inflight_expire(&f, 90, NULL, NULL);
        assert_row(rows[i].row, f.events == 0);
        td_inflight_fini(&f);
    }
}

static void test_inflight_may_be_empty(void **state)
{
    struct td_inflight f = {0};
    struct td_lease none = {.tag = 1, .sequence = 1};
    struct text text = {0};

    (void)state;
    td_inflight_expire(&f, 5, write_text, &text);
    td_inflight_clear(&f, write_text, &text);
    assert_true(td_inflight_add(&f, &none)); /* no events: nothing is added */
    assert_int_equal(f.len, 0);
    assert_int_equal(f.last_tag, 0);
    assert_true(td_inflight_take(&f, 3, 4, write_text, &text));
    assert_true(td_inflight_extend(&f, 5, 6, 9, write_text, &text));
    assert_string_equal(text.s, "!3-4 !5-6");
    assert_null(f.leases);
    assert_false(td_inflight_reserve(&f, UINT32_MAX)); /* not so many */
    assert_true(td_inflight_reserve(&f, 0));
    td_inflight_fini(&f);
    td_inflight_fini(&f);
}

static void test_inflight_joins_no_more_than_can_be_counted(void **state)
{
    struct td_inflight f = {0};
    struct td_lease lease = {.tag = 1, .sequence = 1, .count = UINT32_MAX};

    (void)state;
    assert_true(td_inflight_add(&f, &lease));
    lease.tag += UINT32_MAX;
    lease.sequence += UINT32_MAX;
    lease.count = 1;
    assert_true(td_inflight_add(&f, &lease));
    assert_int_equal(f.len, 2);
    assert_true(f.events == 1ull << 32);
    assert_true(td_inflight_take(&f, 7, UINT32_MAX, NULL, NULL));
    assert_int_equal(f.events, 7);
    td_inflight_fini(&f);
}

static void test_inflight_joins_what_is_alike(void **state)
{
    static const struct {
        const char *row;
        struct td_lease lease;
        uint32_t len;
    } next[] = {
        {"alike", {6, 106, 1, 2, 3, 4}, 1},
        {"another tag", {7, 106, 1, 2, 3, 4}, 2},
        {"another sequence", {6, 107, 1, 2, 3, 4}, 2},
        {"another delivery", {6, 106, 1, 1, 3, 4}, 2},
        {"first delivered then", {6, 106, 1, 2, 4, 4}, 2},
        {"due then", {6, 106, 1, 2, 3, 5}, 2},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(next); i++) {
        const struct td_lease first = {1, 101, 5, 2, 3, 4};
        struct td_inflight f = {0};

        assert_true(td_inflight_add(&f, &first));
        assert_row(next[i].row, td_inflight_add(&f, &next[i].lease));
        assert_row(next[i].row, f.len == next[i].len);
        assert_row(next[i].row, f.events == 6);
        td_inflight_fini(&f);
    }
}

/* However little room there is: extending may cut at both ends. */
static void test_inflight_makes_room_for_two_cuts(void **state)
{
    (void)state;
    for (uint64_t leases = 1; leases <= 20; leases++) {
        struct td_inflight f = {0};
        struct td_lease lease = {.tag = 1, .count = 5};

        for (; lease.tag <= leases * 5; lease.tag += 5) {
            lease.sequence = 1 + 2 * lease.tag; /* not joined */
            assert_true(td_inflight_add(&f, &lease));
        }
        assert_true(td_inflight_extend(&f, 3, 3, 9, NULL, NULL));
        assert_int_equal(f.len, leases + 2);
        assert_true(f.len <= f.cap);
        td_inflight_expire(&f, 0, NULL, NULL);
        assert_int_equal(f.events, 1);
        td_inflight_fini(&f);
    }
}

/* ---- many ---- */

/* Each tag once, in no order. */
static void take_all_in_disorder(uint32_t count)
{
    struct td_inflight f = {0};
    struct td_lease lease = {.tag = 1, .sequence = 1, .count = count};

    for (; lease.tag <= MANY; lease.tag += count) {
        lease.sequence = 1 + 2 * lease.tag; /* not joined */
        assert_true(td_inflight_add(&f, &lease));
    }
    assert_int_equal(f.len, MANY / count);
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t tag = 1 + (i * 40503 + 77) % MANY; /* odd: each comes once */

        assert_true(td_inflight_take(&f, tag, tag, NULL, NULL));
        assert_int_equal(f.events, MANY - 1 - i);
    }
    assert_int_equal(f.len, 0);
    td_inflight_fini(&f);
}

static void test_inflight_is_taken_in_any_order(void **state)
{
    (void)state;
    take_all_in_disorder(1);
    take_all_in_disorder(256);
}

/* ---- memory ---- */

/* Adds, takes from the middle and extends; each of them does all or nothing. */
static tidings_err work(struct td_inflight *f)
{
    struct text text = {0};

    for (uint64_t n = 0; n < 40; n++) {
        struct td_lease lease = {.tag = 1 + n * 10, .sequence = 1, .count = 10};
        uint32_t len = f->len;
        uint64_t events = f->events;

        if (!td_inflight_add(f, &lease)) {
            assert_int_equal(f->len, len);
            assert_int_equal(f->events, events);
            assert_int_equal(f->last_tag, n * 10);
            return TIDINGS_ENOMEM;
        }
        events += 10;
        if (!td_inflight_take(f, 4 + n * 10, 5 + n * 10, write_text, &text)) {
            assert_int_equal(f->events, events);
            assert_int_equal(f->len, len + 1);
            assert_int_equal(text.len, 0);
            return TIDINGS_ENOMEM;
        }
        memset(&text, 0, sizeof(text));
        len = f->len;
        if (!td_inflight_extend(f, n * 10 + 7, n * 10 + 8, 5, write_text,
                                &text)) {
            assert_int_equal(f->len, len);
            assert_int_equal(f->events, events - 2);
            assert_false(f->mixed);
            return TIDINGS_ENOMEM;
        }
        assert_true(td_inflight_extend(f, n * 10 + 7, n * 10 + 8, 0, NULL,
                                       NULL)); /* no cut, no memory */
        td_inflight_expire(f, -1, NULL, NULL);
        f->mixed = false; /* all are 0 again */
    }
    return TIDINGS_OK;
}

static tidings_err run_work(void *arg)
{
    struct td_inflight f = {0};
    tidings_err err;

    (void)arg;
    err = work(&f);
    td_inflight_fini(&f);
    return err;
}

/* What has room reserved does not fail. */
static tidings_err run_reserved(void *arg)
{
    struct td_inflight f = {0};
    struct td_lease lease = {.tag = 1, .sequence = 1, .count = 9};
    bool room = true;

    (void)arg;
    for (uint64_t n = 0; room && n < 30; n++) {
        room = td_inflight_reserve(&f, 4);
        if (!room)
            break;
        lease.tag = 1 + n * 9;
        assert_true(td_inflight_add(&f, &lease));
        assert_true(
            td_inflight_take(&f, lease.tag + 2, lease.tag + 2, NULL, NULL));
        assert_true(td_inflight_extend(&f, lease.tag + 5, lease.tag + 6,
                                       (int64_t)n + 5, NULL, NULL));
    }
    td_inflight_fini(&f);
    return room ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static void test_inflight_without_memory_changes_nothing(void **state)
{
    (void)state;
    assert_true(td_alloc_each(run_work, NULL) > 3);
    assert_true(td_alloc_each(run_reserved, NULL) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inflight_takes_any_range),
        cmocka_unit_test(test_inflight_extends_any_range),
        cmocka_unit_test(test_inflight_may_be_empty),
        cmocka_unit_test(test_inflight_joins_no_more_than_can_be_counted),
        cmocka_unit_test(test_inflight_joins_what_is_alike),
        cmocka_unit_test(test_inflight_makes_room_for_two_cuts),
        cmocka_unit_test(test_inflight_is_taken_in_any_order),
        cmocka_unit_test(test_inflight_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
