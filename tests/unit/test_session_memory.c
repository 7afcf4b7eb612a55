/* The client's session without memory: whichever allocation fails, it goes on
 * with the link that it then has, or the next. */
#include "tests/unit/session_fixture.h"

#include "tests/support/alloc.h"

/* Calls of the client are counted; from the starved one on, its n-th
 * allocation fails. */
struct hunger {
    unsigned calls;
    unsigned starved_call;
    size_t allocation;
    bool starved;
};

static void starve(struct hunger *h)
{
    if (++h->calls == h->starved_call)
        td_alloc_fail(h->allocation);
}

static void feed(struct hunger *h)
{
    h->starved = h->starved || td_alloc_failed();
    td_alloc_fail(0);
}

static bool starved_publish(struct fixture *f, struct hunger *h)
{
    tidings_err err;

    starve(h);
    err = publish(f, 20);
    feed(h);
    assert_true(!err || err == TIDINGS_ENOMEM);
    return !err;
}

static void starved_tick(struct fixture *f, struct hunger *h)
{
    starve(h);
    tick(f);
    feed(h);
}

static struct td_csub *starved_subscribe(struct fixture *f, struct hunger *h)
{
    const struct tidings_sub_options options = {
        .window_events = 1, .group = "g", .policy = TIDINGS_DROP_OLDEST};
    struct td_csub *sub;
    tidings_err err;

    starve(h);
    err = td_client_subscribe(&f->client, &sub, "a", &options);
    feed(h);
    assert_true(!err || err == TIDINGS_ENOMEM);
    return err ? NULL : sub;
}

static void welcome(struct fixture *f)
{
    if (f->client.state == TD_CLIENT_GREETING && !f->client.broken)
        assert_ok(give(f, f->client.resuming ? RESUMED : GREETED));
}

/* One event, taken by its handler; false: the link is lost before. */
static bool starved_delivery(struct fixture *f, struct hunger *h,
                             struct td_csub *sub)
{
    if (f->client.state != TD_CLIENT_READY || f->client.broken)
        return false;
    answer(f, sub, 0);
    assert_ok(deliver(f, sub->number, 1));
    starve(h);
    td_client_handled(&f->client, sub, 1, 1, 6);
    feed(h);
    return true;
}

/* Greets until it is ready, and answers until all is taken. */
static void recover(struct fixture *f)
{
    char text[60];

    for (int i = 0; i < 5 && f->client.state != TD_CLIENT_READY; i++) {
        f->now += TD_RETRY_MAX_MS;
        tick(f);
        welcome(f);
    }
    f->now += 1000;
    tick(f);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "[4 %u 1000 1000000]",
                 (unsigned)f->client.publisher.sent);
        assert_ok(give(f, text));
    }
}

/* With a failure anywhere the machine goes on: in the end all that was packed
 * is taken, and what was delivered is not asked for again. */
static void history(struct fixture *f, struct hunger *h)
{
    struct td_csub *sub;
    uint64_t packed = 0;
    bool delivered;

    start(f);
    h->calls = 0;
    h->starved = false;
    packed += starved_publish(f, h);
    starved_tick(f, h);
    welcome(f);
    sub = starved_subscribe(f, h);
    packed += starved_publish(f, h);
    packed += starved_publish(f, h);
    starved_tick(f, h);
    delivered = sub && starved_delivery(f, h, sub);
    lose(f);
    f->now = f->client.retry_ms;
    starved_tick(f, h);
    recover(f);

    assert_int_equal(f->client.publisher.taken, packed);
    if (delivered)
        assert_true(sub->state == TD_CSUB_LIVE && sub->received == 1 &&
                    sub->told == 1);
    else
        assert_true(!sub || sub->state == TD_CSUB_ASKED);
    td_client_fini(&f->client);
    f->open = false;
    forget(f);
}

static void test_session_survives_every_lack_of_memory(void **state)
{
    struct fixture *f = *state;
    struct hunger h = {0};
    unsigned failures = 0;
    unsigned calls;

    td_client_fini(&f->client);
    history(f, &h);
    calls = h.calls;
    for (h.starved_call = 1; h.starved_call <= calls; h.starved_call++) {
        h.allocation = 0;
        do {
            h.allocation++;
            history(f, &h);
            failures += h.starved;
        } while (h.starved);
    }
    assert_true(failures > calls);
    start(f); /* for teardown */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_survives_every_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
