/* What the broker tells its operator: one line each, an id that never changes
 * and free text. Passed, never global; the sink is handed in. */
#ifndef TD_LOG_H
#define TD_LOG_H

enum td_log_level { TD_LOG_ERROR, TD_LOG_WARN, TD_LOG_INFO, TD_LOG_DEBUG };

struct td_log {
    enum td_log_level level; /* what is less important is not written */
    void (*write)(void *ctx, enum td_log_level level, const char *id,
                  const char *text); /* NULL: nothing is */
    void *ctx;
};

#define TD_LOG_TEXT_MAX 512 /* bytes; longer text is cut */

void td_log(const struct td_log *log, enum td_log_level level, const char *id,
            const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
