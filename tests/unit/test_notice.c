/* What waits for the dispatcher. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/notice.h"

struct fixture {
    struct td_notices list;
    struct td_notice notice[TD_NOTICES_MAX + 10];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    td_notices_init(&f->list);
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static struct td_notice *push(struct fixture *f, size_t i,
                              enum td_notice_what what)
{
    f->notice[i].what = what;
    return td_notices_push(&f->list, &f->notice[i]);
}

static void test_notices_come_in_order_of_arrival(void **state)
{
    static const enum td_notice_what what[] = {
        TD_NOTICE_STATUS, TD_NOTICE_EVENTS, TD_NOTICE_EVENTS,
        TD_NOTICE_GAP,    TD_NOTICE_STATUS, TD_NOTICE_EVENTS};
    struct fixture *f = *state;

    assert_false(td_notices_any(&f->list));
    assert_null(td_notices_pop(&f->list));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < TD_ARRAY_LEN(what); i++)
            assert_null(push(f, i, what[i]));
        for (size_t i = 0; i < TD_ARRAY_LEN(what); i++) {
            assert_true(td_notices_any(&f->list));
            assert_ptr_equal(td_notices_pop(&f->list), &f->notice[i]);
        }
        assert_false(td_notices_any(&f->list));
        assert_null(td_notices_pop(&f->list));
    }
}

static void test_notices_know_the_news_that_came_last(void **state)
{
    struct fixture *f = *state;

    assert_null(td_notices_latest(&f->list));
    push(f, 0, TD_NOTICE_GAP);
    assert_ptr_equal(td_notices_latest(&f->list), &f->notice[0]);
    push(f, 1, TD_NOTICE_STATUS);
    assert_ptr_equal(td_notices_latest(&f->list), &f->notice[1]);
    push(f, 2, TD_NOTICE_EVENTS); /* nothing is to be put before it */
    assert_null(td_notices_latest(&f->list));
    push(f, 3, TD_NOTICE_GAP);
    assert_ptr_equal(td_notices_latest(&f->list), &f->notice[3]);
    while (td_notices_pop(&f->list))
        ;
    assert_null(td_notices_latest(&f->list));
}

static void test_notices_keep_the_latest_news_and_all_events(void **state)
{
    struct fixture *f = *state;
    size_t next = TD_NOTICES_MAX;

    for (size_t i = 0; i < TD_NOTICES_MAX; i++)
        assert_null(push(f, i, TD_NOTICE_STATUS));
    assert_null(push(f, next++, TD_NOTICE_EVENTS));
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(push(f, next++, TD_NOTICE_GAP), &f->notice[i]);
        assert_int_equal(f->list.lost, i + 1);
    }
    for (size_t i = 5; i < next; i++)
        assert_ptr_equal(td_notices_pop(&f->list), &f->notice[i]);
    assert_null(td_notices_pop(&f->list));
    assert_int_equal(f->list.news_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_notices_come_in_order_of_arrival,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_notices_know_the_news_that_came_last, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_notices_keep_the_latest_news_and_all_events, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
