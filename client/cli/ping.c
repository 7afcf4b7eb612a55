/* tidings ping: round trips through the broker's engine. */
#include <inttypes.h>

#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"

struct ping {
    const struct td_settings *settings;
    tidings_bus *bus;
    uint64_t sent;
    uint64_t answered;
    int64_t least_us;
    int64_t most_us;
    int64_t sum_us;
};

static void count_answer(struct ping *p, int64_t us)
{
    if (p->answered == 0 || us < p->least_us)
        p->least_us = us;
    if (us > p->most_us)
        p->most_us = us;
    p->sum_us += us;
    p->answered++;
}

static void ping_once(struct ping *p)
{
    int64_t us;
    tidings_err err = tidings_ping(&us, p->bus, td_timeout_ms(p->settings));

    p->sent++;
    if (err) {
        printf("%" PRIu64 ": no answer: %s\n", p->sent, tidings_err_text(err));
    } else {
        count_answer(p, us);
        printf("%" PRIu64 ": %.3f ms\n", p->sent, (double)us / 1000);
    }
    fflush(stdout); /* one by one; the end looks at errors */
}

static void ping_all(struct ping *p)
{
    uint64_t count = p->settings->count ? p->settings->count : TD_CLI_PINGS;
    double interval_s = p->settings->interval_s > 0 ? p->settings->interval_s
                                                    : TD_CLI_INTERVAL_S;
    int64_t next_us = td_clock_us();

    while (td_sleep_until(next_us) && td_out_open()) {
        ping_once(p);
        if (p->sent == count)
            break;
        next_us += (int64_t)(interval_s * 1e6);
    }
}

static void summarise(const struct ping *p)
{
    printf("%s: %" PRIu64 " sent, %" PRIu64 " answered", td_url(p->settings),
           p->sent, p->answered);
    if (p->answered)
        printf("; least %.3f, mean %.3f, most %.3f ms",
               (double)p->least_us / 1000,
               (double)p->sum_us / 1000 / (double)p->answered,
               (double)p->most_us / 1000);
    printf("\n");
}

int td_cli_ping(const struct td_settings *settings)
{
    struct ping p = {.settings = settings};
    struct tidings_options options = {.name = "tidings-ping",
                                      .close_timeout_ms = -1};
    int code = td_no_words(settings, "ping");

    if (code == TD_EXIT_DONE)
        code = td_connect(&p.bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    ping_all(&p);
    summarise(&p);
    tidings_close(p.bus);
    code = td_flush_out();
    if (code == TD_EXIT_DONE && p.answered < p.sent)
        code = TD_EXIT_TIMED_OUT;
    return code;
}
