/* out.h: what the command prints: complaints to stderr, results to stdout. */
#ifndef TD_CLI_OUT_H
#define TD_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/plural.h"
#include "tidings/err.h"

/** "tidings: ..." on stderr; what it is given is escaped for terminals. */
void td_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The line after a complaint that says what to do next, indented. */
void td_advise(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Complain about a failed call: what, and the call's detail or its text.
 *  @return the exit code that goes with err */
int td_complain_err(tidings_err err, const char *what);

/** The detail of the last failed call, else the text of err. */
const char *td_why(tidings_err err);

/** Whether what goes to a stream is read by a person; colour is for a terminal
 *  that has not been asked for none (NO_COLOR, TERM=dumb). */
bool td_is_terminal(FILE *stream);
bool td_wants_colour(FILE *stream);

/** Whether a stream is a terminal that can be painted on. */
bool td_paints(FILE *stream);

/** Lines of a terminal; what it does not say: 24. */
size_t td_terminal_lines(FILE *stream);

/** Whether stdout is a pipe whose other end was closed. */
bool td_reader_gone(void);

/** Whether printing more makes sense: nothing failed, somebody reads. */
bool td_out_open(void);

/** Flush stdout; once at the end of a command, its exit code. A reader that
 *  went away is no failure. */
int td_flush_out(void);

#endif
