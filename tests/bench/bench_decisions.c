/* What a decision costs: a breaker asked and told, and a candidate chosen
 * among so many.
 *
 *   bench_decisions
 *
 * Prints picoseconds of processor time for each, by name and number. All is in
 * the cache, as it is where requests are many: figures are of the decision. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/balance.h"
#include "proto/breaker.h"
#include "tests/bench/bench.h"
#include "tidings/resilience.h"

#define AT_ONCE    1000u
#define MEASURE_NS 20000000 /* each */

static const size_t sizes[] = {3, 16, 64, 1024};
static const char *const names[TD_BALANCE_POLICIES] = {
    [TD_BALANCE_ROUND_ROBIN] = "round_robin", [TD_BALANCE_RANDOM] = "random",
    [TD_BALANCE_LEAST] = "least_in_flight",   [TD_BALANCE_KEY] = "by_key",
    [TD_BALANCE_LATENCY] = "latency",
};

struct market {
    struct td_balance balance;
    enum td_balance_policy policy;
    size_t n;
    struct td_candidate **list;
    struct td_ask ask;
};

static uint64_t sink; /* what is decided must be of use */

static uint64_t next(uint64_t *random)
{
    *random ^= *random << 13; /* xorshift64 */
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static int64_t processor_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Picoseconds of one call out of AT_ONCE; the first round warms the cache. */
static int64_t measure(void (*run)(void *arg), void *arg)
{
    int64_t rounds = 0, start_ns, took_ns;

    run(arg);
    start_ns = processor_ns();
    do {
        run(arg);
        rounds++;
        took_ns = processor_ns() - start_ns;
    } while (took_ns < MEASURE_NS);
    return took_ns * 1000 / (rounds * AT_ONCE);
}

/* ---- breakers ---- */

static void ask_and_tell(void *arg)
{
    struct td_breaker *b = arg;

    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint64_t ticket;

        if (td_breaker_allow(b, i / 10, &ticket))
            td_breaker_done(b, i / 10, ticket, i % 50 != 0);
        sink += ticket;
    }
}

static void ask_in_vain(void *arg)
{
    struct td_breaker *b = arg;

    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint64_t ticket;

        sink += td_breaker_allow(b, 0, &ticket);
    }
}

static void measure_breaker(void)
{
    struct td_breaker b;
    uint64_t ticket;

    td_breaker_init(&b, &td_breaker_defaults);
    printf(" breaker=%" PRId64, measure(ask_and_tell, &b));
    while (td_breaker_allow(&b, 0, &ticket))
        td_breaker_done(&b, 0, ticket, false);
    printf(" open=%" PRId64, measure(ask_in_vain, &b));
}

/* That of a program: with a lock and a clock. */
static void call_through(void *arg)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint64_t ticket;

        if (tidings_breaker_allow(arg, &ticket) == TIDINGS_OK)
            tidings_breaker_done(arg, ticket,
                                 i % 50 ? TIDINGS_OK : TIDINGS_ETIMEDOUT);
        sink += ticket;
    }
}

static void call_in_vain(void *arg)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint64_t ticket;

        sink += tidings_breaker_allow(arg, &ticket);
    }
}

static void measure_program(void)
{
    tidings_breaker *b;
    uint64_t ticket;

    if (tidings_breaker_new(&b, NULL))
        bench_die("no breaker");
    printf(" program=%" PRId64, measure(call_through, b));
    while (tidings_breaker_allow(b, &ticket) == TIDINGS_OK)
        tidings_breaker_done(b, ticket, TIDINGS_ETIMEDOUT);
    printf(" program_open=%" PRId64, measure(call_in_vain, b));
    tidings_breaker_free(b);
}

/* ---- choosers ---- */

static struct market *market_new(enum td_balance_policy policy, size_t n)
{
    struct market *m = calloc(1, sizeof(*m));
    uint64_t random = 42;

    if (!m || !(m->list = calloc(n, sizeof(struct td_candidate *))))
        bench_die("out of memory");
    m->policy = policy;
    m->n = n;
    m->ask = (struct td_ask){TD_ANY_VERSION, 1, next(&random), 1000000};
    for (size_t i = 0; i < n; i++) {
        struct td_candidate *c = calloc(1, sizeof(*c));

        if (!c)
            bench_die("out of memory");
        c->hash = next(&random);
        c->eligible = next(&random) % 8 > 0 || n < 8;
        c->in_flight = (uint32_t)(next(&random) % 4);
        td_candidate_begin(c);
        td_candidate_end(c, 500000, (int64_t)(next(&random) % 5000));
        m->list[i] = c;
    }
    return m;
}

static void market_free(struct market *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->list[i]);
    free(m->list);
    free(m);
}

static void choose(void *arg)
{
    struct market *m = arg;

    for (unsigned i = 0; i < AT_ONCE; i++) {
        next(&m->ask.random);
        m->ask.key = m->ask.random;
        m->ask.now_us += 10;
        sink +=
            td_balance_choose(&m->balance, m->policy, m->list, m->n, &m->ask);
    }
}

static void measure_choosers(void)
{
    for (unsigned policy = 0; policy < TD_BALANCE_POLICIES; policy++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct market *m = market_new(policy, sizes[i]);

            printf(" %s_%zu=%" PRId64, names[policy], sizes[i],
                   measure(choose, m));
            market_free(m);
        }
    }
}

static void share_out(void *arg)
{
    for (unsigned i = 0; i < AT_ONCE; i++)
        sink += td_weighted_choose(arg, 2);
}

int main(int argc, char **argv)
{
    char *deadline[] = {argv[0], "decisions", "--deadline", "60"};
    struct td_weighted versions[2] = {{95, true, 0}, {5, true, 0}};
    struct bench_args args;

    if (argc > 1)
        bench_die("usage: %s", argv[0]);
    bench_args_parse(&args, 4, deadline);
    printf("result");
    measure_breaker();
    measure_program();
    measure_choosers();
    printf(" version=%" PRId64 "\n", measure(share_out, versions));
    return sink == 0; /* never */
}
