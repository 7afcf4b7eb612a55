/* pages.h: the broker's counters and all rows of one kind (PROTOCOL.md 7),
 * which come in pages: each is a moment of its own. */
#ifndef TD_CLI_PAGES_H
#define TD_CLI_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/tidings.h"

/* Rows beyond are not asked for: more than that is nothing to read. */
#define TD_ROWS_MAX (1u << 20)

struct td_page {
    void *data; /* what the broker answered; freed */
    struct tidings_value map;
    struct tidings_value rows; /* an array */
    size_t rows_len;
};

struct td_pages {     /* all zero: none */
    const char *kind; /* "subscriptions", ..., or "none" */
    struct td_page *list;
    size_t len;
    size_t rows_len;
    uint64_t rows_total; /* as the broker counts them; others came and went */
    uint64_t epoch;
};

void td_pages_fini(struct td_pages *pages);

/**
 * Ask for all pages. A broker that was restarted meanwhile is asked anew.
 *
 * @param kind  the caller's; "none": one page, with sums.
 * @return TIDINGS_OK; TIDINGS_EPROTO: not what PROTOCOL.md 7 says;
 *         or as tidings_stats_rows().
 */
tidings_err td_pages_fetch(struct td_pages *out, tidings_bus *bus,
                           const char *kind, int timeout_ms);

/** Counters of the first page. */
struct tidings_value td_pages_totals(const struct td_pages *pages);

/** Call each(arg, row) for every row until it says false.
 *  @return false: it did */
bool td_pages_each(const struct td_pages *pages,
                   bool (*each)(void *arg, struct tidings_value row),
                   void *arg);

/** A number as it is, a map as the sum of its numbers ("dropped").
 *  @return TIDINGS_ENOTFOUND or TIDINGS_EINVAL: no such number */
tidings_err td_count(uint64_t *out, struct tidings_value map, const char *key);

#endif
