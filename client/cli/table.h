/* table.h: a table of text: columns as wide as what is in them, numbers to the
 * right. What is put into it is escaped for terminals. */
#ifndef TD_CLI_TABLE_H
#define TD_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TD_TABLE_COLUMNS_MAX 20

/** The terminal's code for a text, as "\033[31m"; NULL: none. */
typedef const char *(*td_table_paint)(const char *text);

struct td_table { /* all zero: no columns yet */
    struct {
        const char *title; /* the caller's */
        bool number;
        size_t widest; /* characters */
        td_table_paint paint;
    } columns[TD_TABLE_COLUMNS_MAX];
    size_t columns_len;
    char *text; /* of all cells, each with a NUL */
    size_t text_len;
    size_t text_cap;
    size_t *cells; /* where each begins in text */
    size_t cells_len;
    size_t cells_cap;
    bool failed; /* memory ran out; sticks */
    bool colour; /* of the columns that have some; off at first */
};

void td_table_fini(struct td_table *t);

/** Before the first cell. */
void td_table_column(struct td_table *t, const char *title, bool number);

/** The last column is painted, where the table has colour. */
void td_table_painted(struct td_table *t, td_table_paint paint);

/** The next cell, row by row; "" shows as "-". */
void td_table_add(struct td_table *t, const char *text);
void td_table_add_n(struct td_table *t, const char *text, size_t len);

/** Rows that are complete. */
size_t td_table_rows(const struct td_table *t);
/** Of a row and column; escaped already. */
const char *td_table_text(const struct td_table *t, size_t row, size_t column);

/** The same table in parts side by side, so that it is less high; out is empty. */
void td_table_fold(struct td_table *out, const struct td_table *t,
                   size_t parts);

/** Write the titles, unless all are "", and at most max rows; each line ends
 *  with line_end. @return false: memory had run out, stderr was told */
bool td_table_put(const struct td_table *t, FILE *to, size_t max,
                  const char *line_end);

#endif
