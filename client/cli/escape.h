/* escape.h: bytes that came from elsewhere, made fit for a terminal.
 *
 * An event, a client's name or a broker's text may hold codes that a terminal
 * obeys. Nothing of that kind is printed as it is. */
#ifndef TD_CLI_ESCAPE_H
#define TD_CLI_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/**
 * Write bytes as text: UTF-8 as it is; controls (C0, DEL, C1), line separators
 * and marks of writing direction as \n, \t, \r or \u00xx; what is not UTF-8
 * as \xNN. Backslashes stay, so JSON stays JSON.
 *
 * @return the characters written.
 */
size_t td_put_escaped(FILE *to, const char *bytes, size_t len);

/** The same into size bytes, cut behind a whole character, with a NUL.
 *  @return the bytes before the NUL */
size_t td_escape(char *out, size_t size, const char *bytes, size_t len);

/** The characters that td_put_escaped() would write. */
size_t td_escaped_columns(const char *bytes, size_t len);

#endif
