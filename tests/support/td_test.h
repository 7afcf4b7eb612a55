/* What every cmocka test includes first: cmocka in the order it demands, and
 * asserts that print an error's text or a table's row. On the test's own
 * thread only: a failing assert jumps. */
#ifndef TESTS_SUPPORT_TD_TEST_H
#define TESTS_SUPPORT_TD_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tidings/err.h"

#define TD_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* ---- error codes ---- */

/* The expression gives TIDINGS_OK, or code. */
#define assert_ok(expr) assert_err(expr, TIDINGS_OK)
#define assert_err(expr, code)                                                 \
    td_check_err((expr), (code), #expr, __FILE__, __LINE__)

static inline void td_check_err(tidings_err got, tidings_err want,
                                const char *expr, const char *file, int line)
{
    if (got == want)
        return;
    print_error("%s\n  gave %s (%s), not %s (%s)\n", expr,
                tidings_err_name(got), tidings_err_text(got),
                tidings_err_name(want), tidings_err_text(want));
    _fail(file, line);
}

/* ---- tables ---- */

/* The condition holds for this row; if not, the row's text is printed. */
#define assert_row(row, cond)                                                  \
    td_check_row((row), (cond), #cond, __FILE__, __LINE__)

static inline void td_check_row(const char *row, bool holds, const char *cond,
                                const char *file, int line)
{
    if (holds)
        return;
    print_error("row: %s\n  does not hold: %s\n", row, cond);
    _fail(file, line);
}

/* The same with a number that tells where in the row, such as an offset. */
#define assert_row_at(row, at, cond)                                           \
    td_check_row_at((row), (size_t)(at), (cond), #cond, __FILE__, __LINE__)

static inline void td_check_row_at(const char *row, size_t at, bool holds,
                                   const char *cond, const char *file, int line)
{
    if (holds)
        return;
    print_error("row: %s\n  at %zu does not hold: %s\n", row, at, cond);
    _fail(file, line);
}

#endif
