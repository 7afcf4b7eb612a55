/* tidingsd's command line: one table of options, from which parsing, defaults
 * and --help come. */
#ifndef TD_OPTIONS_H
#define TD_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "broker/engine/log.h"

#define TD_LISTEN_MAX 16u

struct td_options {
    const char *listen[TD_LISTEN_MAX]; /* borrowed from argv */
    unsigned listen_len;
    enum td_log_level log_level;
    size_t memory_bytes;
    size_t session_bytes;
    const char *data; /* borrowed; NULL: nothing is kept */
    int64_t grace_ms; /* below 0: sessions are not kept */
    int help;
    int version;
};

/* 0, or 2 (the exit code of wrong usage) after telling err what is wrong. */
int td_options_parse(struct td_options *out, int argc, char **argv, FILE *err);

void td_options_help(FILE *out);

#endif
