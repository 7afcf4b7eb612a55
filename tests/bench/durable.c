/* See durable.h. */
#include "tests/bench/durable.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void report(const struct bench_args *args, int64_t first_ns,
                   int64_t last_ns)
{
    printf("result events=%" PRIu64 " first_ns=%" PRId64 " last_ns=%" PRId64,
           args->events, first_ns, last_ns);
}

static int done(void)
{
    putchar('\n');
    fflush(stdout);
    return 0;
}

int durable_publish(const struct bench_args *args, const struct bench_out *out)
{
    int64_t first_ns = bench_now_ns();

    bench_publish(args, out);
    report(args, first_ns, bench_now_ns());
    return done();
}

/* ---- one at a time ---- */

struct timed {
    const struct bench_out *out;
    int64_t *took_ns;
    uint64_t count;
};

static void send_timed(void *arg, const char *type, const void *data,
                       size_t len)
{
    struct timed *timed = arg;
    const struct bench_out *out = timed->out;
    int64_t before_ns = bench_now_ns();

    out->send(out->arg, type, data, len);
    if (out->flush)
        out->flush(out->arg);
    timed->took_ns[timed->count++] = bench_now_ns() - before_ns;
}

int durable_one_by_one(const struct bench_args *args,
                       const struct bench_out *out)
{
    struct timed timed = {.out = out,
                          .took_ns = calloc(args->events, sizeof(int64_t))};
    const struct bench_out through = {.send = send_timed, .arg = &timed};
    int64_t first_ns = bench_now_ns();

    if (!timed.took_ns)
        bench_die("no memory for %" PRIu64 " times", args->events);
    bench_publish(args, &through);
    report(args, first_ns, bench_now_ns());
    bench_print_percentiles(timed.took_ns, timed.count);
    free(timed.took_ns);
    return done();
}

/* ---- taking ---- */

int durable_taken(struct bench_sink *sink)
{
    int status;

    sink->last_ns = bench_now_ns();
    status = bench_sink_report(sink);
    bench_sink_fini(sink);
    return status;
}
