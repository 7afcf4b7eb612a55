/* The circuit breaker beside a model that keeps every call and every result,
 * and counts anew each time: thousands of seeds. */
#include "tests/support/td_test.h"

#include "proto/breaker.h"
#include "tests/sim/random.h"

#define CALLS_MAX   64u
#define RESULTS_MAX 512u
#define SEEDS       4000u
#define STEPS       400u

struct model {
    const struct td_breaker_limits *limits;
    enum td_breaker_state state;
    unsigned state_number;
    unsigned opened_times; /* since it was closed: one more with each probe
                              that failed */
    int64_t opened_ms;
    unsigned row, good_probes;
    struct {
        int64_t at_ms;
        bool ok;
    } results[RESULTS_MAX]; /* of this time closed */
    size_t results_len;
    struct model_call {
        uint64_t ticket;
        unsigned state_number;
        int64_t at_ms;
        bool place; /* takes one of the probes' */
        bool open;  /* has no result yet */
    } calls[CALLS_MAX];
};

static int64_t recovery_of(const struct model *m)
{
    uint64_t ms = m->limits->recovery_ms;

    for (unsigned i = 1; i < m->opened_times; i++)
        ms = ms * 2 < m->limits->recovery_max_ms ? ms * 2
                                                 : m->limits->recovery_max_ms;
    return (int64_t)ms;
}

static void model_enter(struct model *m, enum td_breaker_state state)
{
    m->state = state;
    m->state_number++;
    m->good_probes = 0;
    m->results_len = 0;
    for (size_t i = 0; i < CALLS_MAX; i++)
        m->calls[i].place = false;
}

static bool model_allow(struct model *m, int64_t now_ms, bool *is_probe)
{
    unsigned places = 0;
    int64_t last_ms = 0;

    *is_probe = m->state != TD_BREAKER_CLOSED;
    if (!*is_probe)
        return true;
    if (m->state == TD_BREAKER_OPEN) {
        if (now_ms < m->opened_ms + recovery_of(m))
            return false;
        model_enter(m, TD_BREAKER_HALF_OPEN);
        return true;
    }
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (!m->calls[i].place)
            continue;
        places++;
        if (m->calls[i].at_ms > last_ms)
            last_ms = m->calls[i].at_ms;
    }
    if (places < m->limits->probes)
        return true;
    if (now_ms < last_ms + m->limits->probe_ms)
        return false;
    for (size_t i = 0; i < CALLS_MAX; i++)
        m->calls[i].place = false;
    return true;
}

static bool model_rate(const struct model *m, int64_t now_ms)
{
    int64_t part_ms = m->limits->window_ms / TD_BREAKER_PARTS;
    unsigned calls = 0, failed = 0;

    if (m->limits->rate_percent == 0)
        return false;
    for (size_t i = 0; i < m->results_len; i++) {
        if (m->results[i].at_ms / part_ms + TD_BREAKER_PARTS <=
            now_ms / part_ms)
            continue;
        calls++;
        failed += !m->results[i].ok;
    }
    return calls >= m->limits->window_min &&
           failed * 100 >= calls * m->limits->rate_percent;
}

static void model_open(struct model *m, int64_t now_ms)
{
    model_enter(m, TD_BREAKER_OPEN);
    m->opened_times++;
    m->opened_ms = now_ms;
}

static void model_done(struct model *m, struct model_call *call, int64_t now_ms,
                       bool ok)
{
    call->open = false;
    if (call->state_number != m->state_number)
        return;
    call->place = false;
    if (m->state == TD_BREAKER_HALF_OPEN) {
        if (!ok) {
            model_open(m, now_ms);
        } else if (++m->good_probes == m->limits->successes) {
            model_enter(m, TD_BREAKER_CLOSED);
            m->opened_times = 0;
            m->row = 0;
        }
        return;
    }
    m->row = ok ? 0 : m->row + 1;
    assert_true(m->results_len < RESULTS_MAX);
    m->results[m->results_len].at_ms = now_ms;
    m->results[m->results_len++].ok = ok;
    if ((m->limits->failures > 0 && m->row >= m->limits->failures) ||
        model_rate(m, now_ms))
        model_open(m, now_ms);
}

static struct td_breaker_limits random_limits(struct sim_random *r)
{
    struct td_breaker_limits limits = {
        .failures = (uint32_t)sim_between(r, 1, 6),
        .rate_percent =
            sim_chance(r, 500) ? (uint32_t)sim_between(r, 1, 100) : 0,
        .window_ms = 10 * (uint32_t)sim_between(r, 1, 100),
        .window_min = (uint32_t)sim_between(r, 1, 20),
        .recovery_ms = (uint32_t)sim_between(r, 1, 300),
        .recovery_max_ms = (uint32_t)sim_between(r, 1, 2000),
        .probes = (uint32_t)sim_between(r, 1, 4),
        .successes = (uint32_t)sim_between(r, 1, 5),
        .probe_ms = (uint32_t)sim_between(r, 1, 200)};

    if (sim_chance(r, 300))
        limits.failures = 0;
    td_breaker_limits_fit(&limits);
    return limits;
}

static void random_step(struct td_breaker *b, struct model *m,
                        struct sim_random *r, int64_t now_ms, unsigned bad)
{
    struct model_call *call = &m->calls[sim_below(r, CALLS_MAX)];
    bool allowed, is_probe;

    if (call->open && sim_chance(r, 900)) {
        bool ok = !sim_chance(r, bad);

        model_done(m, call, now_ms, ok);
        td_breaker_done(b, now_ms, call->ticket, ok);
    } else if (call->open) {
        td_breaker_cancel(b, call->ticket);
        call->open = false;
        call->place = false;
    } else if (!call->place) { /* one that is lost keeps its row in the model */
        allowed = model_allow(m, now_ms, &is_probe);
        assert_int_equal(td_breaker_ready(b, now_ms), allowed);
        assert_int_equal(td_breaker_allow(b, now_ms, &call->ticket), allowed);
        if (!allowed)
            return;
        call->state_number = m->state_number;
        call->at_ms = now_ms;
        call->place = is_probe;
        call->open = !sim_chance(r, 100); /* or its result never comes */
    }
}

static void test_breaker_is_as_its_model(void **state)
{
    unsigned opened = 0, closed = 0, lost = 0;
    (void)state;

    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct sim_random r = {seed};
        struct td_breaker_limits limits = random_limits(&r);
        struct model m = {.limits = &limits};
        struct td_breaker b;
        unsigned bad = (unsigned)sim_below(&r, 1001);
        int64_t now_ms = sim_between(&r, 0, 1000);

        td_breaker_init(&b, &limits);
        for (unsigned i = 0; i < STEPS; i++) {
            random_step(&b, &m, &r, now_ms, i % 100 < 50 ? bad : 50);
            if (b.state != m.state)
                fail_msg("seed %u, step %u: %s, not %s", seed, i,
                         td_breaker_state_name(b.state),
                         td_breaker_state_name(m.state));
            now_ms += sim_chance(&r, 500) ? 0 : sim_between(&r, 0, 60);
        }
        opened += b.changes > 0;
        closed += b.changes > 2;
        lost += b.lost > 0;
    }
    /* They went where there was something to see. */
    assert_true(opened > SEEDS / 2 && closed > SEEDS / 4 && lost > SEEDS / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_is_as_its_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
