/* The engine: events whose publishers chose their ids are stored once within
 * the stream's window. */
#include "tests/unit/stream_fixture.h"

#include <string.h>

#include "tests/support/mp.h"

#define A "{\"id\" \"a\"}"
#define B "{\"id\" \"b\"}"
#define C "{\"id\" \"c\"}"
#define D "{\"id\" \"d\"}"

/* A run of events with these attributes. */
static void put_ids(struct streams *s, const char *peer, uint64_t first,
                    uint64_t flags, uint32_t n, const char *const *ids)
{
    const struct piece piece = {"a.b", n, 10, first, ids};

    publish(s->f, peer, flags, &piece, 1);
    settle_down(s);
}

static void put_id(struct streams *s, const char *peer, uint64_t first,
                   const char *id)
{
    put_ids(s, peer, first, DISK, 1, &id);
}

static void check_row(struct streams *s, const char *peer, uint32_t nth,
                      uint64_t first, uint64_t count, uint64_t sequence,
                      bool duplicate)
{
    struct td_confirm row;

    assert_true(confirm_to(s, peer, nth, &row));
    assert_int_equal(row.code, TIDINGS_OK);
    assert_int_equal(row.first, first);
    assert_int_equal(row.count, count);
    assert_int_equal(row.sequence, sequence);
    assert_int_equal(row.duplicate, duplicate);
}

static void check_code(struct streams *s, uint32_t nth, uint64_t first,
                       uint64_t count, tidings_err code, uint64_t sequence)
{
    struct td_confirm row;

    assert_true(confirm_to(s, "pub", nth, &row));
    assert_int_equal(row.first, first);
    assert_int_equal(row.count, count);
    assert_int_equal(row.code, code);
    assert_int_equal(row.sequence, sequence);
    assert_false(row.duplicate);
}

static uint32_t rows_to(struct streams *s, const char *peer)
{
    struct td_confirm row;
    uint32_t n = 0;

    while (confirm_to(s, peer, n, &row))
        n++;
    return n;
}

static uint64_t of_stream(struct streams *s, const char *key)
{
    return count(row_of(call(s, "pub", "stream.list", "{}"), "streams", 0),
                 key);
}

static void begin_two(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "pvb");
}

static void test_repeat_of_another_publisher_is_stored_once(void **state)
{
    struct streams *s = *state;
    struct td_confirm row;

    begin_two(s);
    put_id(s, "pub", 1, A);
    put_id(s, "pvb", 1, A);
    check_row(s, "pub", 0, 1, 1, 1, false);
    check_row(s, "pvb", 0, 1, 1, 1, true);
    assert_true(confirm_to(s, "pvb", 0, &row));
    assert_true(is_text(row.stream, "events"));
    put_id(s, "pvb", 2, B);
    check_row(s, "pvb", 1, 2, 1, 2, false);
    assert_int_equal(of_stream(s, "last"), 2);
    assert_int_equal(of_stream(s, "repeats"), 1);
}

static void test_repeat_is_of_one_source_and_id(void **state)
{
    static const char *const ids[] = {
        A,
        "{\"id\" \"a\" \"source\" \"/other\"}",
        "{\"source\" \"/test\" \"id\" \"a\"}", /* that of the batch, again */
        "{\"id\" \"a\" \"subject\" \"x\" \"n\" 7 \"source\" \"/other\"}",
        "{\"source\" \"/testa\" \"id\" \"\"}", /* that is no id */
        "{\"source\" \"/testa\" \"id\" \"\"}",
        "{\"id\" 7}",
        "{\"id\" 7}",
        "{\"id\" s(256)}",
        "{\"id\" s(256)}",
        "{\"id\" s(255)}",
        "{\"id\" s(255)}",
    };
    struct streams *s = *state;

    begin_two(s);
    put_ids(s, "pub", 1, DISK, 12, ids);
    check_row(s, "pub", 0, 1, 2, 1, false);
    check_row(s, "pub", 1, 3, 2, 1, true);
    check_row(s, "pub", 2, 5, 7, 3, false);
    check_row(s, "pub", 3, 12, 1, 9, true);
    assert_int_equal(rows_to(s, "pub"), 4);
    assert_int_equal(of_stream(s, "last"), 9);
}

/* What comes between repeats is one record, and consumers get it. */
static void test_repeat_is_cut_out_of_its_batch(void **state)
{
    static const char *const before[] = {B, D};
    static const char *const ids[] = {A, B, C, D, A};
    const struct piece pieces[] = {
        {"x", 2, 10, 1, NULL}, {"a.b", 5, 10, 3, ids}, {"y", 1, 10, 8, NULL}};
    struct streams *s = *state;
    uint64_t sequences[9];
    struct td_span span;

    begin_two(s);
    subscriber(s->f, "sub", "none", WIDE);
    put_ids(s, "pvb", 1, DISK, 2, before);
    publish(s->f, "pub", DISK, pieces, 3);
    settle_down(s);
    check_row(s, "pub", 0, 1, 3, 3, false);
    check_row(s, "pub", 1, 4, 1, 1, true);
    check_row(s, "pub", 2, 5, 1, 6, false);
    check_row(s, "pub", 3, 6, 1, 2, true);
    check_row(s, "pub", 4, 7, 1, 5, true);
    check_row(s, "pub", 5, 8, 1, 7, false);
    assert_int_equal(rows_to(s, "pub"), 6);

    consume(s, "sub", 2, ">", "events", NULL, "\"start\" \"all\"");
    assert_int_equal(sequences_to(s->f, "sub", sequences, 9), 7);
    assert_int_equal(sequences[2], 1); /* x, of "pub" … */
    assert_int_equal(sequences[4], 3); /* … A … */
    assert_int_equal(sequences[5], 5); /* … C … */
    assert_int_equal(sequences[6], 8); /* … y */
    assert_true(span_to(s, "sub", 0, &span));
    assert_int_equal(span.sequence, 1);
}

/* All rows to the peer, and how many there are. */
static uint32_t collect(struct streams *s, const char *peer,
                        struct td_confirm *rows, uint32_t max)
{
    struct sent *sent;
    uint32_t len = 0;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_CONFIRM, i)); i++) {
        struct td_str raw = sent->frame.u.confirm.list;
        struct td_reader list = td_reader_of(raw.data, raw.len);
        uint32_t n;

        assert_true(td_read_array(&list, &n));
        for (; n > 0; n--) {
            assert_true(len < max);
            assert_true(td_confirm_read(&list, &rows[len++]));
        }
    }
    return len;
}

/* In so many pieces that their runs are more than a record may have. */
static void test_repeat_of_every_other_event_is_cut_out(void **state)
{
    enum { PAIRS = TD_RUNS_MAX + 7 };
    static char texts[2 * PAIRS][24];
    static const char *ids[2 * PAIRS];
    static const char *first[PAIRS];
    static struct td_confirm rows[2 * PAIRS];
    struct streams *s = *state;
    uint64_t next = PAIRS + 1;

    begin_two(s);
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "{\"id\" \"n%u\"}", i);
        ids[i] = texts[i];
        if (i % 2 == 0)
            first[i / 2] = texts[i];
    }
    s->f->unjudged = true;
    put_ids(s, "pvb", 1, DISK, PAIRS, first);
    put_ids(s, "pub", 1, DISK, 2 * PAIRS, ids);
    assert_int_equal(collect(s, "pub", rows, 2 * PAIRS), 2 * PAIRS);
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        assert_int_equal(rows[i].first, i + 1);
        assert_int_equal(rows[i].duplicate, i % 2 == 0);
        assert_int_equal(rows[i].sequence, i % 2 == 0 ? i / 2 + 1 : next++);
    }
    subscriber(s->f, "sub", "none", WIDE);
    consume(s, "sub", 2, ">", "events", NULL, "\"start\" \"all\"");
    assert_int_equal(events_to(s->f, "sub"), 2 * PAIRS);
    /* and all of them are known after a crash */
    cut_power(s);
    begin_two(s);
    put_ids(s, "pvb", PAIRS + 1, DISK, 2 * PAIRS, ids);
    assert_int_equal(of_stream(s, "last"), 2 * PAIRS);
    assert_int_equal(of_stream(s, "repeats"), 2 * PAIRS);
}

/* Sent again after its confirm was lost, it is known by its number. */
static void test_repeat_is_stored_by_its_number_too(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    put_id(s, "pub", 1, A);
    put_id(s, "pvb", 1, A);
    cut_power(s);
    begin_two(s);
    call(s, "pub", "stream.purge", "{\"name\" \"events\"}");
    put_id(s, "pvb", 1, A);
    check_row(s, "pvb", 0, 1, 1, 0, true);
    assert_int_equal(of_stream(s, "events"), 0);
}

/* D04 */
static void test_repeat_is_known_after_a_crash(void **state)
{
    static const char *const ids[] = {A, B, C};
    const struct piece pieces[] = {{"x", 2, 10, 1, NULL},
                                   {"a.b", 3, 10, 3, ids}};
    struct streams *s = *state;

    begin_two(s);
    publish(s->f, "pub", DISK, pieces, 2);
    settle_down(s);
    cut_power(s);
    begin_two(s);
    put_id(s, "pvb", 1, B);
    check_row(s, "pvb", 0, 1, 1, 4, true);
    assert_int_equal(of_stream(s, "last"), 5);
}

/* Its confirm waits for the commit of the one that it repeats. */
static void test_repeat_waits_for_the_first(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    hold_store(s);
    put_id(s, "pub", 1, A);
    put_id(s, "pvb", 1, A);
    assert_int_equal(rows_to(s, "pvb"), 0);
    let_store(s);
    check_row(s, "pub", 0, 1, 1, 1, false);
    check_row(s, "pvb", 0, 1, 1, 1, true);
}

static void test_repeat_fails_with_the_first(void **state)
{
    static const char *const ids[] = {A, B};
    struct streams *s = *state;
    struct td_confirm row;

    begin_two(s);
    put_id(s, "pub", 1, B);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put_id(s, "pub", 2, A);
    put_ids(s, "pvb", 1, DISK, 2, ids); /* one failed, the other is there */
    let_store(s);
    check_code(s, 1, 2, 1, TIDINGS_EFULL, 0);
    assert_true(confirm_to(s, "pvb", 0, &row));
    assert_int_equal(row.code, TIDINGS_EFULL);
    assert_int_equal(row.first, 1);
    /* published again, it is new */
    put_ids(s, "pvb", 3, DISK, 2, ids);
    check_row(s, "pvb", rows_to(s, "pvb") - 2, 3, 1, 2, false);
    check_row(s, "pvb", rows_to(s, "pvb") - 1, 4, 1, 1, true);
    assert_int_equal(of_stream(s, "last"), 2);
}

/* What was pushed out of the window by events that then failed is in it. */
static void test_repeat_after_a_commit_that_failed(void **state)
{
    static const char *const ids[] = {B, C};
    struct streams *s = *state;
    const struct piece piece = {"m.a", 2, 10, 2, ids};
    struct td_confirm row;

    begin_two(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m.>\"] \"dedup_events\" 2}");
    publish(s->f, "pub", DISK,
            &(struct piece){"m.a", 1, 10, 1, (const char *const[]){A}}, 1);
    settle_down(s);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    let_store(s);
    publish(s->f, "pvb", DISK,
            &(struct piece){"m.a", 1, 10, 1, (const char *const[]){A}}, 1);
    settle_down(s);
    assert_true(confirm_to(s, "pvb", 0, &row));
    assert_true(row.duplicate);
    assert_int_equal(row.sequence, 1);
}

static void test_repeat_asks_for_its_own_level(void **state)
{
    const char *const ids[] = {A};
    struct streams *s = *state;
    struct td_confirm row;

    begin_two(s);
    put_ids(s, "pub", 1, OS, 1, ids);
    put_ids(s, "pvb", 1, DISK, 1, ids);
    check_row(s, "pvb", 0, 1, 1, 1, true);
    assert_true(confirm_to(s, "pvb", 0, &row));
    assert_int_equal(row.level, TD_LEVEL_DISK);
    cut_power(s); /* what was said to be on the disk is */
    begin_two(s);
    assert_int_equal(of_stream(s, "last"), 1);
    put_ids(s, "pvb", 2, MEMORY, 1, ids);
    check_row(s, "pvb", 0, 2, 1, 0, true);
    put_ids(s, "pvb", 3, 0, 1, ids);
    assert_int_equal(rows_to(s, "pvb"), 1);
    assert_int_equal(of_stream(s, "last"), 1);
    assert_int_equal(of_stream(s, "repeats"), 2);
}

static void test_repeat_in_a_list_makes_a_conflict(void **state)
{
    static const char *const both[] = {A, B};
    static const char *const more[] = {C, A};
    static const char *const twice[] = {C, C};
    static const char *const none[] = {C, D};
    struct streams *s = *state;

    begin_two(s);
    subscriber(s->f, "sub", ">", WIDE);
    put_ids(s, "pub", 1, DISK | TD_PUBLISH_ATOMIC, 2, both);
    check_row(s, "pub", 0, 1, 2, 1, false);
    put_ids(s, "pub", 3, DISK | TD_PUBLISH_ATOMIC, 2, both);
    check_row(s, "pub", 1, 3, 2, 1, true);
    put_ids(s, "pub", 5, DISK | TD_PUBLISH_ATOMIC, 2, more);
    check_code(s, 2, 5, 2, TIDINGS_ECONFLICT, 2);
    put_ids(s, "pub", 7, DISK | TD_PUBLISH_ATOMIC, 2, twice);
    check_code(s, 3, 7, 2, TIDINGS_ECONFLICT, 2);
    assert_int_equal(events_to(s->f, "sub"), 2); /* none of it is delivered */
    put_ids(s, "pub", 9, DISK | TD_PUBLISH_ATOMIC, 2, none);
    check_row(s, "pub", 4, 9, 2, 3, false);
    assert_int_equal(of_stream(s, "last"), 4);
}

/* Tried again by a process that does not know whether it had been stored. */
static void test_repeat_comes_before_what_is_expected(void **state)
{
    static const char *const ids[] = {A};
    static const char *const other[] = {B};
    struct streams *s = *state;
    const struct piece piece = {"a.b", 1, 10, 1, ids};
    const struct piece next = {"a.b", 1, 10, 2, other};

    begin_two(s);
    publish_if(s->f, "pub", DISK, &piece, 1, "{\"expect\" 0}");
    settle_down(s);
    publish_if(s->f, "pvb", DISK, &piece, 1, "{\"expect\" 0}");
    settle_down(s);
    check_row(s, "pub", 0, 1, 1, 1, false);
    check_row(s, "pvb", 0, 1, 1, 1, true);
    publish_if(s->f, "pub", DISK, &next, 1, "{\"expect\" 0}");
    settle_down(s);
    check_code(s, 1, 2, 1, TIDINGS_ECONFLICT, 1);
}

static void test_repeat_in_a_stream_without_a_window_is_stored(void **state)
{
    static const char *const off[] = {"\"dedup_ms\" 0", "\"dedup_events\" 0"};
    struct streams *s = *state;
    char options[100];

    begin_two(s);
    for (size_t i = 0; i < TD_ARRAY_LEN(off); i++) {
        const char *const ids[] = {A, A};
        const struct piece piece = {"m.a", 2, 10, 2 * i + 1, ids};
        struct td_confirm row;

        snprintf(options, sizeof(options),
                 "{\"name\" \"m\" \"patterns\" [\"m.>\"] %s}", off[i]);
        call(s, "pub", "stream.add", options);
        publish(s->f, "pub", DISK, &piece, 1);
        settle_down(s);
        assert_true(confirm_to(s, "pub", (uint32_t)i, &row));
        assert_int_equal(row.count, 2);
        assert_false(row.duplicate);
        call(s, "pub", "stream.delete", "{\"name\" \"m\"}");
    }
}

static void test_repeat_after_a_purge_is_stored(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    put_id(s, "pub", 1, A);
    put_id(s, "pub", 2, B);
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 2}");
    put_id(s, "pub", 3, A); /* a part of it is not all */
    check_row(s, "pub", 2, 3, 1, 1, true);
    call(s, "pub", "stream.purge", "{\"name\" \"events\"}");
    put_id(s, "pub", 4, A);
    check_row(s, "pub", 3, 4, 1, 3, false);
    cut_power(s);
    begin_two(s);
    put_id(s, "pub", 5, B);
    put_id(s, "pub", 6, A);
    check_row(s, "pub", 0, 5, 1, 4, false);
    check_row(s, "pub", 1, 6, 1, 3, true);
}

static void test_repeat_after_a_purge_that_failed_is_none(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    put_id(s, "pub", 1, A);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    givef(s->f, "pub", "[15 7 \"stream.purge\" {\"name\" \"events\"}]");
    settle_down(s);
    let_store(s);
    put_id(s, "pub", 2, A);
    check_row(s, "pub", 1, 2, 1, 1, true);
}

/* A repeat of what was refused is refused too, one of what is there is not. */
static void test_repeat_of_what_is_refused_is_refused(void **state)
{
    static const char *const one[] = {A};
    static const char *const ids[] = {B, A, B, C};
    struct streams *s = *state;
    const struct piece piece = {"m.a", 4, 10, 2, ids};
    struct td_confirm row;

    begin_two(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m.>\"] \"max_events\" 1 "
         "\"on_full\" \"reject\"}");
    publish(s->f, "pub", DISK, &(struct piece){"m.a", 1, 10, 1, one}, 1);
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    check_code(s, 0, 2, 1, TIDINGS_EFULL, 0);
    check_code(s, 1, 4, 2, TIDINGS_EFULL, 0);
    assert_true(confirm_to(s, "pub", 2, &row));
    assert_int_equal(row.first, 1);
    check_row(s, "pub", 3, 3, 1, 1, true);
    /* it was not taken for one that is stored */
    call(s, "pub", "stream.purge", "{\"name\" \"m\"}");
    publish(s->f, "pvb", DISK, &(struct piece){"m.a", 1, 10, 1, ids}, 1);
    settle_down(s);
    check_row(s, "pvb", 0, 1, 1, 2, false);
}

/* ---- what is in the store ---- */

/* Keys of the table in the model's store. */
static uint32_t rows_of(struct streams *s, enum td_table table)
{
    const struct td_place from = td_place_table(table);
    const struct td_place to = td_place_table(table + 1);
    struct td_store_answer *answer;
    uint32_t rows;

    settle_down(s);
    assert_true(s->store->face->read(s->store, td_place_str(&from),
                                     td_place_str(&to), false, UINT32_MAX,
                                     SIZE_MAX, 1u << 30));
    answer = s->store->face->next(s->store);
    assert_non_null(answer);
    rows = answer->records_len;
    td_store_answer_free(answer);
    return rows;
}

/* Time in which the peers are not silent. */
static void pass_talking(struct streams *s, int64_t ms)
{
    while (ms > 0) {
        int64_t part = ms < TD_HEARTBEAT_MS ? ms : TD_HEARTBEAT_MS;

        give(s->f, "pub", "[11 1]");
        give(s->f, "pvb", "[11 1]");
        pass(s->f, part);
        ms -= part;
    }
}

static void test_repeat_after_the_window_is_stored(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    put_id(s, "pub", 1, A);
    pass_talking(s, TD_DEDUP_MS / 2);
    put_id(s, "pub", 2, B);
    pass_talking(s, TD_DEDUP_MS / 2 - 1);
    put_id(s, "pub", 3, A);
    check_row(s, "pub", 2, 3, 1, 1, true);
    assert_int_equal(rows_of(s, TD_TABLE_DEDUP), 2);
    pass_talking(s, 1);
    put_id(s, "pub", 4, A);
    check_row(s, "pub", 3, 4, 1, 3, false);
    put_id(s, "pub", 5, B);
    check_row(s, "pub", 4, 5, 1, 2, true);
    pass_talking(s, 2000);
    assert_int_equal(rows_of(s, TD_TABLE_DEDUP), 2); /* of B and the new A */
    pass_talking(s, TD_DEDUP_MS + 2000);
    assert_int_equal(rows_of(s, TD_TABLE_DEDUP), 0);
    assert_true(s->f->engine->streams.dedup_ms == TD_NEVER);
}

static void test_repeat_rows_go_with_their_stream(void **state)
{
    static const char *const ids[] = {A};
    struct streams *s = *state;
    const struct piece piece = {"m.a", 1, 10, 1, ids};

    begin_two(s);
    call(s, "pub", "stream.add", "{\"name\" \"m\" \"patterns\" [\"m.>\"]}");
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    assert_int_equal(rows_of(s, TD_TABLE_DEDUP), 1);
    call(s, "pub", "stream.delete", "{\"name\" \"m\"}");
    assert_int_equal(rows_of(s, TD_TABLE_DEDUP), 0);
}

static void commit(struct streams *s, struct td_txn *txn)
{
    struct td_store_answer *answer;

    td_txn_raise(txn, TD_LEVEL_DISK);
    s->store->face->submit(s->store, txn, 1u << 30);
    answer = s->store->face->next(s->store);
    assert_non_null(answer);
    assert_ok(answer->err);
    td_store_answer_free(answer);
    td_txn_fini(txn);
}

static void store_row(struct streams *s, uint32_t stream, uint64_t first,
                      const char *value)
{
    const struct td_place key = td_place_two(TD_TABLE_DEDUP, stream, first);
    struct td_txn txn = {0};
    struct td_buf b = {0};

    td_mp(&b, value);
    td_txn_put(&txn, td_place_str(&key), td_mp_str(&b), NULL, 0, 0);
    td_buf_fini(&b);
    commit(s, &txn);
}

static void remove_row(struct streams *s, uint32_t stream, uint64_t first)
{
    const struct td_place key = td_place_two(TD_TABLE_DEDUP, stream, first);
    struct td_txn txn = {0};

    td_txn_delete(&txn, td_place_str(&key));
    commit(s, &txn);
}

/* A row that cannot be is left out, and nothing else is. */
static void test_repeat_rows_that_cannot_be_are_left_out(void **state)
{
    static const struct {
        uint32_t stream;
        uint64_t first;
        const char *value; /* version, time, [place, hash] */
    } rows[] = {
        {1, 3, "<01 00*8>"},                         /* of none */
        {1, 3, "<02 00*8 00*20>"},                   /* newer */
        {1, 3, "<01 00*8 00*19>"},                   /* short */
        {1, 3, "<01 ff*8 00*20>"},                   /* before 1970 */
        {1, 3, "<01 00*8 00*20 00*20>"},             /* not rising */
        {1, 3, "<01 00*8 00 00 00 02 00*16 00*20>"}, /* falling */
        {1, 3, "<01 00*8 00 00 00 01 00*16>"},       /* not there yet */
        {1, 4, "<01 00*8 00*20>"},                   /* nor this */
        {1, 0, "<01 00*8 00*20 00 00 00 01 00*16>"}, /* over another's */
        {1, UINT64_MAX, "<01 00*8 00*20 00 00 00 01 00*16>"}, /* round */
        {7, 1, "<01 00*8 00*20>"},                            /* whose? */
    };
    struct streams *s = *state;

    begin_two(s);
    put_id(s, "pub", 1, A);
    put_id(s, "pub", 2, B);
    put(s, "pub", "a.b", 1, 3, DISK);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_confirm row;

        store_row(s, rows[i].stream, rows[i].first, rows[i].value);
        kill_broker(s);
        assert_row(rows[i].value, s->f->engine->streams.lost_states == 1);
        begin_two(s);
        put_id(s, "pvb", i + 1, B);
        assert_true(confirm_to(s, "pvb", 0, &row));
        assert_row(rows[i].value, row.duplicate && row.sequence == 2);
        remove_row(s, rows[i].stream, rows[i].first);
    }
}

/* One that is damaged costs what was in it. */
static void test_repeat_rows_may_be_damaged(void **state)
{
    const struct td_place key = td_place_two(TD_TABLE_DEDUP, 1, 1);
    struct streams *s = *state;

    begin_two(s);
    put_id(s, "pub", 1, A);
    put_id(s, "pub", 2, B);
    assert_true(td_model_damage(s->model, td_place_str(&key)));
    kill_broker(s);
    begin_two(s);
    put_id(s, "pub", 3, B);
    put_id(s, "pub", 4, A);
    check_row(s, "pub", 0, 3, 1, 2, true);
    check_row(s, "pub", 1, 4, 1, 3, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_repeat_of_another_publisher_is_stored_once),
        TEST_STREAM(test_repeat_is_of_one_source_and_id),
        TEST_STREAM(test_repeat_is_cut_out_of_its_batch),
        TEST_STREAM(test_repeat_of_every_other_event_is_cut_out),
        TEST_STREAM(test_repeat_is_stored_by_its_number_too),
        TEST_STREAM(test_repeat_is_known_after_a_crash),
        TEST_STREAM(test_repeat_waits_for_the_first),
        TEST_STREAM(test_repeat_fails_with_the_first),
        TEST_STREAM(test_repeat_after_a_commit_that_failed),
        TEST_STREAM(test_repeat_asks_for_its_own_level),
        TEST_STREAM(test_repeat_in_a_list_makes_a_conflict),
        TEST_STREAM(test_repeat_comes_before_what_is_expected),
        TEST_STREAM(test_repeat_in_a_stream_without_a_window_is_stored),
        TEST_STREAM(test_repeat_after_a_purge_is_stored),
        TEST_STREAM(test_repeat_after_a_purge_that_failed_is_none),
        TEST_STREAM(test_repeat_of_what_is_refused_is_refused),
        TEST_STREAM(test_repeat_after_the_window_is_stored),
        TEST_STREAM(test_repeat_rows_go_with_their_stream),
        TEST_STREAM(test_repeat_rows_that_cannot_be_are_left_out),
        TEST_STREAM(test_repeat_rows_may_be_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
