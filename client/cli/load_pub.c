/* The publishers of a bench: one thread each. */
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/load.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"

/* A full bus is waited for as long as --timeout says. */
static tidings_err publish(struct td_load_publisher *p, const char *type)
{
    int left_ms = td_timeout_ms(p->load->settings);
    tidings_err err;

    do {
        err = tidings_publish(p->bus, type, p->data, p->load->data_len);
        left_ms -= TD_LOAD_SLICE_MS;
    } while (err == TIDINGS_EFULL && left_ms > 0 && !td_stopped() &&
             !atomic_load(&p->load->stop));
    return err;
}

/* Of --count, which is of all publishers; 0: no end. */
static uint64_t share(const struct td_load_publisher *p)
{
    uint64_t count = p->load->settings->count;
    unsigned n = p->load->publishers_len;

    return count / n + (p->index < count % n);
}

/* When the next is due: with --rate its moment, which is also what latency is
 * counted from: else a broker that stalls would be measured less often. */
static int64_t next_moment_ns(const struct td_load_publisher *p, uint64_t done)
{
    const struct td_load *load = p->load;
    double rate = load->settings->rate / load->publishers_len;
    int64_t moment;

    if (rate <= 0)
        return td_clock_ns();
    moment = load->start_ns + (int64_t)((double)done * 1e9 / rate);
    if (moment > td_clock_ns())
        td_sleep_until(moment / 1000);
    return moment;
}

static bool goes_on(const struct td_load_publisher *p, uint64_t done)
{
    if (td_stopped() || atomic_load(&p->load->stop))
        return false;
    return !p->load->settings->count || done < share(p);
}

void *td_load_publish(void *arg)
{
    struct td_load_publisher *p = arg;
    const struct td_load *load = p->load;
    struct td_stamp stamp = {.round = load->round, .publisher = p->index};

    while (!p->err && goes_on(p, stamp.number)) {
        stamp.moment_ns = next_moment_ns(p, stamp.number);
        stamp.number++;
        memcpy(p->data + load->stamp_at, &stamp, sizeof(stamp));
        p->err = publish(p, load->types[stamp.number % load->types_len]);
        if (!p->err)
            td_load_add(&p->published, 1);
    }
    if (p->err == TIDINGS_EFULL && (td_stopped() || atomic_load(&load->stop)))
        p->err = TIDINGS_OK; /* the end came while it waited */
    if (!p->err)
        p->err = tidings_flush(p->bus, td_timeout_ms(load->settings));
    if (p->err)
        snprintf(p->why, sizeof(p->why), "%.255s", td_why(p->err));
    atomic_store(&p->done_ns, td_clock_ns());
    return NULL;
}
