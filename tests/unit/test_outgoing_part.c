/* A batch that was answered in part: the rest of it is sent again, and nothing
 * else. */
#include "tests/unit/packer_fixture.h"

#include "tests/support/alloc.h"

#include <stdlib.h>

/* Events of these types, each with its number as data, in a batch of their
 * own. */
static struct td_outgoing *batch_of(struct fixture *f, const char *types,
                                    uint32_t events, enum tidings_level level)
{
    struct td_outgoing *out;

    for (uint32_t i = 0; i < events; i++) {
        const struct td_packing event = {
            .type = {&types[i % strlen(types)], 1},
            .data = &i,
            .len = sizeof(i),
            .level = level,
        };

        if (td_packer_pack(&f->packer, &event))
            return NULL;
    }
    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    if (out)
        assert_int_equal(out->events, events);
    return out;
}

static void tell(struct td_outgoing *out, uint64_t from, uint64_t to)
{
    td_outgoing_tell(out, (struct td_stretch){from, to});
}

/* As the broker reads it; the events are whole, and are those of their
 * sequences. */
static const struct td_batch *read_part(struct fixture *f,
                                        const struct td_portion *part)
{
    const uint8_t *p = part->body->data;
    const char *why = "";
    const struct td_batch *batch = f->batches.batch;

    assert_ok(
        td_batches_decode(&f->batches, part->wire, p, part->body->len, &why));
    assert_int_equal(f->batches.len, 1);
    assert_int_equal(batch->events, part->events);
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        for (uint32_t n = 0; n < run->count; n++) {
            struct td_event event;
            uint32_t number;

            assert_true(td_event_open(&event, &p, p + part->body->len));
            memcpy(&number, event.data.data, sizeof(number));
            assert_int_equal(number + 1, run->first + n);
            assert_true(part->last >= run->first + n);
        }
    }
    return batch;
}

static void test_part_of_a_batch_is_all_of_it_at_first(void **state)
{
    static const enum tidings_level levels[] = {TIDINGS_NO_CONFIRM,
                                                TIDINGS_DISK};

    for (size_t i = 0; i < TD_ARRAY_LEN(levels); i++) {
        struct fixture *f = *state;
        struct td_outgoing *out;
        struct td_portion part;

        f->packer.sequence = 0;
        out = batch_of(f, "ab", 6, levels[i]);
        assert_int_equal(td_outgoing_events(out), 6);
        assert_true(td_outgoing_part(out, &part));
        assert_row_at("body", i, part.body == out->body);
        assert_row_at("runs", i, read_part(f, &part)->runs_len == 6);
        assert_row_at("last", i, part.last == 6 && part.next == 0);
        td_portion_fini(&part);
        td_outgoing_free(out);
    }
}

static void test_part_of_a_batch_is_what_was_not_answered(void **state)
{
    static const struct {
        uint64_t from[2];
        uint64_t to[2];
        const char *runs; /* their types, firsts and counts */
    } rows[] = {
        {{1}, {1}, "a2+2 b4+3 a7+2 "},      /* the first */
        {{8}, {8}, "a1+3 b4+3 a7+1 "},      /* the last */
        {{5}, {5}, "a1+3 b4+1 b6+1 a7+2 "}, /* in the middle of a run */
        {{4}, {6}, "a1+3 a7+2 "},           /* a run, between alike */
        {{2, 7}, {4, 7}, "a1+1 b5+2 a8+1 "},
        {{1, 3}, {1, 8}, "a2+1 "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char runs[100] = "";
        struct td_outgoing *out;
        struct td_portion part;
        const struct td_batch *batch;

        f->packer.sequence = 0;
        out = batch_of(f, "aaabbbaa", 8, TIDINGS_DISK);
        for (int n = 0; n < 2 && rows[i].from[n]; n++)
            tell(out, rows[i].from[n], rows[i].to[n]);
        assert_true(td_outgoing_part(out, &part));
        batch = read_part(f, &part);
        for (uint32_t n = 0; n < batch->runs_len; n++) {
            const struct td_run *run = &batch->runs[n];

            snprintf(runs + strlen(runs), sizeof(runs) - strlen(runs),
                     "%.*s%u+%u ", (int)run->type.len, run->type.data,
                     (unsigned)run->first, (unsigned)run->count);
        }
        assert_string_equal(runs, rows[i].runs);
        assert_row_at("events", i, part.events == td_outgoing_events(out));
        assert_row_at("next", i, part.next == 0);
        td_portion_fini(&part);
        td_outgoing_free(out);
    }
}

/* Every other event was answered: more runs than one message takes. */
static void test_part_of_a_batch_is_no_more_than_a_message(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *out = batch_of(f, "a", 5000, TIDINGS_OS);
    uint32_t parts = 0;
    uint32_t events = 0;
    struct td_portion part;

    for (uint64_t n = 2; n <= 5000; n += 2)
        tell(out, n, n);
    do {
        assert_true(td_outgoing_part(out, &part));
        assert_true(read_part(f, &part)->runs_len <= TD_RUNS_MAX);
        assert_int_equal(f->batches.runs[0].first, 2 * events + 1);
        events += part.events;
        parts++;
        out->at = part.next;
        td_portion_fini(&part);
    } while (out->at > 0);
    assert_int_equal(events, 2500);
    assert_int_equal(parts, 3);
    td_outgoing_free(out);
}

static void test_part_of_an_atomic_batch_is_all_of_it(void **state)
{
    const struct td_packing events[2] = {
        {.type = {"a", 1}, .level = TIDINGS_DISK, .data = zeros, .len = 4},
        {.type = {"a", 1}, .level = TIDINGS_DISK, .data = zeros, .len = 4}};
    const struct td_apart apart = {0};
    struct fixture *f = *state;
    struct td_outgoing *out;
    struct td_portion part;

    assert_ok(td_packer_pack_apart(&f->packer, events, 2, &apart));
    out = td_packer_take(&f->packer);
    tell(out, 1, 1);
    assert_int_equal(out->left, 1);
    assert_int_equal(td_outgoing_events(out), 2);
    assert_true(td_outgoing_part(out, &part));
    assert_int_equal(part.events, 2);
    assert_ptr_equal(part.body, out->body);
    td_portion_fini(&part);
    td_outgoing_free(out);
}

static tidings_err part_of_one(void *arg)
{
    struct td_portion part;
    bool ok = td_outgoing_part(arg, &part);

    td_portion_fini(&part);
    return ok ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static void test_part_without_memory_is_none(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *out = batch_of(f, "ab", 6, TIDINGS_DISK);

    tell(out, 3, 3);
    assert_true(td_alloc_each(part_of_one, out) >= 3);
    td_outgoing_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_part_of_a_batch_is_all_of_it_at_first),
        TEST(test_part_of_a_batch_is_what_was_not_answered),
        TEST(test_part_of_a_batch_is_no_more_than_a_message),
        TEST(test_part_of_an_atomic_batch_is_all_of_it),
        TEST(test_part_without_memory_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
