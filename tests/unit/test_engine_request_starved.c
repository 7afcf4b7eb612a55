/* Requests and services without memory: a whole scenario, again and again, with
 * the n-th allocation of each call failing, for every n. Whatever fails, the books hold, each
 * request is answered at most once, and with memory again all is served. */
#include "tests/unit/service_fixture.h"

static void try_instance(struct fixture *f, const char *peer,
                         const char *endpoint)
{
    if (!session_of(f, peer))
        hello(f, peer);
    if (session_of(f, peer))
        givef(f, peer,
              "[19 1 1 \"users\" \"1.0.0\" {\"id\" \"%s\" \"state\" 2 "
              "\"metadata\" {\"host\" \"h\"} \"endpoints\" [{\"name\" \"a\" "
              "\"type\" \"user.get\"} {\"name\" \"b\" %s}]}]",
              peer, endpoint);
}

static void try_ask(struct fixture *f, uint64_t number, uint64_t flags,
                    uint32_t size, const char *type)
{
    if (session_of(f, "c"))
        ask_with(f, "c", number, type, flags, 1000, size, "nil");
}

static void try_answer_all(struct fixture *f, const char *peer)
{
    struct td_handle_row row;

    for (uint32_t n = 0; session_of(f, peer) && handled(f, peer, n, &row); n++)
        answer(f, peer, row.task);
}

static void scenario(struct fixture *f)
{
    hello(f, "c");
    try_instance(f, "i", "\"type\" \"user.>\"");
    try_instance(f, "j", "\"type\" \"*.get\" \"group\" \"g\"");
    flush(f);
    for (uint64_t i = 1; i <= 4; i++)
        try_ask(f, i, 0, 8, "user.get");
    try_ask(f, 5, 0, 30000, "user.set");
    try_ask(f, 6, TD_REQUEST_MANY, 8, "user.get");
    try_ask(f, 7, 0, 0, "$service.ping");
    try_ask(f, 8, 0, 8, "nobody.there");
    flush(f);
    try_answer_all(f, "i");
    flush(f);
    gone(f, "j");
    flush(f);
    pass(f, 1000);
}

/* Of many several; of others one. */
static void check_responses(struct fixture *f)
{
    struct td_response_row row;
    struct td_str data;
    unsigned seen[9] = {0};

    for (uint32_t i = 0; responded(f, "c", i, &row, &data); i++) {
        assert_true(row.number >= 1 && row.number <= 8);
        seen[row.number]++;
        if (row.number != 6 && row.number != 7)
            assert_int_equal(seen[row.number], 1);
    }
    if (!session_of(f, "c"))
        return;
    for (unsigned i = 1; i <= 8; i++)
        assert_true(seen[i] > 0);
}

static void check_service(struct fixture *f)
{
    forget(f);
    gone(f, "c");
    gone(f, "i");
    flush(f);
    hello(f, "c");
    instance(f, "i", "");
    ask(f, "c", 1);
    flush(f);
    answer_all(f, "i");
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_OK);
}

/* The m-th allocation in the n-th call fails. False: it has fewer. */
static bool run(struct fixture *f, unsigned call, size_t allocation)
{
    bool starved;

    restart(f, (struct td_engine_options){0});
    forget(f);
    f->unjudged = true;
    f->starved = false;
    f->calls = 0;
    f->starved_call = call;
    f->starved_allocation = allocation;
    scenario(f);
    f->starved_call = 0;
    starved = f->starved;
    flush(f);
    pass(f, 2000);
    judge_requests(f);
    assert_int_equal(counts(f)->in_flight, 0);
    assert_int_equal(f->engine->serving.tasks.len, 0);
    check_responses(f);
    check_service(f);
    return starved;
}

static void test_requests_survive_any_lack_of_memory(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    unsigned calls;

    run(f, 0, 0);
    calls = f->calls;
    for (unsigned call = 1; call <= calls; call++) {
        for (size_t n = 1; run(f, call, n); n++)
            failures++;
    }
    assert_true(failures > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests_survive_any_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
