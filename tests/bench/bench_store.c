/* The store alone: how long transactions take, and how many there are in a
 * second.
 *
 *     bench_store one --url DIR [--bytes N] [--events N]
 *         one transaction after the other: at level disk, then os
 *     bench_store many --url DIR [--bytes N] [--events N] [--clients N]
 *         so many under way at once
 *
 * DIR is made, and must not be there. --slow-us N: so long between two. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/lmdb.h"
#include "tests/bench/bench.h"

#define KEPT 8000 /* records; older ones are deleted */

struct run {
    struct td_store *store;
    struct td_body *body;
    const struct bench_args *args;
    enum td_level level;
    uint64_t under_way; /* at most */
    uint64_t first;     /* record of this run */
    int64_t *at_ns;     /* submitted, then: took */
};

static struct td_str key_of(char key[9], uint64_t n)
{
    key[0] = 's';
    for (int i = 0; i < 8; i++)
        key[1 + i] = (char)(n >> (56 - 8 * i));
    return (struct td_str){key, 9};
}

static void submit(struct run *run, uint64_t i)
{
    struct td_txn txn = {0};
    uint64_t n = run->first + i;
    char key[9];
    char from[9];
    char to[9];

    td_txn_put(&txn, key_of(key, n), (struct td_str){NULL, 0}, run->body, 0,
               run->body->len);
    if (n > KEPT && n % 16 == 0)
        td_txn_delete_range(&txn, key_of(from, 0), key_of(to, n - KEPT));
    td_txn_raise(&txn, run->level);
    run->at_ns[i] = bench_now_ns();
    run->store->face->submit(run->store, &txn, i + 1);
}

static void take(struct run *run)
{
    struct td_store *store = run->store;
    struct td_store_answer *answer;
    uint64_t i;

    while (!(answer = store->face->next(store))) {
        struct pollfd p = {.fd = store->face->fd(store), .events = POLLIN};

        poll(&p, 1, BENCH_WAIT_MS);
    }
    if (answer->err)
        bench_die("not written: %s", tidings_err_name(answer->err));
    i = answer->ticket - 1;
    run->at_ns[i] = bench_now_ns() - run->at_ns[i];
    td_store_answer_free(answer);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double us(const struct run *run, uint64_t share, uint64_t of)
{
    return (double)run->at_ns[run->args->events * share / of] / 1000;
}

static void measure(struct run *run)
{
    uint64_t events = run->args->events;
    uint64_t sent = 0;
    int64_t began = bench_now_ns();
    int64_t next = began;
    int64_t took;

    for (uint64_t got = 0; got < events; got++) {
        for (; sent < events && sent - got < run->under_way; sent++) {
            if (run->args->slow_us)
                bench_sleep_until_ns(next +=
                                     (int64_t)run->args->slow_us * 1000);
            submit(run, sent);
        }
        take(run);
    }
    took = bench_now_ns() - began;
    qsort(run->at_ns, events, sizeof(*run->at_ns), by_size);
    printf("%-4s %7zu bytes, %4llu under way: %8.0f /s, p50 %.0f, p99 %.0f, "
           "p99.9 %.0f us\n",
           run->level == TD_LEVEL_DISK ? "disk" : "os", run->body->len,
           (unsigned long long)run->under_way,
           (double)events * 1e9 / (double)took, us(run, 50, 100),
           us(run, 99, 100), us(run, 999, 1000));
    run->first += events;
}

int main(int argc, char **argv)
{
    static const enum td_level levels[] = {TD_LEVEL_DISK, TD_LEVEL_OS};
    struct bench_args args;
    struct run run = {.args = &args};
    char why[TD_STORE_WHY_BYTES];
    uint8_t *data;

    bench_args_parse(&args, argc, argv);
    if (!args.url)
        bench_die("where? --url DIR");
    run.under_way = strcmp(args.role, "many") == 0 ? args.clients : 1;
    run.body = td_body_new(args.bytes, &data);
    run.at_ns = calloc(args.events, sizeof(*run.at_ns));
    if (!run.body || !run.at_ns)
        bench_die("no memory");
    memset(data, 'd', args.bytes);
    if (td_lmdb_open(&run.store, args.url, NULL, why) != TIDINGS_OK)
        bench_die("%s", why);
    for (int i = 0; i < 2; i++) {
        run.level = levels[i];
        measure(&run);
    }
    run.store->face->close(run.store);
    td_body_unref(run.body);
    free(run.at_ns);
    return 0;
}
