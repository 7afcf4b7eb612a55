#include "broker/engine/log.h"

#include <stdarg.h>
#include <stdio.h>

void td_log(const struct td_log *log, enum td_log_level level, const char *id,
            const char *format, ...)
{
    char text[TD_LOG_TEXT_MAX];
    va_list args;

    if (!log->write || level > log->level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log->write(log->ctx, level, id, text);
}
