/* bench_report.h: what a bench has measured, as a table or JSON. */
#ifndef TD_CLI_BENCH_REPORT_H
#define TD_CLI_BENCH_REPORT_H

#include "client/cli/load.h"

struct td_report {
    struct td_round *rounds;
    unsigned len;
    struct td_round all; /* together */
};

/** @return an exit code; stderr was told */
int td_report_put(const struct td_report *report, const struct td_load *load);

#endif
