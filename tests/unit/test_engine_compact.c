/* The engine: of each name only the newest event is kept. */
#include "tests/unit/stream_fixture.h"

#include "broker/store/model_inside.h"
#include "tests/support/mp.h"

#define OPTIONS                                                                \
    "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true \"compact\" true "  \
    "\"tombstone_ms\" 5000}"

/* The first sequences that the peer got are these; 0 ends them. It was told of
 * nothing that it missed. */
static void check_first(struct streams *s, const char *peer,
                        const uint64_t *expected)
{
    struct td_span span;
    uint32_t n = 0;

    for (uint32_t i = 0; expected[n] && span_to(s, peer, i, &span); i++) {
        for (uint64_t k = 0; k < span.count && expected[n]; k++)
            assert_int_equal(span.sequence + k, expected[n++]);
    }
    assert_int_equal(expected[n], 0);
    assert_int_equal(missed_by(s->f, peer, NULL), 0);
}

static void put_keys(struct streams *s, const char *const *keys, uint32_t n,
                     uint32_t size, uint64_t first)
{
    const struct piece piece = {"k.a", n, size, first, keys};

    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
}

static const char *const *fifty_of(const char *key)
{
    static const char *keys[50];

    for (int i = 0; i < 50; i++)
        keys[i] = key;
    return keys;
}

/* Events of one key, so many that what is before them is looked at. */
static uint64_t put_many(struct streams *s, const char *key, uint64_t first)
{
    for (int i = 0; i < 22; i++, first += 50)
        put_keys(s, fifty_of(key), 50, 10, first);
    pass(s->f, 10);
    settle_down(s);
    return first;
}

static void begin_compact(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    call(s, "pub", "stream.add", OPTIONS);
}

static struct td_str stream_row(struct streams *s)
{
    return row_of(call(s, "pub", "stream.list", "{}"), "streams", 1);
}

static void read_all(struct streams *s, const char *peer)
{
    hello(s->f, peer);
    consume(s, peer, 1, ">", "k", NULL, "\"start\" \"all\"");
}

static void test_compaction_keeps_the_newest(void **state)
{
    static const char *const keys[] = {"x", "y", "x", "z", "x"};
    struct streams *s = *state;
    uint64_t bytes;

    begin_compact(s);
    put_keys(s, keys, 5, 300, 1);
    bytes = count(stream_row(s), "bytes");
    put_many(s, "w", 6);
    read_all(s, "all");
    /* but for the record that was the newest then, and what came since */
    check_first(s, "all", (const uint64_t[]){2, 4, 5, 0});
    assert_true(count(stream_row(s), "bytes") < 20 * bytes);
    assert_int_equal(count(stream_row(s), "first"), 1);
    cut_power(s);
    hello(s->f, "pub");
    read_all(s, "all");
    check_first(s, "all", (const uint64_t[]){2, 4, 5, 0});
}

/* What is kept does not grow with what was published: it is less than twice what
 * a pass waits for. */
static void test_compaction_keeps_as_much_as_is_live(void **state)
{
    struct streams *s = *state;
    uint64_t next = 1;

    begin_compact(s);
    for (int i = 0; i < 5; i++) {
        next = put_many(s, "a", next);
        next = put_many(s, "b", next);
        next = put_many(s, "c", next);
        assert_true(count(stream_row(s), "bytes") < 2 * 1024 * 34);
        assert_true(td_model_records(s->model) < 60);
    }
    assert_int_equal(count(stream_row(s), "last"), 16500);
}

/* As if no event of that key had ever been. */
static void check_free(struct streams *s, const char *peer, const char *key,
                       uint64_t next)
{
    const struct piece piece = {"k.a", 1, 10, next, &key};
    struct td_confirm row;
    uint32_t n = 0;

    while (confirm_to(s, peer, n, &row))
        n++;
    publish_if(s->f, peer, DISK, &piece, 1, "{\"expect_key\" 0}");
    settle_down(s);
    assert_true(confirm_to(s, peer, n, &row));
    assert_int_equal(row.code, TIDINGS_OK);
}

/* What is committed of the record that begins there; false: there is none. */
static bool find_record(struct streams *s, uint64_t first,
                        struct td_record_head *head, uint64_t *bytes)
{
    const struct td_place key = td_place_two(TD_TABLE_RECORD, 2, first);
    const struct td_records *map = &s->model->current->map;
    uint32_t at = td_records_find(map, td_place_str(&key));
    uint64_t found;
    uint32_t id;

    if (at == map->len ||
        !td_place_read_two(map->records[at]->key, TD_TABLE_RECORD, &id,
                           &found) ||
        id != 2 || found != first)
        return false;
    *bytes = map->records[at]->value.len;
    return td_record_read(map->records[at]->value, head);
}

static bool is_gap(struct streams *s, uint64_t first)
{
    struct td_record_head head;
    uint64_t bytes;

    return find_record(s, first, &head, &bytes) && head.gone;
}

static uint64_t first_record_bytes(struct streams *s)
{
    struct td_record_head head;
    uint64_t bytes;

    assert_true(find_record(s, 1, &head, &bytes));
    return bytes;
}

static void test_tombstones_go_after_a_while(void **state)
{
    static const char *const x[] = {"x"};
    static const char *const y[] = {"y"};
    struct streams *s = *state;
    uint64_t next;

    begin_compact(s);
    put_keys(s, x, 1, 10, 1);
    put_keys(s, y, 1, 10, 2);
    put_keys(s, x, 1, 0, 3); /* it is no more */
    next = put_many(s, "w", 4);
    read_all(s, "soon");
    check_first(s, "soon", (const uint64_t[]){2, 3, 0});
    pass(s->f, 6000);
    settle_down(s);
    read_all(s, "late");
    check_first(s, "late", (const uint64_t[]){2, 0});
    check_free(s, "pub", "x", next);
}

/* A trickle of tombstones: their times come one by one, passes do not. */
static void test_tombstones_go_together(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    struct streams *s = *state;
    struct td_span span;

    begin_compact(s);
    for (uint64_t i = 0; i < 3; i++) {
        put_keys(s, &keys[i], 1, 0, i + 1);
        pass(s->f, 2000);
    }
    put_many(s, "w", 4);
    read_all(s, "first");
    check_first(s, "first", (const uint64_t[]){2, 3, 0}); /* 6 s */
    pass(s->f, 2000);
    settle_down(s);
    read_all(s, "second");
    check_first(s, "second", (const uint64_t[]){3, 0});
    pass(s->f, 20000);
    settle_down(s);
    read_all(s, "third");
    check_first(s, "third", (const uint64_t[]){3, 0});
    pass(s->f, 60000);
    settle_down(s);
    read_all(s, "fourth");
    assert_true(span_to(s, "fourth", 0, &span));
    assert_true(span.sequence > 3);
}

/* The broker is killed with the tombstone gone, and nothing after that done. */
static void test_a_tombstone_goes_with_its_name(void **state)
{
    static const char *const x[] = {"x"};
    struct streams *s = *state;
    uint64_t next;

    begin_compact(s);
    put_keys(s, x, 1, 0, 1);
    next = put_many(s, "w", 2);
    for (int i = 0; i < 900 && !is_gap(s, 1); i++) {
        s->f->now += 10;
        flush(s->f);
    }
    assert_true(is_gap(s, 1));
    kill_broker(s);
    hello(s->f, "pub");
    check_free(s, "pub", "x", next);
}

/* Every second event of a record is of a key that comes again. */
static void put_every_second(struct streams *s, uint32_t size)
{
    static const char *const keys[] = {"w", "a", "w", "b", "w",
                                       "c", "w", "d", "w", "e"};

    begin_compact(s);
    put_keys(s, keys, 10, size, 1);
}

/* What records and gaps would take is more than those that go. */
static void test_little_is_left_where_it_is(void **state)
{
    struct streams *s = *state;
    uint64_t bytes;

    put_every_second(s, 10);
    bytes = count(stream_row(s), "bytes");
    put_many(s, "w", 11);
    assert_true(is_gap(s, 11)); /* a record of which nothing is left */
    assert_int_equal(first_record_bytes(s), bytes);
    read_all(s, "all");
    check_first(s, "all", (const uint64_t[]){1, 2, 3, 4, 5, 0});
}

static void test_much_is_cut_out(void **state)
{
    struct streams *s = *state;

    put_every_second(s, 400);
    put_many(s, "w", 11);
    assert_true(is_gap(s, 1));
    read_all(s, "all");
    check_first(s, "all", (const uint64_t[]){2, 4, 6, 8, 10, 0});
}

/* The events that a pass waits for, committed; nothing more is. */
static void put_last(struct streams *s, uint64_t next)
{
    hold_store(s);
    publish(s->f, "pub", DISK, &(struct piece){"k.a", 50, 10, next, NULL}, 1);
    flush(s->f);
    assert_int_equal(td_model_commit(s->model, 1), 1);
}

/* … and nothing more finds room. */
static void fill_up(struct streams *s, uint64_t next)
{
    put_last(s, next);
    td_model_limit(s->model, 1, 0);
    let_store(s);
}

/* What is in the store, and what that adds to each record. */
static uint64_t room_taken(const struct streams *s)
{
    const struct td_records *map = &s->model->current->map;

    return map->bytes + (uint64_t)map->len * 31;
}

/* Whatever the size of events, and however many of a record are newest. */
static void check_room(struct streams *s, uint32_t size, uint32_t names)
{
    static char name[300][12];
    const char *keys[50];
    uint32_t random = size + names;
    uint64_t next = 1;
    uint64_t before;

    begin_compact(s);
    for (; next <= 1000; next += 50) {
        for (uint32_t i = 0; i < 50; i++) {
            uint32_t n;

            random = random * 1664525u + 1013904223u;
            n = (random >> 8) % names;
            snprintf(name[n], sizeof(name[n]), "%u", (unsigned)n);
            keys[i] = name[n];
        }
        put_keys(s, keys, 50, size, next);
    }
    put_last(s, next);
    before = room_taken(s);
    let_store(s);
    settle_down(s);
    assert_true(room_taken(s) <= before);
    if (size >= 200 || names <= 3)
        assert_true(room_taken(s) < before / 2);
}

static void test_compaction_never_takes_room(void **state)
{
    static const uint32_t rows[][2] = {{1, 3},    {1, 30},   {1, 300},
                                       {30, 30},  {30, 300}, {100, 3},
                                       {100, 60}, {200, 30}, {800, 300}};

    for (uint32_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        if (i > 0) {
            teardown_streams(state);
            assert_int_equal(setup_streams(state), 0);
        }
        check_room(*state, rows[i][0], rows[i][1]);
    }
}

/* What is gone as a whole makes room; what would be written anew has to wait. */
static void test_a_full_store_is_only_made_smaller(void **state)
{
    static const char *const x[] = {"x"};
    struct streams *s = *state;
    uint64_t next;
    uint64_t bytes;

    put_every_second(s, 400);
    for (next = 11; next < 14; next++)
        put_keys(s, x, 1, 10, next);
    for (; next < 1000; next += 50)
        put_keys(s, fifty_of("w"), 50, 10, next);
    bytes = first_record_bytes(s);
    fill_up(s, next);
    settle_down(s);
    assert_true(is_gap(s, 11));
    assert_true(is_gap(s, 12));
    assert_false(is_gap(s, 13));
    assert_int_equal(first_record_bytes(s), bytes);
    td_model_limit(s->model, 0, 0);
    pass(s->f, 2000);
    settle_down(s);
    put_many(s, "w", next + 50);
    assert_true(is_gap(s, 1)); /* and those that were gaps are one */
    assert_true(is_gap(s, 11));
    assert_false(is_gap(s, 12));
    read_all(s, "all");
    check_first(s, "all", (const uint64_t[]){2, 4, 6, 8, 10, 13, 0});
}

/* Or what came before it would be its name's newest. */
static void test_a_tombstone_waits_for_what_is_left(void **state)
{
    static const char *const keys[] = {"a", "x", "b"};
    static const char *const x[] = {"x"};
    struct streams *s = *state;

    begin_compact(s);
    put_keys(s, keys, 3, 10, 1);
    put_keys(s, x, 1, 0, 4);
    put_many(s, "w", 5);
    pass(s->f, 6000);
    settle_down(s);
    read_all(s, "soon"); /* it may go, and waits */
    check_first(s, "soon", (const uint64_t[]){1, 2, 3, 4, 0});
    pass(s->f, 60000);
    settle_down(s);
    read_all(s, "late");
    check_first(s, "late", (const uint64_t[]){1, 3, 0});
    assert_true(is_gap(s, 4));
    check_free(s, "late", "x", 1);
}

/* A pass whose commit fails is not at once another's fault: what comes next is
 * stored, and the pass begins anew later. */
static void test_a_pass_that_failed_waits(void **state)
{
    static const char *const x[] = {"x"};
    struct streams *s = *state;
    struct td_confirm row;
    uint64_t next;

    begin_compact(s);
    put_keys(s, x, 1, 10, 1);
    put_keys(s, x, 1, 10, 2);
    for (next = 3; next < 1000; next += 50)
        put_keys(s, fifty_of("w"), 50, 10, next);
    put_last(s, next);
    for (int i = 0; i < 3 && td_model_writes(s->model) == 0; i++) {
        flush(s->f);
        td_model_serve(s->model, 1);
    }
    assert_int_equal(td_model_writes(s->model), 1); /* the pass's */
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    let_store(s);
    settle_down(s);
    forget(s->f);
    put_keys(s, x, 1, 10, next + 50);
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_int_equal(row.code, TIDINGS_OK);
    pass(s->f, 9000);
    settle_down(s);
    assert_false(is_gap(s, 1));
    pass(s->f, 2000);
    settle_down(s);
    assert_true(is_gap(s, 1));
}

/* Of a run without keys the last event alone is a tombstone, or is not. */
static void test_the_last_of_a_type_is_a_tombstone(void **state)
{
    static const struct piece dead[] = {{"k.a", 3, 5, 1, NULL},
                                        {"k.a", 1, 0, 4, NULL},
                                        {"k.b", 1, 0, 5, NULL},
                                        {"k.b", 2, 5, 6, NULL}};
    struct streams *s = *state;

    begin_compact(s);
    publish(s->f, "pub", DISK, dead, 4);
    settle_down(s);
    pass(s->f, 6000);
    put_many(s, "w", 8);
    read_all(s, "late");
    check_first(s, "late", (const uint64_t[]){7, 0});
}

/* A pass saw a tombstone, and what it was in is gone before it may go: there is
 * nothing to do then, and nothing to look at. */
static void check_rests(struct streams *s, bool whole)
{
    static const char *const x[] = {"x"};
    char options[60];
    uint64_t next;

    begin_compact(s);
    put_keys(s, x, 1, 0, 1);
    next = put_many(s, "w", 2);
    snprintf(options, sizeof(options), "{\"name\" \"k\" \"before\" %u}",
             (unsigned)(whole ? next : next - 1));
    call(s, "pub", "stream.purge", options);
    settle_down(s);
    for (int i = 0; i < 30; i++) {
        pass(s->f, 1000);
        settle_down(s);
        assert_true(s->f->next > s->f->now);
    }
}

static void test_a_purge_leaves_no_tombstones(void **state)
{
    check_rests(*state, true);
}

static void test_one_record_has_no_old_tombstones(void **state)
{
    check_rests(*state, false);
}

/* A group passes over what is gone, also what it was given and gave back. */
static void test_groups_pass_over_what_is_gone(void **state)
{
    static const char *const x[] = {"x"};
    static const char *const y[] = {"y"};
    struct streams *s = *state;
    struct td_str row;

    begin_compact(s);
    put_keys(s, x, 1, 10, 1);
    put_keys(s, x, 1, 10, 2);
    put_keys(s, y, 1, 10, 3);
    consume(s, "sub", 1, ">", "k", "g",
            "\"start\" \"all\" \"max_in_flight\" 2 \"backoff_ms\" 5000");
    check_first(s, "sub", (const uint64_t[]){1, 2, 0});
    settle(s, "sub", TD_NAK, 1, 2); /* both wait */
    put_keys(s, x, 1, 10, 4);
    put_many(s, "w", 5);
    pass(s->f, 8000);
    settle_down(s);
    check_first(s, "sub", (const uint64_t[]){1, 2, 3, 4, 0});
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "expired"), 0);
    assert_int_equal(count(row, "waiting"), 0);
}

/* Records change while somebody reads them. */
static void test_readers_go_on_while_records_change(void **state)
{
    const char *keys[50];
    struct streams *s = *state;
    uint64_t before = 0;
    struct td_span span;
    uint64_t next = 1;

    begin_compact(s);
    for (int i = 0; i < 50; i++)
        keys[i] = i % 7 ? "a" : "b";
    for (; next < 1000; next += 50)
        put_keys(s, keys, 50, 10, next);
    hello(s->f, "read");
    givef(s->f, "read",
          "[5 1 1 \">\" {\"events\" 3 \"bytes\" 10000000 \"stream\" \"k\" "
          "\"start\" \"all\"}]");
    for (int i = 0; i < 60; i++) {
        uint64_t taken = events_to(s->f, "read");

        if (next < 3000) {
            put_keys(s, keys, 50, 10, next);
            next += 50;
        }
        givef(s->f, "read", "[9 %u [[1 %u %u 10000000]]]",
              messages_to(s->f, "read"), (unsigned)taken,
              (unsigned)taken + (i < 50 ? 20 : 5000));
        flush(s->f);
    }
    settle_down(s);
    for (uint32_t i = 0; span_to(s, "read", i, &span); i++) {
        assert_true(span.sequence > before);
        before = span.sequence + span.count - 1;
    }
    assert_int_equal(before, next - 1);
    assert_int_equal(missed_by(s->f, "read", NULL), 0);
}

static void test_compaction_wants_a_keyed_stream_on_disk(void **state)
{
    static const char *const bad[] = {
        "{\"name\" \"q\" \"patterns\" [\"q\"] \"compact\" true}",
        "{\"name\" \"q\" \"patterns\" [\"q\"] \"keyed\" true \"compact\" "
        "true \"storage\" \"memory\"}",
        "{\"name\" \"q\" \"patterns\" [\"q\"] \"keyed\" true \"compact\" 1}",
        "{\"name\" \"q\" \"patterns\" [\"q\"] \"tombstone_ms\" -1}",
        "{\"name\" \"q\" \"patterns\" [\"q\"] \"tombstone_ms\" "
        "3153600000001}",
    };
    struct streams *s = *state;

    hello(s->f, "pub");
    for (uint32_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        assert_row(bad[i],
                   call_code(s, "pub", "stream.add", bad[i]) == TIDINGS_EINVAL);
}

/* Nothing but a version, one flag, a number of events: what else there is in a
 * record of which nothing is left is damage. */
static void test_gaps_have_one_shape(void **state)
{
    static const struct td_record_head gone = {
        .gone = true, .events = 7, .previous = 3, .stored_ms = 5};
    struct td_record_head head;
    struct td_buf b = {0};

    (void)state;
    td_record_pack(&b, &gone);
    assert_int_equal(b.len, TD_RECORD_GONE_BYTES);
    assert_true(td_record_read(td_mp_str(&b), &head));
    assert_true(head.gone);
    assert_int_equal(head.events, 7);
    assert_int_equal(head.previous, 3);
    b.data[1] = 2;
    assert_false(td_record_read(td_mp_str(&b), &head));
    b.data[1] = 1;
    td_buf_append(&b, "x", 1);
    assert_false(td_record_read(td_mp_str(&b), &head));
    td_buf_fini(&b);
}

/* A record says how many sequences it stands for: no more than one can have. */
static void test_records_are_bounded(void **state)
{
    static const struct {
        const char *name;
        bool gone;
        uint32_t events;
        bool ok;
    } rows[] = {
        {"a gap", true, TD_GAP_EVENTS_MAX, true},
        {"too long a gap", true, TD_GAP_EVENTS_MAX + 1, false},
        {"any number of gone", true, UINT32_MAX, false},
        {"a record", false, TD_EVENTS_MAX, true},
        {"too long a record", false, TD_EVENTS_MAX + 1, false},
        {"any number", false, UINT32_MAX, false},
    };

    (void)state;
    for (uint32_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const struct td_record_head written = {.gone = rows[i].gone,
                                               .events = rows[i].events};
        struct td_record_head head;
        struct td_buf b = {0};

        td_record_pack(&b, &written);
        assert_row(rows[i].name,
                   td_record_read(td_mp_str(&b), &head) == rows[i].ok);
        td_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_compaction_keeps_the_newest),
        TEST_STREAM(test_compaction_keeps_as_much_as_is_live),
        TEST_STREAM(test_tombstones_go_after_a_while),
        TEST_STREAM(test_tombstones_go_together),
        TEST_STREAM(test_a_tombstone_goes_with_its_name),
        TEST_STREAM(test_little_is_left_where_it_is),
        TEST_STREAM(test_much_is_cut_out),
        TEST_STREAM(test_a_tombstone_waits_for_what_is_left),
        TEST_STREAM(test_compaction_never_takes_room),
        TEST_STREAM(test_a_full_store_is_only_made_smaller),
        TEST_STREAM(test_a_pass_that_failed_waits),
        TEST_STREAM(test_the_last_of_a_type_is_a_tombstone),
        TEST_STREAM(test_a_purge_leaves_no_tombstones),
        TEST_STREAM(test_one_record_has_no_old_tombstones),
        TEST_STREAM(test_groups_pass_over_what_is_gone),
        TEST_STREAM(test_readers_go_on_while_records_change),
        TEST_STREAM(test_compaction_wants_a_keyed_stream_on_disk),
        TEST_STREAM(test_gaps_have_one_shape),
        TEST_STREAM(test_records_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
