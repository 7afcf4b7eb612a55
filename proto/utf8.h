/* UTF-8: what texts are on the wire (PROTOCOL.md 2). */
#ifndef TD_UTF8_H
#define TD_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a NUL-terminated text is UTF-8: shortest forms only, and no
 * surrogates (RFC 3629). */
bool td_utf8_valid(const char *text);

/* Copies it, NULL as "", and cuts between two characters what does not fit;
 * false: it is not UTF-8. */
bool td_utf8_cut(char *to, size_t size, const char *text);

/* Copies any bytes as UTF-8: each that belongs to no character becomes '?', and
 * what does not fit is cut between two characters. Never overlapping. */
void td_utf8_clean(char *to, size_t size, const char *text);

/* Takes back the character at the end of a text whose bytes were cut, if it is
 * not whole. */
void td_utf8_trim(char *text);

#endif
