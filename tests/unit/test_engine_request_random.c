/* Long random histories of requests: instances that die, come back, are ill or
 * slow, callers that are lost, answers of every kind and at any time. A model of
 * what each caller may expect stands beside the engine:
 *
 * - each request has exactly one last response, unless its caller's link was
 *   lost, and none after it; of many `left` counts down to 0;
 * - none is late: when its deadline has passed it is answered;
 * - nothing goes to an instance that stops, is down, drains or is gone;
 * - the sums hold, and no endpoint has more in flight than it takes. */
#include "tests/unit/service_fixture.h"

#include "broker/engine/task.h"

#include <string.h>

#define SEEDS     30
#define STEPS     1200
#define CALLERS   3u
#define INSTANCES 4u
#define ASKED_MAX 2048u
#define TASKS_MAX 2048u

struct asked {
    unsigned caller;
    int64_t deadline_ms;
    bool many;
    bool orphaned; /* its caller's link was lost */
    bool ended;
    uint64_t left; /* of many: as the last response said */
};

struct world {
    struct fixture *f;
    uint64_t random;
    struct asked asked[ASKED_MAX]; /* by number, from 1 on */
    uint64_t asked_len;
    uint64_t tasks[INSTANCES][TASKS_MAX];
    unsigned tasks_len[INSTANCES];
    uint64_t responses; /* last ones */
    uint64_t handed;
};

static const char *const callers[] = {"c0", "c1", "c2"};
static const char *const peers[] = {"i0", "i1", "i2", "i3"};

static uint64_t below(struct world *w, uint64_t n)
{
    w->random ^= w->random << 13; /* xorshift64 */
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (w->random >> 11) % n;
}

static struct td_instance *there(struct world *w, unsigned i)
{
    struct td_session *s = session_of(w->f, peers[i]);

    return s ? td_instance_of(s, 1) : NULL;
}

/* ---- what came ---- */

static void hear(struct world *w, unsigned caller,
                 const struct td_response_row *row)
{
    struct asked *a;

    assert_true(row->number >= 1 && row->number <= w->asked_len);
    a = &w->asked[row->number];
    assert_int_equal(a->caller, caller);
    assert_false(a->orphaned);
    assert_false(a->ended);
    assert_true(a->many || row->left == 0);
    assert_true(a->left == UINT64_MAX || row->left == a->left - 1);
    assert_true(row->code != TIDINGS_ETIMEDOUT || row->instance.len > 0 ||
                w->f->now >= a->deadline_ms);
    a->left = row->left;
    a->ended = row->left == 0;
    w->responses += a->ended;
}

static void hear_all(struct world *w)
{
    struct td_response_row row;
    struct td_handle_row h;
    struct td_str data;

    for (unsigned c = 0; c < CALLERS; c++) {
        for (uint32_t i = 0; responded(w->f, callers[c], i, &row, &data); i++)
            hear(w, c, &row);
    }
    for (unsigned k = 0; k < INSTANCES; k++) {
        for (uint32_t i = 0; handled(w->f, peers[k], i, &h); i++) {
            assert_true(h.left_ms >= 1 && h.left_ms <= 500);
            w->handed++;
            if (w->tasks_len[k] < TASKS_MAX)
                w->tasks[k][w->tasks_len[k]++] = h.task;
        }
    }
    forget(w->f);
}

static void check_deadlines(struct world *w)
{
    for (uint64_t n = 1; n <= w->asked_len; n++) {
        const struct asked *a = &w->asked[n];
        const struct td_session *s = session_of(w->f, callers[a->caller]);
        bool reads =
            s && s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX;

        assert_true(a->ended || a->orphaned || a->deadline_ms > w->f->now ||
                    !reads);
    }
}

static void turn(struct world *w)
{
    flush(w->f);
    while (w->f->next <= w->f->now)
        flush(w->f);
    hear_all(w);
    check_deadlines(w);
    judge_requests(w->f);
}

/* ---- what happens ---- */

static void come(struct world *w, unsigned i)
{
    if (!session_of(w->f, peers[i]))
        w->tasks_len[i] = 0;
    if (!there(w, i))
        instance(w->f, peers[i],
                 i == 3 ? "\"group\" \"other\" \"max_in_flight\" 8"
                        : "\"max_in_flight\" 8");
    forget(w->f);
}

static void ask_one(struct world *w)
{
    uint32_t before[INSTANCES] = {0};
    struct td_instance *of[INSTANCES];
    unsigned caller = (unsigned)below(w, CALLERS);
    uint64_t left_ms = 1 + below(w, 500);
    bool many = below(w, 8) == 0;
    struct asked *a;

    if (w->asked_len + 1 >= ASKED_MAX)
        return;
    if (!session_of(w->f, callers[caller]))
        hello(w->f, callers[caller]);
    for (unsigned i = 0; i < INSTANCES; i++) {
        of[i] = there(w, i);
        before[i] = of[i] ? of[i]->in_flight : 0;
    }
    a = &w->asked[++w->asked_len];
    *a = (struct asked){.caller = caller,
                        .deadline_ms = w->f->now + (int64_t)left_ms,
                        .many = many,
                        .left = UINT64_MAX};
    ask_with(w->f, callers[caller], w->asked_len,
             below(w, 10) ? "user.get" : "user.set", many ? TD_REQUEST_MANY : 0,
             left_ms, (uint32_t)below(w, 4) * 9000, "nil");
    for (unsigned i = 0; i < INSTANCES; i++) {
        bool well = of[i] && !of[i]->draining &&
                    (of[i]->state == TD_HEALTH_RUNNING ||
                     of[i]->state == TD_HEALTH_DEGRADED);

        assert_true(well || !of[i] || of[i]->in_flight == before[i]);
        assert_true(!of[i] || of[i]->in_flight <= before[i] + 1);
    }
}

static void answer_one(struct world *w)
{
    static const struct {
        tidings_err code;
        uint64_t status;
    } kinds[] = {
        /* the others are answered well */
        {TIDINGS_EREMOTE, 404}, {TIDINGS_EREMOTE, 500}, {TIDINGS_EFULL, 0},
        {TIDINGS_ETIMEDOUT, 0}, {TIDINGS_OK, 0},
    };
    unsigned last = sizeof(kinds) / sizeof(kinds[0]) - 1;
    unsigned i = (unsigned)below(w, INSTANCES);
    unsigned kind = (unsigned)below(w, 20);
    unsigned k;

    if (w->tasks_len[i] == 0 || !session_of(w->f, peers[i]))
        return;
    k = (unsigned)below(w, w->tasks_len[i]);
    if (kind > last)
        kind = last;
    answer_with(w->f, peers[i], w->tasks[i][k], kinds[kind].code,
                kinds[kind].status, below(w, 100000), "data");
    if (below(w, 20)) /* else it is answered again later */
        w->tasks[i][k] = w->tasks[i][--w->tasks_len[i]];
}

static void lose_caller(struct world *w, unsigned c)
{
    for (uint64_t n = 1; n <= w->asked_len; n++)
        w->asked[n].orphaned = w->asked[n].orphaned || w->asked[n].caller == c;
    gone(w->f, callers[c]);
    turn(w);
}

/* It reads nothing from now on, or all that there was. */
static void stall(struct world *w, const char *peer)
{
    struct td_session *s = session_of(w->f, peer);

    if (!s)
        return;
    if (s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX)
        s->messages_out += TD_MESSAGES_OUT_MAX;
    else
        givef(w->f, peer, "[9 %llu []]", (unsigned long long)s->messages_out);
}

static void trouble(struct world *w)
{
    unsigned i = (unsigned)below(w, INSTANCES);
    struct td_instance *instance = there(w, i);

    switch (below(w, 10)) {
    case 0:
        gone(w->f, peers[i]);
        turn(w);
        w->tasks_len[i] = 0;
        break;
    case 1:
        if (instance)
            give(w->f, peers[i], "[20 1 1]");
        break;
    case 2:
        lose_caller(w, (unsigned)below(w, CALLERS));
        break;
    case 3:
        stall(w, peers[i]);
        break;
    case 4:
        stall(w, callers[below(w, CALLERS)]);
        break;
    case 5:
        if (instance)
            instance->draining = !instance->draining;
        break;
    case 6: /* breakers that are open may be tried */
        w->f->now += 6000;
        turn(w);
        break;
    case 7:
        if (instance) {
            instance->draining = false;
            give(w->f, peers[i], "[21 1 2 \"\"]");
        }
        break;
    default:
        if (instance)
            givef(w->f, peers[i], "[21 1 %u \"\"]", 1 + (unsigned)below(w, 5));
    }
}

static void step(struct world *w)
{
    uint64_t what = below(w, 100);

    if (what < 30)
        ask_one(w);
    else if (what < 68)
        answer_one(w);
    else if (what < 83)
        turn(w);
    else if (what < 88)
        w->f->now += (int64_t)below(w, 40);
    else if (what < 95)
        come(w, (unsigned)below(w, INSTANCES));
    else
        trouble(w);
}

/* Everybody reads again, and all deadlines pass. */
static void end(struct world *w)
{
    for (unsigned c = 0; c < CALLERS; c++) {
        struct td_session *s = session_of(w->f, callers[c]);

        if (s)
            givef(w->f, callers[c], "[9 %llu []]",
                  (unsigned long long)s->messages_out);
    }
    w->f->now += 1000;
    turn(w);
    for (uint64_t n = 1; n <= w->asked_len; n++)
        assert_true(w->asked[n].ended || w->asked[n].orphaned);
    assert_int_equal(counts(w->f)->in_flight, 0);
    assert_int_equal(w->f->engine->serving.tasks.len, 0);
    assert_int_equal(w->f->engine->serving.askings.len, 0);
}

static void test_random_histories_answer_each_request_once(void **state)
{
    static struct world w;
    uint64_t handed = 0;
    uint64_t responses = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        memset(&w, 0, sizeof(w));
        w.f = *state;
        w.f->now = 1000;
        restart(w.f, (struct td_engine_options){0});
        forget(w.f);
        w.f->unjudged = true;
        w.random = seed * 0x9e3779b97f4a7c15u;
        for (unsigned i = 0; i < INSTANCES; i++)
            come(&w, i);
        for (unsigned i = 0; i < STEPS; i++)
            step(&w);
        end(&w);
        handed += w.handed;
        responses += w.responses;
    }
    assert_true(handed > SEEDS * 50);
    assert_true(responses > SEEDS * 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_random_histories_answer_each_request_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
