#include <stddef.h>
#include <string.h>

#include "client/cli/option_set.h"
#include "client/cli/option_values.h"
#include "client/cli/when.h"

#define DAY_MS        UINT64_C(86400000)
#define AGE_MS_MAX    (36500 * DAY_MS) /* a century is for ever */
#define TIME_TO_COME  "a time to come, such as +10m or 2030-02-28T12:00:00Z"
#define IN_FLIGHT_MAX 1048576
#define DELIVER_MAX   250
#define DEDUP_MAX     1048576

/* ---- which events ---- */

/* Of a stream: several. */
const char *td_set_patterns(struct td_settings *settings, const char *value)
{
    struct td_durable_settings *d = &settings->durable;

    if (tidings_pattern_check(value))
        return "a pattern: tokens joined by dots, * for any one, > for all "
               "that follow";
    if (d->patterns_len == TD_CLI_PATTERNS_MAX)
        return "at most 16 times";
    d->patterns[d->patterns_len++] = value;
    return NULL;
}

const char *td_set_pattern(struct td_settings *settings, const char *value)
{
    if (settings->durable.patterns_len > 0)
        return "to be given once";
    return td_set_patterns(settings, value);
}

const char *td_set_stream(struct td_settings *settings, const char *value)
{
    settings->sub.stream = value;
    return *value ? NULL : "the name of a stream";
}

/* ---- positions ---- */

const char *td_set_start(struct td_settings *settings, const char *value)
{
    return td_read_start(&settings->sub.start, value, td_wall_ms());
}

const char *td_set_until_time(struct td_settings *settings, const char *value)
{
    struct tidings_start *until = &settings->durable.until;
    int64_t now_ms = td_wall_ms();
    const char *wanted = td_read_moment(&until->time_ms, value, now_ms);

    if (wanted || until->time_ms <= now_ms)
        return TIME_TO_COME;
    until->kind = TIDINGS_START_TIME;
    return NULL;
}

const char *td_set_producer(struct td_settings *settings, const char *value)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = strlen(value);

    if (len < 1 || len > 64 || strspn(value, letters) != len)
        return "a name of 1 to 64 letters, digits, '_', '.' and '-'";
    settings->durable.producer = value;
    return NULL;
}

const char *td_set_sequence(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->durable.sequence, value);
}

const char *td_set_at(struct td_settings *settings, const char *value)
{
    int64_t now_ms = td_wall_ms();
    int64_t at_ms;
    const char *wanted = td_read_moment(&at_ms, value, now_ms);

    if (wanted || at_ms <= now_ms)
        return TIME_TO_COME;
    if (settings->durable.after_ms)
        return "no --after beside it";
    settings->durable.at_ms = at_ms;
    return NULL;
}

const char *td_set_after(struct td_settings *settings, const char *value)
{
    if (settings->durable.at_ms)
        return "no --at beside it";
    return td_read_duration(&settings->durable.after_ms, value, AGE_MS_MAX);
}

const char *td_set_expires(struct td_settings *settings, const char *value)
{
    return td_read_duration(&settings->durable.expires_ms, value, AGE_MS_MAX);
}

const char *td_set_until(struct td_settings *settings, const char *value)
{
    struct tidings_start *until = &settings->durable.until;

    if (td_read_start(until, value, td_wall_ms()) ||
        (until->kind != TIDINGS_START_SEQUENCE &&
         until->kind != TIDINGS_START_TIME))
        return "a sequence above 0, or a time such as 2024-02-29T12:00:00Z or "
               "-5m";
    return NULL;
}

static const char *read_expected(struct td_durable_settings *d,
                                 const char *value)
{
    if (d->expects || d->expects_key)
        return "to be given once, as --expect or as --expect-key";
    if (strcmp(value, "0") == 0)
        return NULL;
    return td_read_whole(&d->expected, value) ? "a sequence, or 0" : NULL;
}

const char *td_set_expect(struct td_settings *settings, const char *value)
{
    const char *wanted = read_expected(&settings->durable, value);

    settings->durable.expects = true;
    return wanted;
}

const char *td_set_expect_key(struct td_settings *settings, const char *value)
{
    const char *wanted = read_expected(&settings->durable, value);

    settings->durable.expects_key = true;
    return wanted;
}

const char *td_set_before(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->durable.before, value);
}

const char *td_set_first(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->durable.first, value);
}

const char *td_set_last(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->durable.last, value);
}

const char *td_set_limit(struct td_settings *settings, const char *value)
{
    return td_read_whole(&settings->durable.limit, value);
}

/* ---- flags ---- */

const char *td_set_yes(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->durable.yes = true;
    return NULL;
}

const char *td_set_durable(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->bench.durable = true;
    return NULL;
}

const char *td_set_follow(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->durable.follow = true;
    return NULL;
}

const char *td_set_original_pace(struct td_settings *settings,
                                 const char *value)
{
    (void)value;
    settings->durable.original_pace = true;
    return NULL;
}

const char *td_set_keyed(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->durable.stream.keyed = true;
    return NULL;
}

const char *td_set_compact(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->durable.stream.compact = true;
    return NULL;
}

/* ---- one of some words ---- */

const char *td_set_confirm(struct td_settings *settings, const char *value)
{
    int word = td_read_word(td_level_names, value);

    if (word < 0)
        return "none, memory, os or disk";
    settings->durable.confirm = (enum tidings_level)word;
    return NULL;
}

const char *td_set_on_full(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {[TIDINGS_DISCARD_OLD] = "discard_old",
                                        [TIDINGS_REJECT] = "reject",
                                        NULL};
    int word = td_read_word(words, value);

    if (word < 0)
        return "discard_old or reject";
    settings->durable.bounds_given |= TD_BOUND_ON_FULL;
    settings->durable.stream.on_full = (enum tidings_on_full)word;
    return NULL;
}

const char *td_set_storage(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {
        [TIDINGS_STORE_DISK] = "disk", [TIDINGS_STORE_MEMORY] = "memory", NULL};
    int word = td_read_word(words, value);

    if (word < 0)
        return "disk or memory";
    settings->durable.stream.storage = (enum tidings_storage)word;
    return NULL;
}

/* ---- bounds and waits ---- */

/* Says that it was given; true: there is to be none. */
static bool is_none(struct td_settings *settings, enum td_bound bound,
                    uint64_t *out, const char *value)
{
    settings->durable.bounds_given |= bound;
    if (strcmp(value, "none") != 0)
        return false;
    *out = 0;
    return true;
}

const char *td_set_max_age(struct td_settings *settings, const char *value)
{
    uint64_t *ms = &settings->durable.stream.max_age_ms;

    return is_none(settings, TD_BOUND_MAX_AGE, ms, value)
               ? NULL
               : td_read_duration(ms, value, AGE_MS_MAX);
}

const char *td_set_tombstone(struct td_settings *settings, const char *value)
{
    settings->durable.bounds_given |= TD_BOUND_TOMBSTONE;
    return td_read_duration(&settings->durable.stream.tombstone_ms, value,
                            AGE_MS_MAX);
}

const char *td_set_max_bytes(struct td_settings *settings, const char *value)
{
    uint64_t *bytes = &settings->durable.stream.max_bytes;
    const char *wanted;
    size_t size;

    if (is_none(settings, TD_BOUND_MAX_BYTES, bytes, value))
        return NULL;
    wanted = td_read_size(&size, value);
    if (!wanted)
        *bytes = size;
    return wanted;
}

const char *td_set_max_events(struct td_settings *settings, const char *value)
{
    uint64_t *events = &settings->durable.stream.max_events;

    return is_none(settings, TD_BOUND_MAX_EVENTS, events, value)
               ? NULL
               : td_read_whole(events, value);
}

const char *td_set_dedup(struct td_settings *settings, const char *value)
{
    uint64_t *ms = &settings->durable.stream.dedup_ms;

    if (!is_none(settings, TD_BOUND_DEDUP, ms, value) &&
        strcmp(value, "0") != 0)
        return td_read_duration(ms, value, AGE_MS_MAX);
    *ms = TIDINGS_NO_DEDUP;
    return NULL;
}

const char *td_set_dedup_events(struct td_settings *settings, const char *value)
{
    uint64_t *events = &settings->durable.stream.dedup_events;

    settings->durable.bounds_given |= TD_BOUND_DEDUP_EVENTS;
    if (td_read_whole(events, value) || *events > DEDUP_MAX)
        return "1 to 1048576";
    return NULL;
}

const char *td_set_max_in_flight(struct td_settings *settings,
                                 const char *value)
{
    return td_read_up_to(&settings->durable.group.max_in_flight, value,
                         IN_FLIGHT_MAX, "1 to 1048576");
}

const char *td_set_max_deliver(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->durable.group.max_deliver, value,
                         DELIVER_MAX, "1 to 250");
}

/* A duration of at most a day. */
static const char *read_wait(uint32_t *out_ms, const char *value)
{
    uint64_t ms;
    const char *wanted = td_read_duration(&ms, value, DAY_MS);

    if (!wanted)
        *out_ms = (uint32_t)ms;
    return wanted;
}

const char *td_set_ack_wait(struct td_settings *settings, const char *value)
{
    return read_wait(&settings->durable.group.ack_wait_ms, value);
}

const char *td_set_backoff(struct td_settings *settings, const char *value)
{
    return read_wait(&settings->durable.group.backoff_ms, value);
}

const char *td_set_backoff_max(struct td_settings *settings, const char *value)
{
    return read_wait(&settings->durable.group.backoff_max_ms, value);
}
