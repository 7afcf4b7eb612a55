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
    X(DONE, 0, "done; for sub, tail, up also when a signal ended it")          \
    X(FAILED, 1, "something failed")                                           \
    X(USAGE, 2, "the command line is wrong, or the broker refuses it")         \
    X(NO_BROKER, 3, "no broker")                                               \
    X(TIMED_OUT, 4, "timed out")                                               \
    X(NOBODY, 5, "request, service ping: nobody there, or takes any more")     \
    X(ANSWERED, 6, "request: it was answered with an error")

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

#define TD_CLI_PATTERNS_MAX 16 /* of a stream */

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
    bool durable;      /* through a stream */
};

/* Bits of bounds_given below: what "stream set" changes. */
enum td_bound {
    TD_BOUND_MAX_AGE = 1,
    TD_BOUND_MAX_BYTES = 2,
    TD_BOUND_MAX_EVENTS = 4,
    TD_BOUND_DEDUP = 8,
    TD_BOUND_DEDUP_EVENTS = 16,
    TD_BOUND_ON_FULL = 32,
    TD_BOUND_TOMBSTONE = 64
};

/* What the commands about streams alone are told; 0 and NULL: not given. */
struct td_durable_settings {
    const char *patterns[TD_CLI_PATTERNS_MAX];
    size_t patterns_len;
    struct tidings_stream_options stream; /* bounds, on_full, storage, keyed */
    unsigned bounds_given;                /* of enum td_bound */
    struct tidings_group_options group;   /* bounds, waits */
    struct tidings_start until;           /* a sequence or a time */
    uint64_t before;                      /* a sequence */
    uint64_t first;                       /* numbers of dead letters */
    uint64_t last;
    uint64_t limit; /* dead letters */
    enum tidings_level confirm;
    const char *producer; /* pub: its name */
    uint64_t sequence;    /* of its first event; 0: the next */
    int64_t at_ms;        /* pub: when, Unix */
    uint64_t after_ms;
    uint64_t expires_ms; /* after it is published */
    bool expects;        /* of pub: … */
    bool expects_key;    /* … or this … */
    uint64_t expected;   /* … that sequence */
    bool yes;
    bool follow;
    bool original_pace;
};

/* What `up` and its sisters are told; all zero and NULL: nothing. */
struct td_up_settings {
    const char *state; /* the folder of lock, socket and log */
    bool check;
    bool detach;
    bool abort_on_failure;
};

/* What the commands about services and requests alone are told; 0 and NULL:
 * not given. */
struct td_service_settings {
    const char *id; /* of an instance */
    bool undo;
    bool wait;
    struct tidings_request_options request;
    bool many;
    uint64_t quiet_ms;
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
    struct tidings_sub_options sub; /* group, policies, bounds of the queue,
                                       stream, start */
    struct td_bench_settings bench;
    struct td_durable_settings durable;
    struct td_up_settings up;
    struct td_service_settings service;
    bool help;
    bool version;
    struct td_cli_attr attrs[TIDINGS_ATTRS_MAX];
    size_t attrs_len;
    char **words; /* what is no option: TYPE, DATA, PATTERN, ... */
    size_t words_len;
};

/* Bits of td_command.bit, for the option table. */
#define TD_CLI_BIT(n) (UINT64_C(1) << (n))

#define TD_CLI_MAIN  TD_CLI_BIT(0) /* before the command */
#define TD_CLI_PUB   TD_CLI_BIT(1)
#define TD_CLI_SUB   TD_CLI_BIT(2)
#define TD_CLI_PING  TD_CLI_BIT(3)
#define TD_CLI_STATS TD_CLI_BIT(4)
#define TD_CLI_AUDIT TD_CLI_BIT(5)
#define TD_CLI_TOP   TD_CLI_BIT(6)
#define TD_CLI_BENCH TD_CLI_BIT(7)

#define TD_CLI_STREAM_ADD      TD_CLI_BIT(8)
#define TD_CLI_STREAM_LIST     TD_CLI_BIT(9)
#define TD_CLI_STREAM_SHOW     TD_CLI_BIT(10)
#define TD_CLI_STREAM_PURGE    TD_CLI_BIT(11)
#define TD_CLI_STREAM_DELETE   TD_CLI_BIT(12)
#define TD_CLI_GROUP_ADD       TD_CLI_BIT(13)
#define TD_CLI_GROUP_LIST      TD_CLI_BIT(14)
#define TD_CLI_GROUP_SHOW      TD_CLI_BIT(15)
#define TD_CLI_GROUP_PAUSE     TD_CLI_BIT(16)
#define TD_CLI_GROUP_RESUME    TD_CLI_BIT(17)
#define TD_CLI_GROUP_SEEK      TD_CLI_BIT(18)
#define TD_CLI_GROUP_DELETE    TD_CLI_BIT(19)
#define TD_CLI_DLQ_LIST        TD_CLI_BIT(20)
#define TD_CLI_DLQ_SHOW        TD_CLI_BIT(21)
#define TD_CLI_DLQ_REDRIVE     TD_CLI_BIT(22)
#define TD_CLI_DLQ_PURGE       TD_CLI_BIT(23)
#define TD_CLI_TAIL            TD_CLI_BIT(24)
#define TD_CLI_REPLAY          TD_CLI_BIT(25)
#define TD_CLI_STORE_VERIFY    TD_CLI_BIT(26) /* asks no broker */
#define TD_CLI_STORE_IMPORT    TD_CLI_BIT(28)
#define TD_CLI_STORE_EXPORT    TD_CLI_BIT(27)
#define TD_CLI_SCHEDULE_LIST   TD_CLI_BIT(29)
#define TD_CLI_SCHEDULE_CANCEL TD_CLI_BIT(30)
#define TD_CLI_PRODUCER_LIST   TD_CLI_BIT(31)
#define TD_CLI_PRODUCER_DELETE TD_CLI_BIT(32)
#define TD_CLI_STREAM_SET      TD_CLI_BIT(33)
#define TD_CLI_UP              TD_CLI_BIT(60)
#define TD_CLI_STATUS          TD_CLI_BIT(61) /* asks no broker … */
#define TD_CLI_DOWN            TD_CLI_BIT(62) /* … nor does this */
#define TD_CLI_SERVICE_LIST    TD_CLI_BIT(34)
#define TD_CLI_SERVICE_INFO    TD_CLI_BIT(35)
#define TD_CLI_SERVICE_STATS   TD_CLI_BIT(36)
#define TD_CLI_SERVICE_PING    TD_CLI_BIT(37)
#define TD_CLI_SERVICE_DRAIN   TD_CLI_BIT(38)
#define TD_CLI_SERVICE_WEIGHT  TD_CLI_BIT(39)
#define TD_CLI_SERVICE_WATCH   TD_CLI_BIT(40)
#define TD_CLI_REQUEST         TD_CLI_BIT(41)
#define TD_CLI_SCHEDULE        (TD_CLI_SCHEDULE_LIST | TD_CLI_SCHEDULE_CANCEL)
/* all of these */
#define TD_CLI_DURABLE                                                         \
    (((TD_CLI_STORE_VERIFY - 1) & ~(TD_CLI_STREAM_ADD - 1)) |                  \
     TD_CLI_SCHEDULE | TD_CLI_STORE_EXPORT | TD_CLI_STORE_IMPORT |             \
     TD_CLI_PRODUCER_LIST | TD_CLI_PRODUCER_DELETE | TD_CLI_STREAM_SET)

/* all of these */
#define TD_CLI_SERVICE (2 * TD_CLI_REQUEST - TD_CLI_SERVICE_LIST)

struct td_command {
    const char *name; /* "pub", "stream add" */
    uint64_t bit;
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

int td_cli_stream_add(const struct td_settings *settings);
int td_cli_stream_set(const struct td_settings *settings);
int td_cli_stream_list(const struct td_settings *settings);
int td_cli_stream_show(const struct td_settings *settings);
int td_cli_stream_purge(const struct td_settings *settings);
int td_cli_stream_delete(const struct td_settings *settings);
int td_cli_group_add(const struct td_settings *settings);
int td_cli_group_list(const struct td_settings *settings);
int td_cli_group_show(const struct td_settings *settings);
int td_cli_group_pause(const struct td_settings *settings);
int td_cli_group_resume(const struct td_settings *settings);
int td_cli_group_seek(const struct td_settings *settings);
int td_cli_group_delete(const struct td_settings *settings);
int td_cli_dlq_list(const struct td_settings *settings);
int td_cli_dlq_show(const struct td_settings *settings);
int td_cli_dlq_redrive(const struct td_settings *settings);
int td_cli_dlq_purge(const struct td_settings *settings);
int td_cli_store_verify(const struct td_settings *settings);
int td_cli_store_export(const struct td_settings *settings);
int td_cli_store_import(const struct td_settings *settings);
int td_cli_schedule_list(const struct td_settings *settings);
int td_cli_schedule_cancel(const struct td_settings *settings);
int td_cli_producer_list(const struct td_settings *settings);
int td_cli_producer_delete(const struct td_settings *settings);
int td_cli_service_list(const struct td_settings *settings);
int td_cli_service_info(const struct td_settings *settings);
int td_cli_service_stats(const struct td_settings *settings);
int td_cli_service_ping(const struct td_settings *settings);
int td_cli_service_drain(const struct td_settings *settings);
int td_cli_service_weight(const struct td_settings *settings);
int td_cli_service_watch(const struct td_settings *settings);
int td_cli_request(const struct td_settings *settings);
int td_cli_tail(const struct td_settings *settings);
int td_cli_replay(const struct td_settings *settings);

int td_cli_up(const struct td_settings *settings);
int td_cli_status(const struct td_settings *settings);
int td_cli_down(const struct td_settings *settings);

#endif
