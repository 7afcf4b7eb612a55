/* cli.h: what the parts of the `tidings` command share: the exit codes, the
 * settings that options.c fills, and the commands. */
#ifndef TD_CLI_H
#define TD_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/tidings.h"

/* code, what --help says of it */
#define TD_EXIT_MAP(X)                                                         \
    X(DONE, 0, "done; for sub also when a signal ended it")                    \
    X(FAILED, 1, "something failed")                                           \
    X(USAGE, 2, "the command line is wrong, or the broker refuses it")         \
    X(NO_BROKER, 3, "no broker")                                               \
    X(TIMED_OUT, 4, "timed out")

enum td_exit {
#define TD_EXIT_ENUM(name, value, text) TD_EXIT_##name = value,
    TD_EXIT_MAP(TD_EXIT_ENUM)
#undef TD_EXIT_ENUM
};

/* Defaults; --help prints them from here. */
#define TD_CLI_TIMEOUT_S      3   /* as long as a broker may take to greet */
#define TD_CLI_PINGS          4   /* as ping(8) on other systems */
#define TD_CLI_INTERVAL_S     0.2 /* between pings: a summary within a second */
#define TD_CLI_WATCH_S        1   /* between looks: rates are per second */
#define TD_CLI_BENCH_SIZE     128 /* bytes: what tests/bench measures with */
#define TD_CLI_BENCH_SIZE_MIN 48  /* what a subscriber must know stands in it */
#define TD_CLI_BENCH_S        3   /* of a round: longer than the block budget */
#define TD_CLI_BENCH_ROUNDS   3   /* so that one odd round shows as odd */

#define TD_CLI_TIMEOUT_S_MAX (TIDINGS_TIMEOUT_MAX_MS / 1000)

/* One --attr; strings are argv's, name is cut at '='. */
struct td_cli_attr {
    const char *name;
    const char *value;
};

/* What `bench` alone is told; 0: not given. */
struct td_bench_settings {
    unsigned publishers;
    unsigned subscribers;
    unsigned types;
    unsigned rounds;
    size_t size;       /* bytes of an event's data */
    double duration_s; /* of a round */
};

/* What the command line says; all zero and NULL: nothing. */
struct td_settings {
    const char *url;
    double timeout_s; /* 0: not given */
    uint64_t count;   /* 0: not given */
    double rate;      /* events per second; 0: as fast as they go */
    double interval_s;
    bool event;
    bool json;
    bool watch; /* interval_s says how often, if it is given */
    bool once;
    const char *rows; /* of stats and top; NULL: not given */
    const char *sort; /* "rate", "pending" or "drops"; NULL: not given */
    struct tidings_sub_options sub; /* group, policies, bounds of the queue */
    struct td_bench_settings bench;
    bool help;
    bool version;
    struct td_cli_attr attrs[TIDINGS_ATTRS_MAX];
    size_t attrs_len;
    char **words; /* what is no option: TYPE, DATA, PATTERN, ... */
    size_t words_len;
};

/* Bits of td_command.bit, for the option table. */
#define TD_CLI_MAIN  1u /* before the command */
#define TD_CLI_PUB   2u
#define TD_CLI_SUB   4u
#define TD_CLI_PING  8u
#define TD_CLI_STATS 16u
#define TD_CLI_AUDIT 32u
#define TD_CLI_TOP   64u
#define TD_CLI_BENCH 128u

struct td_command {
    const char *name;
    unsigned bit;
    const char *words; /* usage after the options; "": none */
    const char *about; /* one line */
    const char *more;  /* further lines of --help, each ending in '\n' */
    int (*run)(const struct td_settings *settings);
};

int td_cli_pub(const struct td_settings *settings);
int td_cli_sub(const struct td_settings *settings);
int td_cli_ping(const struct td_settings *settings);
int td_cli_stats(const struct td_settings *settings);
int td_cli_audit(const struct td_settings *settings);
int td_cli_top(const struct td_settings *settings);
int td_cli_bench(const struct td_settings *settings);

#endif
