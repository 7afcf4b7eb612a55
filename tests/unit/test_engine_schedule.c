/* The engine: events that wait for their time, which are published once or
 * cancelled, whatever fails and whenever the broker is killed. */
#include "tests/unit/stream_fixture.h"

#include "tests/support/mp.h"

/* One run of so many events of 10 bytes that wait. */
static void later(struct streams *s, const char *type, uint32_t events,
                  uint64_t first, const char *options)
{
    const struct piece piece = {type, events, 10, first, NULL};

    publish_if(s->f, "pub", DISK, &piece, 1, options);
    settle_down(s);
}

static void check_confirm(struct streams *s, uint32_t nth, uint64_t first,
                          uint64_t events, tidings_err code, uint64_t number)
{
    struct td_confirm row;

    assert_true(confirm_to(s, "pub", nth, &row));
    assert_int_equal(row.first, first);
    assert_int_equal(row.count, events);
    assert_int_equal(row.code, code);
    assert_int_equal(row.sequence, number);
    assert_true(is_text(row.stream, number ? "$schedule" : ""));
}

/* So many events are in the stream. */
static uint64_t stored(struct streams *s)
{
    return count(row_of(call(s, "pub", "stream.list", "{}"), "streams", 0),
                 "last");
}

static uint64_t waiting(struct streams *s)
{
    return count(call(s, "pub", "schedule.list", "{}"), "scheduled_total");
}

static void wait_ms(struct streams *s, int64_t ms)
{
    for (; ms > 0; ms -= 4000) { /* heard of often enough */
        pass(s->f, ms < 4000 ? ms : 4000);
        settle_down(s);
        if (ms <= 4000)
            break;
        give(s->f, "pub", "[11 1]");
        give(s->f, "sub", "[11 1]");
    }
}

/* The type of the n-th event that was delivered to the peer, each of which is a
 * batch of its own. */
static struct td_str type_to(struct streams *s, const char *peer, uint32_t nth)
{
    const struct td_batches *got;

    for (uint32_t i = 0; (got = delivered(s->f, peer, i)); i++) {
        if (nth < got->len)
            return got->runs[nth].type;
        nth -= got->len;
    }
    return td_no_str;
}

static void greet(struct streams *s)
{
    hello(s->f, "pub");
    subscriber(s->f, "sub", ">", WIDE);
}

static void restart_broker(struct streams *s)
{
    kill_broker(s);
    greet(s);
}

/* ---- being published ---- */

static void test_schedule_publishes_when_it_is_due(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a.b", 1, 1, "{\"after_ms\" 5000}");
    check_confirm(s, 0, 1, 1, TIDINGS_OK, 1);
    wait_ms(s, 4900);
    assert_int_equal(events_to(s->f, "sub"), 0);
    assert_int_equal(stored(s), 0);
    assert_int_equal(waiting(s), 1);
    wait_ms(s, 100);
    assert_int_equal(events_to(s->f, "sub"), 1);
    assert_int_equal(stored(s), 1);
    assert_int_equal(waiting(s), 0);
    wait_ms(s, 100000);
    assert_int_equal(events_to(s->f, "sub"), 1);
}

/* Its id is the one that it had; its numbering the broker's, so that nobody
 * takes it for one seen before. */
static void test_schedule_keeps_id_and_source(void **state)
{
    struct streams *s = *state;
    const struct td_batches *got;
    struct td_event event;
    struct td_str id;
    const uint8_t *p;

    greet(s);
    later(s, "a", 1, 3, "{\"after_ms\" 50}");
    put(s, "pub", "b", 1, 4, DISK);
    wait_ms(s, 50);
    got = delivered(s->f, "sub", 1);
    assert_int_equal(got->runs[0].flags, TD_RUN_ID);
    assert_true(is_text(got->batch[0].source, "/test"));
    assert_memory_not_equal(got->batch[0].producer.data, "pubpubpub", 9);
    p = find(s->f, "sub", TD_DELIVER, 1)->body->data;
    assert_true(td_event_open(&event, &p, p + got->bytes));
    assert_int_equal(event.data.len, 10);
    assert_true(td_map_find(event.attrs, "id", &id));
    assert_true(td_map_str(event.attrs, "id", &id));
    assert_int_equal(id.len, TD_ID_TEXT_BYTES);
    assert_memory_equal(id.data + 27, "0000000000003", 13);
}

static void test_schedule_of_a_time_gone_is_due_at_once(void **state)
{
    static const char *const options[] = {"{\"at_ms\" 0}", "{\"after_ms\" 0}",
                                          "{\"at_ms\" 999}"};
    struct streams *s = *state;

    greet(s);
    for (uint64_t i = 0; i < TD_ARRAY_LEN(options); i++) {
        later(s, "a", 1, i + 1, options[i]);
        wait_ms(s, 1);
        assert_int_equal(stored(s), i + 1);
    }
    assert_int_equal(events_to(s->f, "sub"), 3);
}

static void test_schedule_keeps_the_order_of_equal_times(void **state)
{
    static const char *const types[] = {"e1", "e2", "e3", "e4"};
    struct streams *s = *state;

    greet(s);
    later(s, "late", 1, 1, "{\"at_ms\" 3000}");
    for (uint64_t i = 0; i < TD_ARRAY_LEN(types); i++)
        later(s, types[i], 1, i + 2, "{\"at_ms\" 2000}");
    later(s, "early", 1, 6, "{\"at_ms\" 1999}");
    wait_ms(s, 5000);
    assert_true(is_text(type_to(s, "sub", 0), "early"));
    for (uint32_t i = 0; i < TD_ARRAY_LEN(types); i++)
        assert_true(is_text(type_to(s, "sub", i + 1), types[i]));
    assert_true(is_text(type_to(s, "sub", 5), "late"));
}

static void test_schedule_takes_a_batch_as_a_whole(void **state)
{
    struct streams *s = *state;
    const struct piece pieces[] = {{"a", 2, 10, 1, NULL},
                                   {"b", 3, 10, 3, NULL}};

    greet(s);
    publish_if(s->f, "pub", DISK | TD_PUBLISH_ATOMIC, pieces, 2,
               "{\"after_ms\" 10}");
    settle_down(s);
    check_confirm(s, 0, 1, 5, TIDINGS_OK, 1);
    wait_ms(s, 10);
    assert_int_equal(stored(s), 5);
    assert_int_equal(events_to(s->f, "sub"), 5);
}

static void test_schedule_of_memory_is_written_all_the_same(void **state)
{
    struct streams *s = *state;
    const struct piece piece = {"a", 1, 10, 1, NULL};
    struct td_confirm row;

    hello(s->f, "pub");
    hold_store(s);
    publish_if(s->f, "pub", MEMORY, &piece, 1, "{\"after_ms\" 10}");
    settle_down(s);
    assert_false(confirm_to(s, "pub", 0, &row));
    wait_ms(s, 100); /* it is due, and not written: it waits */
    let_store(s);
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_int_equal(row.level, TD_LEVEL_OS);
    assert_int_equal(row.sequence, 1);
    publish_if(s->f, "pub", MEMORY, &piece, 1, "{\"after_ms\" 10}");
    settle_down(s); /* sent again */
    assert_true(confirm_to(s, "pub", 1, &row));
    assert_true(row.duplicate && row.level == TD_LEVEL_OS);
    wait_ms(s, 1000);
    assert_int_equal(stored(s), 1);
}

static void test_schedule_follows_the_wall(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 1, 1, "{\"after_ms\" 10000}");
    s->f->unix_ahead_ms = -500000; /* set back */
    wait_ms(s, 20000);
    assert_int_equal(stored(s), 0);
    s->f->unix_ahead_ms = 0; /* and forth: it is noticed within a second */
    wait_ms(s, 1000);
    assert_int_equal(stored(s), 1);
    assert_int_equal(events_to(s->f, "sub"), 1);
}

/* The clock is set back between being due and the commit that fails. */
static void test_schedule_survives_a_clock_set_back(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 1, 1, "{\"after_ms\" 100}");
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    s->f->now += 100;
    for (int i = 0; i < 10 && events_to(s->f, "sub") == 0; i++)
        flush(s->f);
    assert_int_equal(events_to(s->f, "sub"), 1);
    s->f->unix_ahead_ms = -90000;
    wait_ms(s, 89000);
    assert_int_equal(stored(s), 0);
    wait_ms(s, 2000);
    assert_int_equal(stored(s), 1);
    assert_int_equal(events_to(s->f, "sub"), 1);
}

/* ---- what is refused ---- */

static void test_schedule_refuses(void **state)
{
    struct streams *s = *state;

    greet(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m\"] \"storage\" \"memory\"}");
    later(s, "m", 1, 1, "{\"after_ms\" 10}");
    check_confirm(s, 0, 1, 1, TIDINGS_ENOTSUP, 0);
    td_model_limit(s->model, 1, 0);
    put(s, "pub", "a", 1, 2, DISK); /* so that it is known to be full */
    later(s, "a", 1, 3, "{\"after_ms\" 10}");
    check_confirm(s, 2, 3, 1, TIDINGS_EFULL, 0);
    td_model_limit(s->model, 0, 0);
    call(s, "pub", "stream.add", "{\"name\" \"n\" \"patterns\" [\"n\"]}");
    wait_ms(s, 1000);
    assert_int_equal(events_to(s->f, "sub"), 1); /* the plain one */
    /* sent again it is judged anew */
    later(s, "a", 1, 3, "{\"after_ms\" 10}");
    check_confirm(s, 3, 3, 1, TIDINGS_OK, 1);
    wait_ms(s, 10);
    assert_int_equal(stored(s), 1);
}

static void test_schedule_of_what_no_stream_takes(void **state)
{
    struct fixture *f = *state; /* without a store */
    const struct piece piece = {"a", 1, 10, 1, NULL};
    struct streams s = {.f = f};
    struct td_confirm row;

    hello(f, "pub");
    publish_if(f, "pub", DISK, &piece, 1, "{\"after_ms\" 10}");
    flush(f);
    assert_true(confirm_to(&s, "pub", 0, &row));
    assert_int_equal(row.code, TIDINGS_ENOSTREAM);
    give(f, "pub", "[15 7 \"schedule.list\" {}]");
    assert_int_equal(code_of_reply(f, "pub"), TIDINGS_ENOTSUP);
    give(f, "pub", "[15 8 \"schedule.cancel\" {\"number\" 1}]");
    assert_int_equal(code_of_reply(f, "pub"), TIDINGS_ENOTSUP);
}

static void test_schedule_breaches(void **state)
{
    static const struct {
        const char *options;
        uint64_t flags;
        uint32_t batches;
    } rows[] = {
        {"{\"at_ms\" -1}", DISK, 1},
        {"{\"at_ms\" \"now\"}", DISK, 1},
        {"{\"after_ms\" 1.5}", DISK, 1},
        {"{\"at_ms\" 253402300800000}", DISK, 1},
        {"{\"after_ms\" 18446744073709551615}", DISK, 1},
        {"{\"after_ms\" 1}", 0, 1},
        {"{\"after_ms\" 1 \"expect\" 0}", DISK, 1},
    };
    struct streams *s = *state;
    const struct piece piece = {"a", 1, 10, 1, NULL};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        hello(s->f, "pub");
        publish_if(s->f, "pub", rows[i].flags, &piece, 1, rows[i].options);
        settle_down(s);
        assert_bye(s->f, rows[i].options, "pub", TIDINGS_EPROTO);
        forget(s->f);
    }
    hello(s->f, "pub");
    assert_int_equal(stored(s), 0);
}

/* ---- once ---- */

static void test_schedule_takes_once(void **state)
{
    struct streams *s = *state;
    struct td_confirm row;

    greet(s);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    restart_broker(s);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_true(row.duplicate && !row.code && row.count == 2);
    wait_ms(s, 1000);
    assert_int_equal(stored(s), 2);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    wait_ms(s, 1000);
    assert_int_equal(stored(s), 2);
    assert_int_equal(events_to(s->f, "sub"), 2);
}

static void test_schedule_takes_back_what_failed(void **state)
{
    struct streams *s = *state;

    greet(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    check_confirm(s, 0, 1, 2, TIDINGS_EFULL, 0);
    wait_ms(s, 2000);
    assert_int_equal(stored(s), 0);
    assert_int_equal(waiting(s), 0);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    check_confirm(s, 1, 1, 2, TIDINGS_OK, 3);
    wait_ms(s, 100);
    assert_int_equal(stored(s), 2);
}

static void test_schedule_publishes_again_what_failed(void **state)
{
    struct streams *s = *state;

    greet(s);
    subscriber(s->f, "dur", ">", WIDE);
    consume(s, "dur", 2, ">", "events", "g", "");
    later(s, "a", 3, 1, "{\"after_ms\" 100}");
    for (int i = 0; i < 3; i++) {
        td_model_fail(s->model, 1, TIDINGS_EFULL);
        wait_ms(s, i == 0 ? 100 : 600);
        assert_int_equal(stored(s), 0);
        assert_int_equal(events_to(s->f, "sub"), 3); /* live at once, once */
        assert_int_equal(waiting(s), 3);
    }
    wait_ms(s, 600);
    assert_int_equal(stored(s), 3);
    assert_int_equal(waiting(s), 0);
    wait_ms(s, 5000);
    assert_int_equal(events_to(s->f, "sub"), 3);
    assert_int_equal(events_to(s->f, "dur"), 6); /* live, and of the stream */
}

static void test_schedule_reads_again_what_failed(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 1, 1, "{\"after_ms\" 100}");
    td_model_fail_read(s->model, 1, TIDINGS_EIO);
    wait_ms(s, 100);
    assert_int_equal(events_to(s->f, "sub"), 0);
    wait_ms(s, 1000);
    assert_int_equal(events_to(s->f, "sub"), 1);
    assert_int_equal(stored(s), 1);
}

/* A stream that rejects takes it when it has room; others do not wait. */
static void test_schedule_waits_for_room(void **state)
{
    struct streams *s = *state;

    greet(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"r\" \"patterns\" [\"r\"] \"max_events\" 1 \"on_full\" "
         "\"reject\"}");
    put(s, "pub", "r", 1, 1, DISK);
    later(s, "r", 1, 2, "{\"after_ms\" 100}");
    later(s, "a", 1, 3, "{\"after_ms\" 200}");
    wait_ms(s, 5000);
    assert_int_equal(stored(s), 1);
    assert_int_equal(waiting(s), 1);
    assert_int_equal(events_to(s->f, "sub"), 2); /* not the one that waits */
    call(s, "pub", "stream.purge", "{\"name\" \"r\"}");
    wait_ms(s, 2000);
    assert_int_equal(waiting(s), 0);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

/* ---- cancelling ---- */

static void test_schedule_cancels(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 3, 1, "{\"after_ms\" 100}");
    call(s, "pub", "schedule.cancel", "{\"number\" 2}");
    assert_int_equal(waiting(s), 2);
    assert_int_equal(call_code(s, "pub", "schedule.cancel", "{\"number\" 2}"),
                     TIDINGS_ENOTFOUND);
    assert_int_equal(call_code(s, "pub", "schedule.cancel", "{\"number\" 9}"),
                     TIDINGS_ENOTFOUND);
    assert_int_equal(call_code(s, "pub", "schedule.cancel", "{}"),
                     TIDINGS_EINVAL);
    restart_broker(s);
    wait_ms(s, 200);
    assert_int_equal(stored(s), 2);
    assert_int_equal(call_code(s, "pub", "schedule.cancel", "{\"number\" 1}"),
                     TIDINGS_ENOTFOUND);
}

/* Cancelled while it is being read: it is not published. */
static void test_schedule_cancels_what_is_due(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    hold_store(s);
    wait_ms(s, 100);
    assert_int_equal(td_model_reads(s->model), 1);
    give(s->f, "pub", "[15 9 \"schedule.cancel\" {\"number\" 1}]");
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "pub"), TIDINGS_OK);
    wait_ms(s, 1000);
    assert_int_equal(stored(s), 1);
    assert_int_equal(events_to(s->f, "sub"), 1);
}

/* Published, and not written yet: it is too late. */
static void test_schedule_does_not_cancel_what_is_published(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 1, 1, "{\"after_ms\" 100}");
    hold_store(s);
    wait_ms(s, 100);
    assert_int_equal(td_model_serve(s->model, 1), 1);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 1);
    give(s->f, "pub", "[15 9 \"schedule.cancel\" {\"number\" 1}]");
    settle_down(s);
    assert_int_equal(code_of_reply(s->f, "pub"), TIDINGS_ENOTFOUND);
    let_store(s);
    assert_int_equal(stored(s), 1);
}

static void test_schedule_publishes_what_could_not_be_cancelled(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 1, 1, "{\"after_ms\" 1000}");
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    assert_int_equal(call_code(s, "pub", "schedule.cancel", "{\"number\" 1}"),
                     TIDINGS_EFULL);
    assert_int_equal(waiting(s), 1);
    wait_ms(s, 2000);
    assert_int_equal(stored(s), 1);
}

/* ---- after a restart ---- */

static void test_schedule_publishes_at_start_what_fell_due(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 2, 1, "{\"after_ms\" 100}");
    later(s, "b", 1, 3, "{\"after_ms\" 100000}");
    s->f->now += 5000;
    restart_broker(s);
    assert_int_equal(stored(s), 2);
    assert_int_equal(waiting(s), 1);
    cut_power(s);
    hello(s->f, "pub");
    assert_int_equal(stored(s), 2);
    assert_int_equal(waiting(s), 1);
}

static void test_schedule_never_uses_a_number_again(void **state)
{
    struct streams *s = *state;

    greet(s);
    later(s, "a", 3, 1, "{\"after_ms\" 10}");
    wait_ms(s, 100);
    restart_broker(s);
    later(s, "a", 1, 4, "{\"after_ms\" 10}");
    check_confirm(s, 0, 4, 1, TIDINGS_OK, 4);
}

/* Killed after each number of commits, with the work of all of them given. */
static void test_schedule_publishes_once_wherever_it_is_killed(void **state)
{
    struct streams *s = *state;
    uint64_t first = 1;
    uint64_t sure = 0;

    for (uint32_t commits = 0; commits < 6; commits++) {
        struct td_confirm row;

        greet(s);
        hold_store(s);
        later(s, "a", 2, first, "{\"after_ms\" 100}");
        for (uint32_t i = 0; i < commits; i++) {
            td_model_commit(s->model, 1);
            td_model_serve(s->model, 1);
            settle_down(s);
            pass(s->f, i == 1 ? 150 : 10);
            if (i == 3)
                give(s->f, "pub", "[15 9 \"schedule.cancel\" {\"number\" 2}]");
        }
        sure += confirm_to(s, "pub", 0, &row) ? 2 : 0;
        restart_broker(s);
        wait_ms(s, 1000);
        if (stored(s) < sure || (stored(s) - sure) % 2 != 0)
            fail_msg("killed after %u commits: %llu stored, %llu confirmed",
                     (unsigned)commits, (unsigned long long)stored(s),
                     (unsigned long long)sure);
        sure = stored(s);
        assert_int_equal(waiting(s), 0);
        first += 2;
        kill_broker(s);
    }
    assert_true(sure >= 8);
}

static void test_schedule_leaves_out_what_is_damaged(void **state)
{
    struct streams *s = *state;
    struct td_place key = td_place_due(1100, 2);
    struct td_place next = td_place_due(0, 0);

    greet(s);
    later(s, "a", 3, 1, "{\"at_ms\" 1100}");
    assert_true(td_model_damage(s->model, td_place_str(&key)));
    wait_ms(s, 1000); /* found as it is published */
    assert_int_equal(stored(s), 2);
    assert_int_equal(waiting(s), 0);
    later(s, "b", 1, 4, "{\"at_ms\" 900000}");
    assert_true(td_model_damage(s->model, td_place_str(&next)));
    s->f->now = 500000;
    restart_broker(s); /* or as it is loaded */
    assert_int_equal(waiting(s), 1);
    later(s, "c", 1, 5, "{\"at_ms\" 900001}");
    check_confirm(s, 0, 5, 1, TIDINGS_OK, 500001);
}

/* ---- the list ---- */

static void test_schedule_lists_what_comes_next(void **state)
{
    struct streams *s = *state;
    struct td_str result;
    struct td_str row;

    greet(s);
    later(s, "o.a", 1, 1, "{\"at_ms\" 9000}");
    later(s, "p.b", 2, 2, "{\"at_ms\" 8000}");
    later(s, "o.c", 1, 4, "{\"at_ms\" 7000}");
    result = call(s, "pub", "schedule.list", "{\"limit\" 2}");
    assert_int_equal(count(result, "scheduled_total"), 4);
    row = row_of(result, "scheduled", 0);
    assert_int_equal(count(row, "number"), 4);
    assert_int_equal(count(row, "due_ms"), 7000);
    assert_true(is_text(text_of(row, "type"), "o.c"));
    assert_true(is_text(text_of(row, "source"), "/test"));
    assert_int_equal(text_of(row, "id").len, TD_ID_TEXT_BYTES);
    assert_true(count(row, "bytes") > 10);
    assert_int_equal(count(row_of(result, "scheduled", 1), "number"), 2);
    assert_int_equal(count(result, "next_ms"), 8000);
    assert_int_equal(count(result, "next"), 3);
    result = call(s, "pub", "schedule.list",
                  "{\"from_ms\" 8000 \"from\" 3 \"limit\" 100}");
    assert_int_equal(count(row_of(result, "scheduled", 0), "number"), 3);
    assert_int_equal(count(row_of(result, "scheduled", 1), "number"), 1);
    assert_int_equal(count(result, "next"), 0);
    result =
        call(s, "pub", "schedule.list", "{\"type\" \"o.*\" \"from_ms\" 7001}");
    assert_int_equal(count(row_of(result, "scheduled", 0), "number"), 1);
    assert_int_equal(count(result, "next"), 0);
}

static void test_schedule_list_refuses(void **state)
{
    static const char *const rows[] = {
        "{\"limit\" 0}",    "{\"limit\" 101}",     "{\"from\" \"x\"}",
        "{\"from_ms\" -1}", "{\"type\" \"a..b\"}", "{\"type\" 1}",
    };
    struct streams *s = *state;

    hello(s->f, "pub");
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i], call_code(s, "pub", "schedule.list", rows[i]) ==
                                TIDINGS_EINVAL);
}

/* ---- many ---- */

static void test_schedule_of_many(void **state)
{
    enum { EACH = 1000, TIMES = 20 };
    struct streams *s = *state;

    s->f->unjudged = true;
    hello(s->f, "pub");
    for (uint64_t i = 0; i < TIMES; i++) {
        char options[64];

        snprintf(options, sizeof(options), "{\"at_ms\" %u}",
                 5000 + 10 * ((unsigned)i * 7 % TIMES));
        later(s, "a", EACH, i * EACH + 1, options);
        forget(s->f);
    }
    assert_int_equal(waiting(s), EACH * TIMES);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(waiting(s), EACH * TIMES);
    call(s, "pub", "schedule.cancel", "{\"number\" 7777}");
    s->f->now = 6000;
    for (int i = 0; i < 20 && stored(s) < EACH * TIMES - 1; i++)
        settle_down(s);
    assert_int_equal(stored(s), EACH * TIMES - 1);
    assert_int_equal(waiting(s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_schedule_publishes_when_it_is_due),
        TEST_STREAM(test_schedule_keeps_id_and_source),
        TEST_STREAM(test_schedule_of_a_time_gone_is_due_at_once),
        TEST_STREAM(test_schedule_keeps_the_order_of_equal_times),
        TEST_STREAM(test_schedule_takes_a_batch_as_a_whole),
        TEST_STREAM(test_schedule_of_memory_is_written_all_the_same),
        TEST_STREAM(test_schedule_follows_the_wall),
        TEST_STREAM(test_schedule_survives_a_clock_set_back),
        TEST_STREAM(test_schedule_refuses),
        TEST(test_schedule_of_what_no_stream_takes),
        TEST_STREAM(test_schedule_breaches),
        TEST_STREAM(test_schedule_takes_once),
        TEST_STREAM(test_schedule_takes_back_what_failed),
        TEST_STREAM(test_schedule_publishes_again_what_failed),
        TEST_STREAM(test_schedule_reads_again_what_failed),
        TEST_STREAM(test_schedule_waits_for_room),
        TEST_STREAM(test_schedule_cancels),
        TEST_STREAM(test_schedule_cancels_what_is_due),
        TEST_STREAM(test_schedule_does_not_cancel_what_is_published),
        TEST_STREAM(test_schedule_publishes_what_could_not_be_cancelled),
        TEST_STREAM(test_schedule_publishes_at_start_what_fell_due),
        TEST_STREAM(test_schedule_never_uses_a_number_again),
        TEST_STREAM(test_schedule_publishes_once_wherever_it_is_killed),
        TEST_STREAM(test_schedule_leaves_out_what_is_damaged),
        TEST_STREAM(test_schedule_lists_what_comes_next),
        TEST_STREAM(test_schedule_list_refuses),
        TEST_STREAM(test_schedule_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
