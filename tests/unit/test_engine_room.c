/* The engine while the disk of its store is full: what is refused and what is
 * not, and who is told of it. */
#include "tests/unit/stream_fixture.h"

#define LIMIT   3000u /* bytes of the store */
#define RESERVE 1000u

struct lines {
    uint32_t full;
    uint32_t ok;
    char text[TD_LOG_TEXT_MAX + 1]; /* of the last */
};

static void on_log(void *ctx, enum td_log_level level, const char *id,
                   const char *text)
{
    struct lines *lines = ctx;

    if (strcmp(id, "STORE-FULL") == 0) {
        assert_int_equal(level, TD_LOG_WARN);
        lines->full++;
    } else if (strcmp(id, "STORE-OK") == 0) {
        assert_int_equal(level, TD_LOG_INFO);
        lines->ok++;
    } else {
        assert_row(id, level >= TD_LOG_INFO); /* of a session */
        return;
    }
    snprintf(lines->text, sizeof(lines->text), "%s", text);
}

static void begin_room(struct streams *s, struct lines *lines)
{
    memset(lines, 0, sizeof(*lines));
    s->f->engine->options.log =
        (struct td_log){.level = TD_LOG_INFO, .write = on_log, .ctx = lines};
    subscriber(s->f, "w", "$tidings.store.*", WIDE);
    hello(s->f, "pub");
    settle_down(s);
}

/* Both peers are heard meanwhile. */
static void wait_ms(struct streams *s, int64_t ms)
{
    for (int64_t end = s->f->now + ms; s->f->now < end;) {
        pass(s->f, end - s->f->now < 5000 ? end - s->f->now : 5000);
        give(s->f, "pub", "[11 1]");
        give(s->f, "w", "[11 1]");
        settle_down(s);
    }
}

static struct td_confirm last_row(struct streams *s)
{
    struct td_confirm row = {0};

    for (uint32_t n = 0; confirm_to(s, "pub", n, &row); n++)
        ;
    return row;
}

static uint64_t code_of_last(struct streams *s)
{
    return last_row(s).code;
}

/* One event after the other, until one is refused; returns its sequence. */
static uint64_t fill_up(struct streams *s, uint64_t next)
{
    uint64_t end = next + 100;

    td_model_limit(s->model, LIMIT, RESERVE);
    do {
        assert_true(next < end);
        put(s, "pub", "a", 1, next++, DISK);
    } while (code_of_last(s) == TIDINGS_OK);
    assert_int_equal(code_of_last(s), TIDINGS_EFULL);
    return next - 1;
}

static void check_store(struct streams *s, const char *is)
{
    struct td_str map = stats(s->f, "none", 0);

    assert_true(is_text(text_of(map, "store"), is));
}

/* C11, G16 */
static void test_room_that_is_lacking_is_told_once(void **state)
{
    struct streams *s = *state;
    struct lines lines;
    struct td_str data;
    uint64_t next;

    begin_room(s, &lines);
    check_store(s, "ok");
    next = fill_up(s, 1);
    assert_int_equal(lines.full, 1);
    assert_non_null(strstr(lines.text, " 1000 are a reserve"));
    assert_non_null(strstr(lines.text, "EFULL"));
    assert_int_equal(advised(s->f, "w", "$tidings.store.full", &data), 1);
    assert_int_equal(count(data, "reserve_bytes"), RESERVE);
    assert_int_equal(count(data, "free_bytes"), 0);
    assert_in_range(count(data, "left_bytes"), 1, RESERVE);
    check_store(s, "full");
    for (int i = 0; i < 30; i++) /* for ever so many, and for long */
        put(s, "pub", "a", 1, ++next, DISK);
    wait_ms(s, 3 * TD_ROOM_TELL_MS);
    assert_int_equal(code_of_last(s), TIDINGS_EFULL);
    assert_int_equal(lines.full, 1);
    assert_int_equal(lines.ok, 0);

    td_model_limit(s->model, 0, RESERVE);
    wait_ms(s, 3000);
    assert_int_equal(lines.full, 1);
    assert_int_equal(lines.ok, 1);
    assert_int_equal(advised(s->f, "w", "$tidings.store.full", &data), 1);
    assert_int_equal(advised(s->f, "w", "$tidings.store.ok", &data), 1);
    assert_true(count(data, "free_bytes") > 0);
    check_store(s, "ok");
    put(s, "pub", "a", 1, ++next, DISK);
    assert_int_equal(code_of_last(s), TIDINGS_OK);
}

/* A little comes free, and is used up at once: no pair of lines for each. */
static void test_room_that_comes_and_goes_is_told_once_a_minute(void **state)
{
    struct streams *s = *state;
    struct lines lines;
    uint64_t next = 1;
    int64_t began = s->f->now;

    begin_room(s, &lines);
    while (s->f->now < began + 2 * TD_ROOM_TELL_MS) {
        forget(s->f);
        next = fill_up(s, next) + 1;
        wait_ms(s, 4500);
        td_model_limit(s->model, 2 * LIMIT, RESERVE);
        wait_ms(s, 1500); /* not a second of it when it is seen */
        put(s, "pub", "a", 1, next++, DISK);
        assert_int_equal(code_of_last(s), TIDINGS_OK);
        call(s, "pub", "stream.purge", "{\"name\" \"events\"}");
    }
    assert_in_range(lines.full, 1, 3);
    assert_in_range(lines.ok, lines.full - 1, lines.full);
}

/* A commit finds no room where there seemed to be some. */
static void test_room_that_a_commit_lacks_is_told(void **state)
{
    struct streams *s = *state;
    struct lines lines;

    begin_room(s, &lines);
    for (uint64_t n = 1; n <= 5; n++) {
        td_model_fail(s->model, 1, TIDINGS_EFULL);
        put(s, "pub", "a", 1, n, DISK);
        assert_int_equal(code_of_last(s), TIDINGS_EFULL);
    }
    assert_int_equal(lines.full, 1);
    check_store(s, "full");
    wait_ms(s, 1500);
    assert_int_equal(lines.ok, 1);
    check_store(s, "ok");
}

/* ---- what is full ---- */

static void check_state(struct streams *s, const char *stream, const char *is)
{
    struct td_str list = call(s, "pub", "stream.list", "{}");
    struct td_str row = {NULL, 0};

    for (uint32_t n = 0; n < 3; n++) {
        row = row_of(list, "streams", n);
        if (is_text(text_of(row, "name"), stream))
            break;
    }
    assert_row(stream, is_text(text_of(row, "name"), stream));
    assert_row(stream, is_text(text_of(row, "state"), is));
}

static void check_full(struct streams *s, const char *row, const char *stream)
{
    struct td_confirm last = last_row(s);

    assert_row(row, last.code == TIDINGS_EFULL);
    assert_row(row, last.sequence == 0);
    assert_row(row, is_text(last.stream, stream));
}

/* A stream that rejects has a name in the confirm, the disk has none. */
static void test_room_of_a_stream_is_told_from_that_of_the_disk(void **state)
{
    static const char *const storages[] = {"disk", "memory"};
    struct streams *s = *state;
    uint64_t n = 1;

    hello(s->f, "pub");
    for (size_t i = 0; i < TD_ARRAY_LEN(storages); i++) {
        const char *storage = storages[i];
        char text[160];

        snprintf(text, sizeof(text),
                 "{\"name\" \"%s\" \"patterns\" [\"%s.>\"] \"max_events\" 2 "
                 "\"on_full\" \"reject\" \"storage\" \"%s\"}",
                 storage, storage, storage);
        call(s, "pub", "stream.add", text);
        snprintf(text, sizeof(text), "%s.a", storage);
        put(s, "pub", text, 3, n, DISK);
        check_full(s, storage, storage);
        put(s, "pub", text, 2, n + 3, DISK);
        assert_row(storage, last_row(s).code == TIDINGS_OK);
        put(s, "pub", text, 1, n + 5, DISK);
        check_full(s, storage, storage);
        check_state(s, storage, "full");
        n += 6;
    }
    check_state(s, "events", "ok");
    td_model_limit(s->model, 1, 0);
    put(s, "pub", "a", 1, n, DISK); /* so that it is known to be full */
    check_full(s, "a commit", "");
    put(s, "pub", "a", 1, n + 1, DISK);
    check_full(s, "another stream", "");
    check_state(s, "events", "disk_full");
    check_state(s, "memory", "full");
    put(s, "pub", "disk.a", 1, n + 2, DISK);
    check_full(s, "both", "");
    put(s, "pub", "memory.a", 1, n + 3, DISK);
    check_full(s, "a stream in memory", "memory");
    publish_if(s->f, "pub", DISK, &(struct piece){"a", 1, 10, n + 4, NULL}, 1,
               "{\"after_ms\" 10}");
    settle_down(s);
    check_full(s, "what is to wait", "");
    td_model_limit(s->model, 0, 0);
    pass(s->f, 2000);
    settle_down(s);
    put(s, "pub", "disk.a", 1, n + 5, DISK);
    check_full(s, "room on the disk", "disk");
    check_state(s, "events", "ok");
    call(s, "pub", "stream.purge", "{\"name\" \"disk\"}");
    settle_down(s);
    check_state(s, "disk", "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_room_that_is_lacking_is_told_once),
        TEST_STREAM(test_room_that_comes_and_goes_is_told_once_a_minute),
        TEST_STREAM(test_room_that_a_commit_lacks_is_told),
        TEST_STREAM(test_room_of_a_stream_is_told_from_that_of_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
