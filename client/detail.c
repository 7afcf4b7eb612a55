#include "client/detail.h"

#include "tidings/tidings.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char detail[TD_DETAIL_BYTES];

const char *tidings_detail(void)
{
    return detail;
}

char *td_detail_bytes(void)
{
    return detail;
}

void tidings_set_detail(const char *text)
{
    snprintf(detail, sizeof(detail), "%s", text ? text : "");
}

tidings_err td_fail(tidings_err err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    return err;
}
