#include "client/cli/joined.h"

#include <stdarg.h>
#include <stdio.h>

static size_t put(struct td_joined *j, const char *format, va_list args)
{
    size_t room = sizeof(j->text) - j->len;
    int n = vsnprintf(j->text + j->len, room, format, args);

    if (n < 0)
        return 0;
    return (size_t)n < room ? (size_t)n : room - 1;
}

void td_join(struct td_joined *j, const char *separator, const char *format,
             ...)
{
    va_list args;

    for (; j->len > 0 && *separator && j->len < sizeof(j->text) - 1;
         separator++)
        j->text[j->len++] = *separator;
    va_start(args, format);
    j->len += put(j, format, args);
    va_end(args);
}
