/* Types and patterns, the public side. */
#include "client/detail.h"
#include "proto/type.h"
#include "tidings/tidings.h"

#include <string.h>

tidings_err tidings_type_check(const char *type)
{
    if (!type || !td_type_valid(type, strlen(type)))
        return td_fail(TIDINGS_EINVAL,
                       "a type is 1 to 16 tokens of printable ASCII without "
                       "'*' and '>', joined by '.', at most 255 bytes");
    if (td_type_is_system(type, strlen(type)))
        return td_fail(TIDINGS_EINVAL,
                       "types beginning with '$' are the system's");
    return TIDINGS_OK;
}

tidings_err tidings_pattern_check(const char *pattern)
{
    if (!pattern || !td_pattern_valid(pattern, strlen(pattern)))
        return td_fail(TIDINGS_EINVAL,
                       "a pattern is a type in which a whole token may be "
                       "'*', and the last '>'");
    return TIDINGS_OK;
}

bool tidings_pattern_matches(const char *pattern, const char *type)
{
    return pattern && type && td_pattern_valid(pattern, strlen(pattern)) &&
           td_type_valid(type, strlen(type)) &&
           td_pattern_match(pattern, strlen(pattern), type, strlen(type));
}
