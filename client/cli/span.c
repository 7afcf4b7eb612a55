#include "client/cli/span.h"

#include <inttypes.h>
#include <stdio.h>

const char *td_span(char out[TD_SPAN_BYTES], uint64_t ms)
{
    uint64_t s = ms / 1000;

    if (s < 60)
        snprintf(out, TD_SPAN_BYTES, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(out, TD_SPAN_BYTES, "%" PRIu64 " min %" PRIu64 " s", s / 60,
                 s % 60);
    else if (s < 86400)
        snprintf(out, TD_SPAN_BYTES, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
                 s % 3600 / 60);
    else
        snprintf(out, TD_SPAN_BYTES, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
                 s % 86400 / 3600);
    return out;
}

const char *td_latency(char out[TD_SPAN_BYTES], double us)
{
    if (us < 1000)
        snprintf(out, TD_SPAN_BYTES, "%.0f us", us);
    else if (us < 1e6)
        snprintf(out, TD_SPAN_BYTES, us < 1e4 ? "%.2f ms" : "%.1f ms",
                 us / 1000);
    else
        snprintf(out, TD_SPAN_BYTES, "%.2f s", us / 1e6);
    return out;
}

const char *td_amount(char out[TD_SPAN_BYTES], double amount)
{
    static const char units[] = " kMGTPE";
    const char *unit = units;

    if (amount > 0 && amount < 9.95 && amount != (double)(int)amount) {
        snprintf(out, TD_SPAN_BYTES, "%.1f", amount);
        return out;
    }
    if (amount < 9999.5) {
        snprintf(out, TD_SPAN_BYTES, "%.0f", amount);
        return out;
    }
    while (amount >= 999.5 && unit[1]) {
        amount /= 1000;
        unit++;
    }
    snprintf(out, TD_SPAN_BYTES, "%.*f%c",
             amount < 9.995   ? 2
             : amount < 99.95 ? 1
                              : 0,
             amount, *unit);
    return out;
}

const char *td_size(char out[TD_SPAN_BYTES], uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    double amount = (double)bytes / 1024;
    const char *unit = units;

    if (bytes < 1024) {
        snprintf(out, TD_SPAN_BYTES, "%" PRIu64 " B", bytes);
        return out;
    }
    for (; amount >= 1023.95 && unit[1]; unit++)
        amount /= 1024;
    snprintf(out, TD_SPAN_BYTES, "%.1f %ciB", amount, *unit);
    return out;
}
