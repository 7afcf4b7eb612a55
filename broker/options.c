#include "broker/options.h"

#include "broker/config.h"
#include "broker/units.h"
#include "proto/address.h"
#include "proto/limits.h"

#include <string.h>

#define DEFAULT_LISTEN "tcp://127.0.0.1:7450"

static bool set_listen(struct td_options *o, const char *value)
{
    if (o->listen_len == TD_LISTEN_MAX)
        return false;
    o->listen[o->listen_len++] = value;
    return true;
}

static bool set_log_level(struct td_options *o, const char *value)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (int i = 0; i <= TD_LOG_DEBUG; i++) {
        if (strcmp(value, names[i]) == 0) {
            o->log_level = (enum td_log_level)i;
            return true;
        }
    }
    return false;
}

static bool read_size(size_t *out, const char *value)
{
    uint64_t bytes;

    if (!td_size_read(&bytes, value) || bytes < (16u << 20) ||
        bytes > SIZE_MAX >> 1)
        return false;
    *out = (size_t)bytes;
    return true;
}

static bool set_memory_max(struct td_options *o, const char *value)
{
    return read_size(&o->memory_bytes, value);
}

static bool set_session_memory_max(struct td_options *o, const char *value)
{
    return read_size(&o->session_bytes, value);
}

static bool set_grace(struct td_options *o, const char *value)
{
    uint64_t ms;

    if (td_number_read(&ms, value))
        ms = ms <= TD_GRACE_MS_MAX / 1000 ? ms * 1000 : UINT64_MAX;
    else if (!td_duration_read(&ms, value))
        return false;
    if (ms > TD_GRACE_MS_MAX)
        return false;
    o->grace_ms = ms > 0 ? (int64_t)ms : -1;
    return true;
}

static bool set_data(struct td_options *o, const char *value)
{
    o->data = value;
    return value[0] != '\0';
}

static bool set_config(struct td_options *o, const char *value)
{
    bool again = o->config && strcmp(o->config, value) != 0;

    o->config = value;
    return value[0] != '\0' && !again;
}

static bool set_check(struct td_options *o, const char *value)
{
    o->check = true;
    return !value || set_config(o, value);
}

static bool set_help(struct td_options *o, const char *value)
{
    (void)value;
    o->help = true;
    return true;
}

static bool set_version(struct td_options *o, const char *value)
{
    (void)value;
    o->version = true;
    return true;
}

static const struct option_row {
    const char *name;
    const char *key; /* in the configuration file; NULL: it is not there */
    const char *arg; /* NULL: takes none; in brackets: may do without */
    const char *fallback;
    const char *expects;
    const char *help;
    bool (*set)(struct td_options *o, const char *value);
} rows[] = {
    {"listen", "listen", "URL", DEFAULT_LISTEN, "at most 16 addresses",
     "where to listen: tcp://HOST:PORT (PORT may be *) or ipc:///PATH; "
     "may be given again",
     set_listen},
    {"data", "data", "DIR", NULL, "a folder, whose parent is there",
     "keep events in this folder, made if need be: what was confirmed is "
     "there after a crash. Without it nothing is kept",
     set_data},
    {"config", NULL, "FILE", NULL, "one file",
     "read options, streams and groups that are to be there from "
     "this YAML file, and again at SIGHUP; options of the command line win",
     set_config},
    {"check", NULL, "[FILE]", NULL, "one file",
     "only say whether FILE, or that of --config, is right", set_check},
    {"log-level", "log_level", "LEVEL", "info", "error, warn, info or debug",
     "least important line to write to standard error: error, warn, info, "
     "debug",
     set_log_level},
    {"memory-max", "memory_max", "SIZE", "512M",
     "a number with K, M or G, at least 16M",
     "most bytes that all queues together may hold; K, M, G are allowed",
     set_memory_max},
    {"session-memory-max", "session_memory_max", "SIZE", "256M",
     "a number with K, M or G, at least 16M",
     "most bytes that the queues of one session may hold",
     set_session_memory_max},
    {"grace", "grace", "TIME", "15",
     "seconds, or a time such as 500ms or 2m: 0 to 3600 seconds",
     "how long a client whose link is lost keeps its place, in seconds or as "
     "500ms, 2m, 1h; 0: not at all",
     set_grace},
    {"version", NULL, NULL, NULL, "", "print the version", set_version},
    {"help", NULL, NULL, NULL, "", "print this", set_help},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void td_options_help(FILE *out)
{
    fprintf(out, "tidingsd carries events between services.\n\n"
                 "usage: tidingsd [options]\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        char flag[32];

        snprintf(flag, sizeof(flag), "--%s%s%s", rows[i].name,
                 rows[i].arg ? " " : "", rows[i].arg ? rows[i].arg : "");
        fprintf(out, "  %-20s  %s\n", flag, rows[i].help);
        if (rows[i].fallback)
            fprintf(out, "  %-20s  default: %s\n", "", rows[i].fallback);
    }
    fprintf(out,
            "\nWhen it listens it prints \"listening URL\" for each address "
            "and then \"ready\".\n"
            "SIGTERM, SIGINT and SIGHUP end it within %d seconds, after what "
            "was published has\nbeen delivered; a second one ends it at "
            "once.\n"
            "SIGUSR1, SIGUSR2 and SIGPIPE are ignored, and so is SIGHUP when "
            "started with nohup.\n"
            "With --config, SIGHUP has it read the file again: new streams and "
            "groups are made,\nand log_level, memory_max, session_memory_max "
            "and grace take effect. A file that is\nnot right changes "
            "nothing, which the log says. Nothing is ever deleted by it.\n\n"
            "Exit codes: 0 ended by a signal, 1 could not run, 2 wrong usage "
            "or a file that is\nnot right.\n",
            (TD_STOP_MS + 999) / 1000 + 1);
}

static const struct option_row *find(const char *name, size_t len)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
            return &rows[i];
    }
    return NULL;
}

static int complain(FILE *err, const char *format, const char *a, const char *b)
{
    fprintf(err, "tidingsd: ");
    fprintf(err, format, a, b);
    fprintf(err, "\n  see: tidingsd --help\n");
    return 2;
}

static bool may_do_without(const struct option_row *row)
{
    return row->arg && row->arg[0] == '[';
}

static int parse_one(struct td_options *out, char **argv, int *i, FILE *err)
{
    const char *arg = argv[*i];
    const char *equals = strchr(arg, '=');
    const char *value = equals ? equals + 1 : NULL;
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    const struct option_row *row =
        strncmp(arg, "--", 2) == 0 ? find(arg + 2, len - 2) : NULL;

    if (!row)
        return complain(err, "unknown option %s%s", arg, "");
    if (!row->arg && value)
        return complain(err, "--%s takes no value%s", row->name, "");
    if (row->arg && !value && argv[*i + 1] &&
        (!may_do_without(row) || argv[*i + 1][0] != '-'))
        value = argv[++*i];
    if (row->arg && !value && !may_do_without(row))
        return complain(err, "--%s needs a value: %s", row->name, row->expects);
    out->given |= 1u << (row - rows);
    if (!row->set(out, value)) {
        fprintf(err, "tidingsd: --%s %s: expected %s\n", row->name, value,
                row->expects);
        return 2;
    }
    return 0;
}

int td_options_parse(struct td_options *out, int argc, char **argv, FILE *err)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].fallback && rows[i].set != set_listen)
            rows[i].set(out, rows[i].fallback);
    }
    for (int i = 1; i < argc; i++) {
        int code = parse_one(out, argv, &i, err);

        if (code)
            return code;
    }
    if (out->listen_len == 0)
        set_listen(out, DEFAULT_LISTEN);
    if (out->check && !out->config)
        return complain(err, "--check%s needs a file%s", "", "");
    return 0;
}

/* ---- the configuration file ---- */

static bool take_row(struct td_options *o, const struct option_row *row,
                     struct td_config *config, char *why)
{
    const char *value;
    char text[256];

    if (row->set == set_listen && td_config_setting(config, row->key, 0))
        o->listen_len = 0; /* not the default */
    for (uint32_t i = 0; (value = td_config_setting(config, row->key, i));
         i++) {
        const char *wrong =
            row->set == set_listen ? td_address_check(value, true) : NULL;

        if (!wrong && row->set(o, value))
            continue;
        snprintf(text, sizeof(text), "%s%s", wrong ? "" : "expected ",
                 wrong ? wrong : row->expects);
        td_config_refuse_setting(config, row->key, i, text, why);
        return false;
    }
    return true;
}

bool td_options_take(struct td_options *o, struct td_config *config, char *why)
{
    const struct td_declared *d = td_config_declared(config);

    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].key && !(o->given & 1u << i) &&
            !take_row(o, &rows[i], config, why))
            return false;
    }
    for (uint32_t i = 0; i < d->streams_len && !o->data; i++) {
        if (d->streams[i].storage == TD_ON_DISK) {
            td_config_refuse_declared(
                config, i,
                "it is on disk, and there is no data folder: set "
                "data, or storage: memory",
                why);
            return false;
        }
    }
    return true;
}
