/* option_rows.h: the table of options; reading and --help go through it. */
#ifndef TD_CLI_OPTION_ROWS_H
#define TD_CLI_OPTION_ROWS_H

#include <stddef.h>

#include "client/cli/cli.h"

#define TD_OPTION_ROWS_MAX 128 /* room for the table in other forms */

/* One row per option; where commands mean different things by one name, it
 * has a row for each meaning. */
struct td_option_row {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* NULL: takes none; "[...]": may be left out */
    uint64_t commands;
    /* Takes the value; says what it wants instead, or NULL. */
    const char *(*set)(struct td_settings *settings, const char *value);
    const char *help; /* second lines begin after '\n' */
};

extern const struct td_option_row td_option_rows[];
extern const size_t td_option_rows_len;

#endif
