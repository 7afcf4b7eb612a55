/* view.h: what `tidings top` shows of a sample: rows in order, in columns. What
 * matters least is last, where a narrow screen cuts it. */
#ifndef TD_CLI_VIEW_H
#define TD_CLI_VIEW_H

#include "client/cli/sample.h"
#include "client/cli/table.h"

enum td_sort { TD_SORT_RATE, TD_SORT_PENDING, TD_SORT_DROPS };

#define TD_TOTALS_BYTES 256

/** "rate", "pending", "drops"; what a kind has instead stands in brackets:
 *  "drops (unmatched)". */
void td_view_sort_name(char *out, size_t size, const struct td_kind *kind,
                       enum td_sort sort);

/** Order by what is most; rows has room for sample->len. */
void td_view_sort(const struct td_row **rows, const struct td_sample *sample,
                  enum td_sort sort);

/** The first len of rows as a table. */
void td_view_fill(struct td_table *t, const struct td_kind *kind,
                  const struct td_row *const *rows, size_t len);

/** One line: what the broker does in total. before may be empty. */
void td_view_totals(char out[TD_TOTALS_BYTES], const struct td_sample *now,
                    const struct td_sample *before);

#endif
