#include "broker/options.h"

#include "proto/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
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

/* Digits, then nothing or one of K M G (powers of 1024). */
static bool read_size(size_t *out, const char *value)
{
    static const char units[] = "KMG";
    const char *unit;
    char *end;
    unsigned long long n;
    unsigned shift = 0;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || errno)
        return false;
    if (*end) {
        unit = strchr(units, toupper((unsigned char)*end));
        if (!unit || end[1])
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (n > (SIZE_MAX >> 1) >> shift)
        return false;
    *out = (size_t)n << shift;
    return *out >= (16u << 20);
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
    char *end;
    long s;

    errno = 0;
    s = strtol(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno ||
        s > TD_GRACE_MS_MAX / 1000)
        return false;
    o->grace_ms = s > 0 ? s * 1000 : -1;
    return true;
}

static bool set_data(struct td_options *o, const char *value)
{
    o->data = value;
    return value[0] != '\0';
}

static bool set_help(struct td_options *o, const char *value)
{
    (void)value;
    o->help = 1;
    return true;
}

static bool set_version(struct td_options *o, const char *value)
{
    (void)value;
    o->version = 1;
    return true;
}

static const struct option_row {
    const char *name;
    const char *arg; /* NULL: takes none */
    const char *fallback;
    const char *expects;
    const char *help;
    bool (*set)(struct td_options *o, const char *value);
} rows[] = {
    {"listen", "URL", DEFAULT_LISTEN, "at most 16 addresses",
     "where to listen: tcp://HOST:PORT (PORT may be *) or ipc:///PATH; "
     "may be given again",
     set_listen},
    {"data", "DIR", NULL, "a folder, whose parent is there",
     "keep events in this folder, made if need be: what was confirmed is "
     "there after a crash. Without it nothing is kept",
     set_data},
    {"log-level", "LEVEL", "info", "error, warn, info or debug",
     "least important line to write to standard error: error, warn, info, "
     "debug",
     set_log_level},
    {"memory-max", "SIZE", "512M", "a number with K, M or G, at least 16M",
     "most bytes that all queues together may hold; K, M, G are allowed",
     set_memory_max},
    {"session-memory-max", "SIZE", "256M",
     "a number with K, M or G, at least 16M",
     "most bytes that the queues of one session may hold",
     set_session_memory_max},
    {"grace", "SECONDS", "15", "a number of seconds, 0 to 3600",
     "how long a client whose link is lost keeps its place; 0: not at all",
     set_grace},
    {"version", NULL, NULL, "", "print the version", set_version},
    {"help", NULL, NULL, "", "print this", set_help},
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
            "started with nohup.\n\n"
            "Exit codes: 0 ended by a signal, 1 could not run, 2 wrong "
            "usage.\n",
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
    if (row->arg && !value)
        value = argv[*i + 1] ? argv[++*i] : NULL;
    if (row->arg && !value)
        return complain(err, "--%s needs a value: %s", row->name, row->expects);
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
    return 0;
}
