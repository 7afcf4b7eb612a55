/* The subscribers of a bench: their handlers run on the buses' own threads. */
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/load.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"

static void note_latency(struct td_load_subscriber *sub, int64_t ns)
{
    uint64_t latency_ns = ns > 0 ? (uint64_t)ns : 0;

    td_histogram_count(&sub->latency, latency_ns);
    if (latency_ns > atomic_load(&sub->most_ns))
        atomic_store(&sub->most_ns, latency_ns);
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct td_load_subscriber *sub = arg;
    const struct td_load *load = sub->load;
    int64_t now = td_clock_ns();
    struct td_stamp stamp;

    if (event->data_len != load->data_len)
        return TIDINGS_EINVAL; /* nobody else should know these types */
    memcpy(&stamp, (const char *)event->data + load->stamp_at, sizeof(stamp));
    if (stamp.publisher >= TD_LOAD_PUBLISHERS_MAX || stamp.round < sub->round)
        return TIDINGS_EINVAL;
    if (stamp.round > sub->round) {
        memset(sub->numbers, 0, sizeof(sub->numbers));
        sub->round = stamp.round;
    }
    if (stamp.number <= sub->numbers[stamp.publisher]) {
        td_load_add(&sub->again, 1);
        return TIDINGS_OK;
    }
    sub->numbers[stamp.publisher] = stamp.number;
    note_latency(sub, now - stamp.moment_ns);
    atomic_store_explicit(&sub->heard_ns, now, memory_order_relaxed);
    td_load_add(&sub->delivered, 1);
    return TIDINGS_OK;
}

static void on_gap(void *arg, const struct tidings_gap *gap)
{
    struct td_load_subscriber *sub = arg;

    atomic_store_explicit(&sub->heard_ns, td_clock_ns(), memory_order_relaxed);
    td_load_add(&sub->missed, gap->missed);
}

int td_load_subscribe(struct td_load *load, struct td_load_subscriber *sub)
{
    struct tidings_options options = {.name = "tidings-bench",
                                      .close_timeout_ms = -1};
    struct tidings_sub_options sub_options = load->settings->sub;
    tidings_err err;
    int code = td_connect(&sub->bus, load->settings, &options);

    if (code != TD_EXIT_DONE)
        return code;
    sub->load = load;
    sub_options.timeout_ms = td_timeout_ms(load->settings);
    sub_options.on_gap = on_gap;
    if (load->stream[0])
        sub_options.stream = load->stream;
    err = tidings_subscribe(NULL, sub->bus, load->pattern, on_event, sub,
                            &sub_options);
    return err ? td_complain_err(err, "subscribing") : TD_EXIT_DONE;
}
