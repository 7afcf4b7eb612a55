/* What waits to be delivered again comes out in the order in which it is due,
 * against a list that is searched. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/retry.h"
#include "proto/frame.h"
#include "tests/support/alloc.h"

#define STEPS    3000
#define SEEDS    5
#define LIST_MAX 4096

/* ---- dice ---- */

static uint64_t dice;

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

/* ---- the model: in the order of adding ---- */

struct model {
    struct td_retry list[LIST_MAX];
    uint32_t len;
};

static struct td_retry *model_first(struct model *m)
{
    struct td_retry *first = NULL;

    for (uint32_t i = 0; i < m->len; i++) {
        if (!first || m->list[i].due_ms < first->due_ms)
            first = &m->list[i];
    }
    return first;
}

static void model_remove(struct model *m, struct td_retry *at)
{
    m->len--;
    memmove(at, at + 1, (size_t)(&m->list[m->len] - at) * sizeof(*at));
}

static void model_shift(struct model *m, uint32_t events)
{
    struct td_retry *first = model_first(m);

    if (!first)
        return;
    if (events >= first->count) {
        model_remove(m, first);
        return;
    }
    first->sequence += events;
    first->count -= events;
}

static uint64_t model_events(const struct model *m)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < m->len; i++)
        events += m->list[i].count;
    return events;
}

static void check(struct td_retries *r, struct model *m)
{
    const struct td_retry *want = model_first(m);
    const struct td_retry *got = td_retries_first(r);

    assert_int_equal(r->len, m->len);
    assert_int_equal(r->events, model_events(m));
    assert_true(!want == !got);
    if (!want)
        return;
    assert_int_equal(got->due_ms, want->due_ms);
    assert_int_equal(got->sequence, want->sequence);
    assert_int_equal(got->count, want->count);
    assert_ptr_equal(got->reason, want->reason);
    assert_int_equal(got->deliveries, want->deliveries);
}

/* ---- random walks ---- */

static struct td_retry some_retry(struct td_reason *reason)
{
    struct td_retry retry = {
        .due_ms = (int64_t)roll(60) - 20, /* many at once */
        .sequence = 1 + roll(100000),
        .count = (uint32_t)roll(20),
        .deliveries = (uint32_t)roll(10),
        .reason = roll(2) ? td_reason_ref(reason) : NULL,
    };

    return retry;
}

/* Retention: what is below a sequence goes; and some are put off. */
struct cutter {
    uint64_t below;
    uint64_t put_off;
};

static bool cut(void *ctx, struct td_retry *retry)
{
    const struct cutter *cutter = ctx;
    uint64_t end = retry->sequence + retry->count;

    if (end <= cutter->below && retry->sequence % 2)
        return false;
    if (cutter->put_off && retry->sequence % cutter->put_off == 0)
        retry->due_ms += 15;
    if (retry->sequence < cutter->below) {
        uint64_t from = end < cutter->below ? end : cutter->below;

        retry->count = (uint32_t)(end - from);
        retry->sequence = from;
    }
    return true;
}

static void filter(struct td_retries *r, struct model *m)
{
    struct cutter cutter = {roll(20000), roll(3) ? 0 : 3};

    td_retries_filter(r, cut, &cutter);
    for (uint32_t i = m->len; i-- > 0;) {
        if (!cut(&cutter, &m->list[i]) || m->list[i].count == 0)
            model_remove(m, &m->list[i]);
    }
}

static void step(struct td_retries *r, struct model *m,
                 struct td_reason *reason)
{
    struct td_retry retry;
    uint32_t events;

    switch (roll(400) == 0 ? 9 : roll(5)) {
    case 9:
        filter(r, m);
        break;
    case 0:
    case 1:
        events = (uint32_t)roll(25);
        td_retries_shift(r, events);
        model_shift(m, events);
        break;
    default:
        retry = some_retry(reason);
        assert_true(td_retries_add(r, &retry));
        if (retry.count > 0)
            m->list[m->len++] = retry;
        break;
    }
}

static void walk(uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));
    struct td_reason *reason =
        td_reason_new(td_str_of("no stock"), td_str_of(""));
    struct td_retries r = {0};

    assert_non_null(m);
    assert_non_null(reason);
    dice = seed;
    for (int i = 0; i < STEPS; i++) {
        step(&r, m, reason);
        check(&r, m);
    }
    assert_true(r.len > 50);
    if (seed % 2) {
        while (r.len > 0) {
            td_retries_shift(&r, UINT32_MAX);
            model_shift(m, UINT32_MAX);
            check(&r, m);
        }
        assert_int_equal(reason->refs, 1);
    }
    td_retries_fini(&r);
    assert_int_equal(reason->refs, 1);
    td_reason_unref(reason);
    free(m);
}

static void test_retries_agree_with_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        walk(seed * 0x9e3779b97f4a7c15u);
}

/* ---- rows ---- */

static void test_retries_due_at_once_are_in_order(void **state)
{
    struct td_retries r = {0};

    (void)state;
    for (uint64_t n = 1; n <= 100; n++) {
        struct td_retry retry = {.due_ms = 5, .sequence = n, .count = 1};

        assert_true(td_retries_add(&r, &retry));
    }
    for (uint64_t n = 1; n <= 100; n++) {
        assert_int_equal(td_retries_first(&r)->sequence, n);
        td_retries_shift(&r, 1);
    }
    assert_null(td_retries_first(&r));
    td_retries_fini(&r);
}

static bool keep_none(void *ctx, struct td_retry *retry)
{
    (void)ctx;
    (void)retry;
    return false;
}

static void test_retries_may_be_none(void **state)
{
    struct td_retries r = {0};
    struct td_retry empty = {.reason =
                                 td_reason_new(td_str_of("x"), td_str_of(""))};
    struct td_retry one = {.count = UINT32_MAX, .due_ms = INT64_MIN};

    (void)state;
    td_retries_shift(&r, 5);
    td_retries_filter(&r, keep_none, NULL);
    assert_null(td_retries_first(&r));
    assert_true(td_retries_add(&r, &empty)); /* and its reason is gone */
    assert_null(td_retries_first(&r));
    assert_true(td_retries_add(&r, &one));
    assert_true(td_retries_add(&r, &one));
    assert_true(r.events == 2ull * UINT32_MAX);
    td_retries_shift(&r, 0);
    assert_int_equal(r.len, 2);
    td_retries_filter(&r, keep_none, NULL);
    assert_int_equal(r.len, 0);
    assert_int_equal(r.events, 0);
    td_retries_fini(&r);
    td_retries_fini(&r);
}

static void test_reasons_are_shared(void **state)
{
    const struct td_str text = {"no\0stock", 8};
    struct td_reason *r = td_reason_new(text, td_str_of("mailer-1"));

    (void)state;
    assert_null(td_reason_new(td_str_of(""), td_str_of("")));
    assert_null(td_reason_ref(NULL));
    td_reason_unref(NULL);
    assert_int_equal(td_reason_text(r).len, 8);
    assert_memory_equal(td_reason_text(r).data, "no\0stock", 8);
    assert_int_equal(td_reason_handler(r).len, 8);
    assert_memory_equal(td_reason_handler(r).data, "mailer-1", 8);
    assert_ptr_equal(td_reason_ref(r), r);
    td_reason_unref(r);
    assert_int_equal(r->refs, 1);
    td_reason_unref(r);
}

static void test_reasons_have_a_text_or_a_handler(void **state)
{
    struct td_reason *text = td_reason_new(td_str_of("late"), td_str_of(""));
    struct td_reason *handler = td_reason_new(td_str_of(""), td_str_of("m"));

    (void)state;
    assert_int_equal(td_reason_text(text).len, 4);
    assert_int_equal(td_reason_handler(text).len, 0);
    assert_int_equal(td_reason_text(handler).len, 0);
    assert_int_equal(td_reason_handler(handler).len, 1);
    assert_int_equal(td_reason_text(NULL).len, 0);
    assert_int_equal(td_reason_handler(NULL).len, 0);
    td_reason_unref(text);
    td_reason_unref(handler);
}

/* ---- memory ---- */

static tidings_err add_many(void *arg)
{
    struct td_retries r = {0};
    tidings_err err = TIDINGS_OK;

    (void)arg;
    for (uint64_t n = 1; err == TIDINGS_OK && n <= 100; n++) {
        struct td_retry retry = {.due_ms = -(int64_t)n, .count = 2};

        retry.reason = td_reason_new(td_str_of("why"), td_str_of("who"));
        if (retry.reason && td_retries_add(&r, &retry))
            continue;
        assert_int_equal(r.len, n - 1);
        assert_int_equal(r.events, 2 * (n - 1));
        td_reason_unref(retry.reason); /* still ours */
        err = TIDINGS_ENOMEM;
    }
    td_retries_fini(&r);
    return err;
}

static void test_retries_without_memory_change_nothing(void **state)
{
    (void)state;
    assert_true(td_alloc_each(add_many, NULL) > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries_agree_with_a_list),
        cmocka_unit_test(test_retries_due_at_once_are_in_order),
        cmocka_unit_test(test_retries_may_be_none),
        cmocka_unit_test(test_reasons_are_shared),
        cmocka_unit_test(test_reasons_have_a_text_or_a_handler),
        cmocka_unit_test(test_retries_without_memory_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
