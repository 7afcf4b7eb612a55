/* Types and patterns: the grammar of PROTOCOL.md 1, and matching. */
#ifndef TD_TYPE_H
#define TD_TYPE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the bytes are a type; also one of the system's. */
bool td_type_valid(const char *type, size_t len);

/* Whether a valid type is the system's: begins with '$'. */
bool td_type_is_system(const char *type, size_t len);

bool td_pattern_valid(const char *pattern, size_t len);

/* Whether the bytes name a group: 1..64 of [A-Za-z0-9_.-]. */
bool td_group_valid(const char *name, size_t len);

/* Both must be valid. Linear in their lengths. A wildcard in the first place
 * does not match the system's types. */
bool td_pattern_match(const char *pattern, size_t pattern_len, const char *type,
                      size_t type_len);

/* Whether some type that is not the system's matches both valid patterns. */
bool td_pattern_overlaps(const char *a, size_t a_len, const char *b,
                         size_t b_len);

/* Cuts the first token off: its length; *rest is what follows its dot, NULL
 * when it was the last. */
size_t td_token_next(const char *s, size_t len, const char **rest);

#endif
