/* The broker's books, page by page: every row and every equation of
 * PROTOCOL.md 7. Asserts, so it is for the test's own thread only. */
#ifndef TESTS_SYSTEM_LEDGER_H
#define TESTS_SYSTEM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "tidings/tidings.h"

/* How long the books may take to come to rest: the end of a peer that nothing
 * is sent to is found after 15 s of silence (PROTOCOL.md 3). */
#define LEDGER_WAIT_MS 30000

struct ledger_row {
    uint64_t rows; /* 0: there is none such */
    uint64_t members;
    uint64_t matched, delivered, pending;
    uint64_t dropped; /* for whatever reason; of those: */
    uint64_t slow, oldest, newest, session_lost, unsubscribed;
    uint64_t blocked_ms; /* of sys_row() alone */
};

struct ledger_flow {
    uint64_t published, duplicates, routed, unmatched;
};

/* What one map of the counters says, checked: every sum of it holds. */
uint64_t ledger_number(struct tidings_value map, const char *key);
struct ledger_row ledger_read_row(struct tidings_value map);
struct ledger_flow ledger_read_flow(struct tidings_value map);
/** Add what it matched, delivered, has pending and dropped. */
void ledger_add_row(struct ledger_row *sum, struct tidings_value map);

/** The row of a group. */
struct ledger_row ledger_group(tidings_bus *bus, const char *pattern,
                               const char *group);

/** Wait until it has ended: a BYE may be on its way. */
void ledger_group_gone(tidings_bus *bus, const char *pattern,
                       const char *group);

/** Wait until nothing waits in it, or is on its way; then its row. */
struct ledger_row ledger_group_done(tidings_bus *bus, const char *pattern,
                                    const char *group, uint64_t matched);

/** Wait until everything is delivered or dropped. */
void ledger_rest(tidings_bus *bus);

/** The totals, as a row. */
struct ledger_row ledger_totals(tidings_bus *bus);

struct ledger_pages {
    uint64_t subscriptions, groups, types, sessions; /* rows of each kind */
};

/**
 * Check that each row's equation holds, that totals and sums are the same,
 * and that what the rows say adds up to no more than the totals, and for types
 * to just them. All of it must be at rest.
 */
struct ledger_pages ledger_check(tidings_bus *bus);

#endif
