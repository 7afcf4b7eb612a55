#include "client/resilience.h"

#include "client/detail.h"
#include "proto/utf8.h"

#include <stdio.h>
#include <string.h>

tidings_err td_take_name(char out[TD_NAME_BYTES_MAX + 1], const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (len > TD_NAME_BYTES_MAX)
        return td_fail(TIDINGS_EINVAL, "name has %zu bytes; at most %u", len,
                       TD_NAME_BYTES_MAX);
    if (name && !td_utf8_valid(name))
        return td_fail(TIDINGS_EINVAL, "name is not UTF-8");
    memcpy(out, name ? name : "", len + 1);
    return TIDINGS_OK;
}

tidings_err td_take_number(uint32_t *out, const char *what, int value,
                           uint32_t otherwise, uint32_t most)
{
    if (value < 0 || (uint32_t)value > most)
        return td_fail(TIDINGS_EINVAL, "%s is %d; 1 to %u", what, value, most);
    *out = value == 0 ? otherwise : (uint32_t)value;
    return TIDINGS_OK;
}

tidings_err td_take_number_or_none(uint32_t *out, const char *what, int value,
                                   uint32_t otherwise, uint32_t most)
{
    if (value != -1)
        return td_take_number(out, what, value, otherwise, most);
    *out = 0;
    return TIDINGS_OK;
}
