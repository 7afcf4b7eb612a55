/* base64.h: RFC 4648 section 4, strictly: the standard alphabet, padding
 * required, no line breaks, no bits left over. */
#ifndef TD_JSON_BASE64_H
#define TD_JSON_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/** Characters that len bytes become, without a NUL. */
size_t td_base64_chars(size_t len);

/** Writes exactly td_base64_chars(len) characters, no NUL. */
void td_base64_write(char *out, const void *data, size_t len);

/** At most this many bytes come out of chars characters. */
size_t td_base64_bytes_max(size_t chars);

/** false if text is not base64; out has room for td_base64_bytes_max(). */
bool td_base64_read(void *out, size_t *out_len, const char *text, size_t chars);

#endif
