#include "client/cli/option_set.h"

#include <string.h>

#include "client/cli/option_values.h"

#define STRING_OF(x)  #x
#define STRING(macro) STRING_OF(macro)

#define BENCH_MAX 64 /* threads of each kind; types are many more */
#define TYPES_MAX 10000

/* ---- of several commands ---- */

const char *td_set_url(struct td_settings *settings, const char *value)
{
    settings->url = value;
    return NULL;
}

const char *td_set_timeout(struct td_settings *settings, const char *value)
{
    return td_read_seconds(&settings->timeout_s, value);
}

const char *td_set_interval(struct td_settings *settings, const char *value)
{
    return td_read_seconds(&settings->interval_s, value);
}

const char *td_set_rate(struct td_settings *settings, const char *value)
{
    return td_read_positive(&settings->rate, value, 1e9)
               ? "events per second, above 0 and at most 1e9"
               : NULL;
}

const char *td_set_count(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->count, value);
}

const char *td_set_json(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->json = true;
    return NULL;
}

const char *td_set_help(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->help = true;
    return NULL;
}

const char *td_set_version(struct td_settings *settings, const char *value)
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

const char *td_set_attr(struct td_settings *settings, const char *value)
{
    char *equals = strchr(value, '=');

    if (!equals || equals == value)
        return "NAME=VALUE";
    *equals = '\0';
    return add_attr(settings, value, equals + 1);
}

const char *td_set_key(struct td_settings *settings, const char *value)
{
    return *value ? add_attr(settings, "partitionkey", value)
                  : "a key that is not empty";
}

const char *td_set_event(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->event = true;
    return NULL;
}

/* ---- of sub and bench ---- */

const char *td_set_policy(struct td_settings *settings, const char *value)
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

const char *td_set_group(struct td_settings *settings, const char *value)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = strspn(value, allowed);

    if (len == 0 || len > 64 || value[len])
        return "1 to 64 of A-Z a-z 0-9 _ . -";
    settings->sub.group = value;
    return NULL;
}

const char *td_set_group_policy(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {[TIDINGS_ROUND_ROBIN] = "round_robin",
                                        [TIDINGS_RANDOM] = "random",
                                        [TIDINGS_LEAST_PENDING] =
                                            "least_pending",
                                        [TIDINGS_BY_KEY] = "key",
                                        [TIDINGS_SINGLE] = "single",
                                        NULL};
    int word = td_read_word(words, value);

    if (word < 0)
        return "round_robin, random, least_pending, key or single";
    settings->sub.group_policy = (enum tidings_group_policy)word;
    return NULL;
}

static const char *read_events(size_t *out, const char *value)
{
    uint64_t n;

    if (td_read_whole(&n, value) || n > SIZE_MAX)
        return "a whole number above 0";
    *out = (size_t)n;
    return NULL;
}

const char *td_set_window_events(struct td_settings *settings,
                                 const char *value)
{
    return read_events(&settings->sub.window_events, value);
}

const char *td_set_queue_events(struct td_settings *settings, const char *value)
{
    return read_events(&settings->sub.queue_events, value);
}

const char *td_set_queue_bytes(struct td_settings *settings, const char *value)
{
    return td_read_size(&settings->sub.queue_bytes, value);
}

/* ---- of stats and top ---- */

const char *td_set_rows(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {
        "subscriptions", "groups",    "types", "sessions",
        "streams",       "consumers", NULL};

    if (td_read_word(words, value) < 0)
        return "subscriptions, groups, types, sessions, streams or consumers";
    settings->rows = value;
    return NULL;
}

const char *td_set_watch(struct td_settings *settings, const char *value)
{
    settings->watch = true;
    return value ? td_set_interval(settings, value) : NULL;
}

const char *td_set_once(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->once = true;
    return NULL;
}

const char *td_set_sort(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {"rate", "pending", "drops", NULL};

    if (td_read_word(words, value) < 0)
        return "rate, pending or drops";
    settings->sort = value;
    return NULL;
}

/* ---- of bench ---- */

const char *td_set_publishers(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->bench.publishers, value, BENCH_MAX,
                         "1 to " STRING(BENCH_MAX));
}

const char *td_set_subscribers(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->bench.subscribers, value, BENCH_MAX,
                         "1 to " STRING(BENCH_MAX));
}

const char *td_set_types(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->bench.types, value, TYPES_MAX,
                         "1 to " STRING(TYPES_MAX));
}

const char *td_set_rounds(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->bench.rounds, value, 1000, "1 to 1000");
}

const char *td_set_size(struct td_settings *settings, const char *value)
{
    const char *wanted = td_read_size(&settings->bench.size, value);

    if (!wanted && (settings->bench.size < TD_CLI_BENCH_SIZE_MIN ||
                    settings->bench.size > TIDINGS_DATA_MAX))
        return STRING(TD_CLI_BENCH_SIZE_MIN) " bytes to 1M";
    return wanted;
}

const char *td_set_duration(struct td_settings *settings, const char *value)
{
    return td_read_seconds(&settings->bench.duration_s, value);
}

/* ---- of services as processes ---- */

const char *td_set_state(struct td_settings *settings, const char *value)
{
    settings->up.state = value;
    return *value ? NULL : "a folder";
}

const char *td_set_check(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->up.check = true;
    return NULL;
}

const char *td_set_detach(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->up.detach = true;
    return NULL;
}

const char *td_set_abort(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->up.abort_on_failure = true;
    return NULL;
}
