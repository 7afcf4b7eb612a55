/* What the programs of the durable cases share beside bench.h. Each has the
 * same roles, so one runner knows them all:
 *
 *   make    create an empty stream and a group that starts at its beginning
 *   pub     publish --events, many in flight; done when all are confirmed
 *   one     publish --events, each after the confirm of the one before
 *   take    as the group's only member take --events and settle each of them
 *           for itself; done when the server knows of nothing unsettled
 *   replay  read --events from the beginning, without the group
 *
 * An event that is refused, lost, doubled, changed or out of order fails the
 * run. What a system needs beyond its defaults stands in its program.
 */
#ifndef TESTS_BENCH_DURABLE_H
#define TESTS_BENCH_DURABLE_H

#include "tests/bench/bench.h"

/** The role `pub`: out->flush waits until every event is confirmed. */
int durable_publish(const struct bench_args *args, const struct bench_out *out);

/** The role `one`: sends, flushes if out has a flush, and takes the time. */
int durable_one_by_one(const struct bench_args *args,
                       const struct bench_out *out);

/** The end of `take` and `replay`: the last settlement counts as the end. */
int durable_taken(struct bench_sink *sink);

#endif
