#include "client/cli/option_rows.h"

#include <string.h>

#include "client/cli/option_values.h"

#define STRING_OF(x)  #x
#define STRING(macro) STRING_OF(macro)

#define ALL                                                                    \
    (TD_CLI_MAIN | TD_CLI_PUB | TD_CLI_SUB | TD_CLI_PING | TD_CLI_STATS |      \
     TD_CLI_AUDIT | TD_CLI_TOP | TD_CLI_BENCH)

#define BENCH_MAX 64 /* threads of each kind; types are many more */
#define TYPES_MAX 10000

/* ---- of several commands ---- */

static const char *set_url(struct td_settings *settings, const char *value)
{
    settings->url = value;
    return NULL;
}

static const char *set_timeout(struct td_settings *settings, const char *value)
{
    return td_read_seconds(&settings->timeout_s, value);
}

static const char *set_interval(struct td_settings *settings, const char *value)
{
    return td_read_seconds(&settings->interval_s, value);
}

static const char *set_rate(struct td_settings *settings, const char *value)
{
    return td_read_positive(&settings->rate, value, 1e9)
               ? "events per second, above 0 and at most 1e9"
               : NULL;
}

static const char *set_count(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->count, value);
}

static const char *set_json(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->json = true;
    return NULL;
}

static const char *set_help(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->help = true;
    return NULL;
}

static const char *set_version(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->version = true;
    return NULL;
}

/* ---- of pub ---- */

static const char *add_attr(struct td_settings *settings, const char *name,
                            const char *value)
{
    if (settings->attrs_len == TIDINGS_ATTRS_MAX)
        return "at most " STRING(TIDINGS_ATTRS_MAX) " times";
    settings->attrs[settings->attrs_len++] =
        (struct td_cli_attr){.name = name, .value = value};
    return NULL;
}

static const char *set_attr(struct td_settings *settings, const char *value)
{
    char *equals = strchr(value, '=');

    if (!equals || equals == value)
        return "NAME=VALUE";
    *equals = '\0';
    return add_attr(settings, value, equals + 1);
}

static const char *set_key(struct td_settings *settings, const char *value)
{
    return *value ? add_attr(settings, "partitionkey", value)
                  : "a key that is not empty";
}

static const char *set_event(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->event = true;
    return NULL;
}

/* ---- of sub and bench ---- */

static const char *set_policy(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {[TIDINGS_BLOCK] = "block",
                                        [TIDINGS_DROP_OLDEST] = "drop_oldest",
                                        [TIDINGS_DROP_NEWEST] = "drop_newest",
                                        NULL};
    int word = td_read_word(words, value);

    if (word < 0)
        return "block, drop_oldest or drop_newest";
    settings->sub.policy = (enum tidings_policy)word;
    return NULL;
}

static const char *set_group(struct td_settings *settings, const char *value)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = strspn(value, allowed);

    if (len == 0 || len > 64 || value[len])
        return "1 to 64 of A-Z a-z 0-9 _ . -";
    settings->sub.group = value;
    return NULL;
}

static const char *set_group_policy(struct td_settings *settings,
                                    const char *value)
{
    static const char *const words[] = {[TIDINGS_ROUND_ROBIN] = "round_robin",
                                        [TIDINGS_RANDOM] = "random",
                                        [TIDINGS_LEAST_PENDING] =
                                            "least_pending",
                                        [TIDINGS_BY_KEY] = "key",
                                        NULL};
    int word = td_read_word(words, value);

    if (word < 0)
        return "round_robin, random, least_pending or key";
    settings->sub.group_policy = (enum tidings_group_policy)word;
    return NULL;
}

static const char *set_queue_events(struct td_settings *settings,
                                    const char *value)
{
    uint64_t n;

    if (td_read_whole(&n, value) || n > SIZE_MAX)
        return "a whole number above 0";
    settings->sub.queue_events = (size_t)n;
    return NULL;
}

static const char *set_queue_bytes(struct td_settings *settings,
                                   const char *value)
{
    return td_read_size(&settings->sub.queue_bytes, value);
}

/* ---- of stats and top ---- */

static const char *set_rows(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {"subscriptions", "groups", "types",
                                        "sessions", NULL};

    if (td_read_word(words, value) < 0)
        return "subscriptions, groups, types or sessions";
    settings->rows = value;
    return NULL;
}

static const char *set_watch(struct td_settings *settings, const char *value)
{
    settings->watch = true;
    return value ? set_interval(settings, value) : NULL;
}

static const char *set_once(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->once = true;
    return NULL;
}

static const char *set_sort(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {"rate", "pending", "drops", NULL};

    if (td_read_word(words, value) < 0)
        return "rate, pending or drops";
    settings->sort = value;
    return NULL;
}

/* ---- of bench ---- */

static const char *set_publishers(struct td_settings *settings,
                                  const char *value)
{
    return td_read_up_to(&settings->bench.publishers, value, BENCH_MAX,
                         "1 to " STRING(BENCH_MAX));
}

static const char *set_subscribers(struct td_settings *settings,
                                   const char *value)
{
    return td_read_up_to(&settings->bench.subscribers, value, BENCH_MAX,
                         "1 to " STRING(BENCH_MAX));
}

static const char *set_types(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->bench.types, value, TYPES_MAX,
                         "1 to " STRING(TYPES_MAX));
}

static const char *set_rounds(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->bench.rounds, value, 1000, "1 to 1000");
}

static const char *set_size(struct td_settings *settings, const char *value)
{
    const char *wanted = td_read_size(&settings->bench.size, value);

    if (!wanted && (settings->bench.size < TD_CLI_BENCH_SIZE_MIN ||
                    settings->bench.size > TIDINGS_DATA_MAX))
        return STRING(TD_CLI_BENCH_SIZE_MIN) " bytes to 1M";
    return wanted;
}

static const char *set_duration(struct td_settings *settings, const char *value)
{
    return td_read_seconds(&settings->bench.duration_s, value);
}

/* ---- the table ---- */

#define PUB     TD_CLI_PUB
#define SUB     TD_CLI_SUB
#define PING    TD_CLI_PING
#define STATS   TD_CLI_STATS
#define TOP     TD_CLI_TOP
#define BENCH   TD_CLI_BENCH
#define WATCH_S STRING(TD_CLI_WATCH_S)

const struct td_option_row td_option_rows[] = {
    {"count", 'n', "N", PUB, set_count, "publish DATA N times"},
    {"rate", 'r', "EVENTS_PER_S", PUB, set_rate,
     "this many a second; default: as fast as it goes"},
    {"key", 'k', "KEY", PUB, set_key,
     "the partitionkey: a group with policy key gives\n"
     "events of one key to one member, in order"},
    {"attr", 'a', "NAME=VALUE", PUB, set_attr,
     "set an attribute, once for each: id, source, time,\n"
     "subject, datacontenttype, dataschema or an extension"},
    {"event", 'e', NULL, PUB, set_event, "read whole CloudEvents JSON objects"},

    {"count", 'n', "N", SUB, set_count, "end after N events"},
    {"json", 'j', NULL, SUB, set_json,
     "print each event as one line of CloudEvents JSON"},

    {"count", 'n', "N", PING, set_count,
     "ping N times; default " STRING(TD_CLI_PINGS)},
    {"interval", 'i', "SECONDS", PING, set_interval,
     "between pings; default " STRING(TD_CLI_INTERVAL_S)},

    {"rows", 'r', "KIND", STATS, set_rows,
     "subscriptions, the default, groups, types or\nsessions"},
    {"watch", 'w', "[SECONDS]", STATS, set_watch,
     "again and again, with rates; default " WATCH_S},
    {"json", 'j', NULL, STATS, set_json,
     "print counters and rows as one JSON object"},

    {"json", 'j', NULL, TD_CLI_AUDIT, set_json,
     "print the equations as one JSON object"},

    {"rows", 'r', "KIND", TOP, set_rows,
     "begin with types, the default, subscriptions,\ngroups or sessions"},
    {"sort", 's', "KEY", TOP, set_sort,
     "begin by rate, the default, pending or drops"},
    {"interval", 'i', "SECONDS", TOP, set_interval,
     "between looks at the broker; default " WATCH_S},
    {"once", '1', NULL, TOP, set_once, "print one table and end"},

    {"publishers", 'p', "N", BENCH, set_publishers, "default 1"},
    {"subscribers", 's', "N", BENCH, set_subscribers,
     "default 1; each gets every event, unless in a group"},
    {"size", 0, "SIZE", BENCH, set_size,
     "of an event's data; default " STRING(TD_CLI_BENCH_SIZE) " bytes"},
    {"types", 0, "N", BENCH, set_types, "of events, in turn; default 1"},
    {"duration", 'd', "SECONDS", BENCH, set_duration,
     "of a round; default " STRING(TD_CLI_BENCH_S)},
    {"count", 'n', "N", BENCH, set_count,
     "events of a round, instead of a duration"},
    {"rate", 'r', "EVENTS_PER_S", BENCH, set_rate,
     "of all publishers together, and latency from the\n"
     "moment it says; default: as fast as it goes"},
    {"rounds", 0, "N", BENCH, set_rounds,
     "default " STRING(TD_CLI_BENCH_ROUNDS)},
    {"json", 'j', NULL, BENCH, set_json,
     "print the results as one JSON object"},

    {"group", 'g', "NAME", SUB | BENCH, set_group,
     "share the events: each goes to one subscriber of\nthe group"},
    {"group-policy", 0, "POLICY", SUB | BENCH, set_group_policy,
     "to which: round_robin, the default, random,\nleast_pending or key"},
    {"policy", 'P', "POLICY", SUB | BENCH, set_policy,
     "when the queue at the broker is full: block, the\n"
     "default, drop_oldest or drop_newest"},
    {"queue-events", 0, "N", SUB | BENCH, set_queue_events,
     "bound of the queue at the broker; default 65536"},
    {"queue-bytes", 0, "SIZE", SUB | BENCH, set_queue_bytes,
     "the same in bytes, or with K, M, G; default 32M"},

    {"url", 'u', "URL", ALL, set_url,
     "the broker; default TIDINGS_URL of the environment,\n"
     "else " TIDINGS_DEFAULT_URL},
    {"timeout", 't', "SECONDS", ALL & ~SUB, set_timeout,
     "wait at most this long for each answer; default " STRING(
         TD_CLI_TIMEOUT_S)},
    {"timeout", 't', "SECONDS", SUB, set_timeout,
     "give up after this long, with exit code 4; default:\n" STRING(
         TD_CLI_TIMEOUT_S) " for a broker to answer, no end for events"},
    {"help", 'h', NULL, ALL, set_help, "print this"},
    {"version", 'V', NULL, ALL, set_version, "print the version"},
};

const size_t td_option_rows_len =
    sizeof(td_option_rows) / sizeof(td_option_rows[0]);

_Static_assert(sizeof(td_option_rows) / sizeof(td_option_rows[0]) <=
                   TD_OPTION_ROWS_MAX,
               "the table in other forms has room for it");
