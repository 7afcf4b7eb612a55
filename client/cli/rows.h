/* rows.h: rows of streams and groups (PROTOCOL.md 10.3) in tables. */
#ifndef TD_CLI_ROWS_H
#define TD_CLI_ROWS_H

#include "client/cli/ask.h"
#include "client/cli/table.h"

/* What to say of a broker without a stream. */
#define TD_ROWS_NO_STORE "the broker keeps no streams: start it with --data DIR"

/** A column; '#' before its title: of numbers. */
void td_rows_column(struct td_table *t, const char *title);

/** A cell: a text of the row, a number. */
void td_rows_text(struct td_table *t, struct tidings_value row,
                  const char *key);
void td_rows_count(struct td_table *t, uint64_t n);

/** Two cells: a name, and what the row has under key. */
void td_rows_pair(struct td_table *t, struct tidings_value row,
                  const char *name, const char *key);

/** Each row as a line of JSON. @return the exit code */
int td_rows_json(const struct td_list *list);

/** All rows as a table: add puts the cells of one, its arg is the table.
 *  @return the exit code */
int td_rows_table(const struct td_list *list, const char *const *columns,
                  size_t columns_len,
                  bool (*add)(void *arg, struct tidings_value row));

/** Rows of groups as a table. @return the exit code */
int td_rows_groups(const struct td_list *groups);

/** In a word how a group is: "paused", "parked", "probing", "ramping", "no
 *  members", "window full", "behind", "up to date". */
const char *td_rows_state(struct tidings_value group);

struct td_found {
    struct td_list list; /* td_list_fini() */
    struct tidings_value row;
};

/** The row of one stream, of one group; what is found is the caller's.
 *  @return as tidings_call(); TIDINGS_ENOTFOUND with its detail */
tidings_err td_rows_stream(struct td_found *out, struct td_ask *a,
                           const char *name);
tidings_err td_rows_group(struct td_found *out, struct td_ask *a,
                          const char *stream, const char *group);

#endif
