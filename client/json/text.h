/* text.h: JSON text that grows; the one place where values become JSON.
 *
 * Our own instead of jansson's dump, because what we print goes to terminals
 * and log files: every character that a terminal or an editor would obey is
 * escaped, and numbers are as short as they can be and still read back as
 * the same number (99.99, where jansson 2.14 prints 99.989999999999995).
 *
 * The first failed allocation sticks; td_text_take() tells of it. */
#ifndef TD_JSON_TEXT_H
#define TD_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct td_text { /* all zero: empty */
    char *bytes;
    size_t len;
    size_t cap;
    bool failed;
};

void td_text_fini(struct td_text *t);

void td_text_put(struct td_text *t, const char *bytes, size_t len);
void td_text_puts(struct td_text *t, const char *string);

/** Room for len more characters to be filled by the caller; NULL if none. */
char *td_text_room(struct td_text *t, size_t len);

/** A quoted string; td_text_sayable() holds for it. */
void td_text_string(struct td_text *t, const char *string, size_t len);
void td_text_int(struct td_text *t, int64_t value);
/** A finite number, always with a point or an exponent. */
void td_text_real(struct td_text *t, double value);

/** Forget what was written after len. */
void td_text_cut(struct td_text *t, size_t len);

/** The text with a NUL, now the caller's; NULL if memory ran out. */
char *td_text_take(struct td_text *t);

/** Whether a string is UTF-8 and without NUL, so that we read it back. */
bool td_text_sayable(const char *string, size_t len);

#endif
