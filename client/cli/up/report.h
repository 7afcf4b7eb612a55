/* report.h: how the services are, as msgpack, for `tidings status`. */
#ifndef TD_UP_REPORT_H
#define TD_UP_REPORT_H

#include "client/cli/up/run.h"
#include "tidings/data.h"

/** One map: file, process, url, state, instances. */
void td_up_report(tidings_writer *out, const struct td_up_run *r,
                  const char *file, int64_t now_ms);

#endif
