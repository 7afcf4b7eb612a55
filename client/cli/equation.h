/* equation.h: one equation of the ledger (PROTOCOL.md 7), as a line of a table
 * or as JSON. */
#ifndef TD_CLI_EQUATION_H
#define TD_CLI_EQUATION_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cli/table.h"
#include "tidings/tidings.h"

#define TD_TERMS_MAX 6

/* left = the sum of right */
struct td_form {
    const char *text;
    const char *left;
    const char *right[TD_TERMS_MAX + 1]; /* then NULL */
};

/* One equation, both sides known; missing: the broker did not say. */
struct td_equation {
    const char *of;
    const char *name;
    const char *text;
    uint64_t left;
    uint64_t right;
    const struct td_form *form; /* NULL: no terms */
    uint64_t terms[TD_TERMS_MAX];
    const char *missing;
};

bool td_equation_holds(const struct td_equation *e);

/** The columns that equations of one form have; NULL: without terms. */
void td_equation_columns(struct td_table *t, const struct td_form *form,
                         const char *left, const char *right);
void td_equation_add(struct td_table *t, const struct td_equation *e);

/** Print it to stdout as a JSON object; w is emptied first. */
tidings_err td_equation_put_json(tidings_writer *w,
                                 const struct td_equation *e);

#endif
