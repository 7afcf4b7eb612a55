/* sample.h: the rows of one kind at one moment, and how fast their counters
 * have grown since another. */
#ifndef TD_CLI_SAMPLE_H
#define TD_CLI_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli/pages.h"

#define TD_FIELDS_MAX 13

/* A kind of rows, and its fields (PROTOCOL.md 7); the first of them tell one
 * row from another. */
struct td_kind {
    const char *name;
    size_t names; /* how many fields those are */
    struct {
        const char *key; /* NULL: the end */
        bool number;
        bool rated; /* it only grows: a rate makes sense */
    } fields[TD_FIELDS_MAX + 1];
};

/* TD_KINDS of them: types, subscriptions, groups, sessions, streams,
 * consumers. */
#define TD_KINDS 6
extern const struct td_kind td_kinds[TD_KINDS];

/** The kind of that name; NULL: there is none. */
const struct td_kind *td_kind_of(const char *name);

/** The place of a field, TD_FIELDS_MAX: it has none such. */
size_t td_field_of(const struct td_kind *kind, const char *key);

struct td_row {
    struct {
        uint64_t number;
        double rate;      /* per second; 0 until there are two samples */
        const char *text; /* what is no number; text_len bytes of the page */
        size_t text_len;
    } cells[TD_FIELDS_MAX];
};

struct td_sample { /* all zero: none */
    const struct td_kind *kind;
    struct td_pages pages;
    int64_t at_us;
    struct td_row *rows;
    size_t len;
    struct td_row **by_name; /* in order, for the next sample to look into */
};

void td_sample_fini(struct td_sample *sample);

/** Ask the broker. @return as td_pages_fetch(), and TIDINGS_ENOMEM */
tidings_err td_sample_take(struct td_sample *out, tidings_bus *bus,
                           const struct td_kind *kind, int timeout_ms);

/** Fill in the rates. A row that is new began at 0; after a restart of the
 *  broker, or with rows of another kind, there are none. */
void td_sample_rates(struct td_sample *now, const struct td_sample *before);

/** Something in the totals: "dropped.slow" is in a map, "dropped" the sum of
 *  that. @return as td_count() */
tidings_err td_sample_total(uint64_t *out, const struct td_sample *sample,
                            const char *key);

/** How fast something in the totals grows, "dropped.slow" for one in a map;
 *  false: unknown, or it does not only grow. */
bool td_sample_total_rate(double *out, const struct td_sample *now,
                          const struct td_sample *before, const char *key);

#endif
