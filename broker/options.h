/* tidingsd's options: one table, from which parsing, defaults, --help and the
 * settings of the configuration file come. */
#ifndef TD_OPTIONS_H
#define TD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "broker/engine/log.h"

#define TD_LISTEN_MAX 16u

struct td_config;

/* Strings are borrowed: from argv, or the configuration. */
struct td_options {
    const char *listen[TD_LISTEN_MAX];
    unsigned listen_len;
    enum td_log_level log_level;
    size_t memory_bytes;
    size_t session_bytes;
    const char *data;   /* NULL: nothing is kept */
    int64_t grace_ms;   /* below 0: sessions are not kept */
    const char *config; /* the file's name; NULL: none */
    bool check;         /* only that it is right */
    bool help;
    bool version;
    uint32_t given; /* which rows of the table the command line has set */
};

/* 0, or 2 (the exit code of wrong usage) after telling err what is wrong. */
int td_options_parse(struct td_options *out, int argc, char **argv, FILE *err);

/* Takes over the settings of a file that the command line has not given. false:
 * *why, at least TD_CONFIG_WHY_BYTES, says what is wrong with it. */
bool td_options_take(struct td_options *o, struct td_config *config, char *why);

void td_options_help(FILE *out);

#endif
