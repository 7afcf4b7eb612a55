#include "client/detail.h"

#include "proto/utf8.h"
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

/* What does not fit is cut between two characters. */
static void end_well(int wanted)
{
    if (wanted >= TD_DETAIL_BYTES)
        td_utf8_trim(detail);
}

void tidings_set_detail(const char *text)
{
    end_well(snprintf(detail, sizeof(detail), "%s", text ? text : ""));
}

tidings_err td_fail(tidings_err err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    end_well(vsnprintf(detail, sizeof(detail), format, args));
    va_end(args);
    return err;
}
