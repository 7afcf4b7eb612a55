/* The broker's counters at a glance: one STATS, not page by page. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <poll.h>

#define LOOK_MS 20 /* between two looks at counters: nobody tells of them */

typedef bool (*is_fn)(const struct sys_counters *c, const void *arg);

static struct tidings_value stats_of(void **bytes, tidings_bus *bus)
{
    struct tidings_value map;
    size_t len;

    assert_ok(tidings_stats(bytes, &len, bus, SYS_WAIT_MS));
    assert_ok(tidings_value_read(&map, *bytes, len));
    return map;
}

/* Each subscription's sums hold. */
static void check_rows(struct tidings_value map)
{
    struct tidings_value rows;
    struct tidings_value row;

    assert_ok(tidings_get(&rows, map, "subscriptions"));
    for (size_t i = 0; i < tidings_value_count(rows); i++) {
        assert_ok(tidings_at(&row, rows, i));
        ledger_read_row(row);
    }
}

struct sys_counters sys_counters(tidings_bus *bus)
{
    void *bytes;
    struct tidings_value map = stats_of(&bytes, bus);
    struct ledger_row row = ledger_read_row(map);
    struct ledger_flow flow = ledger_read_flow(map);
    struct sys_counters c = {
        .epoch = ledger_number(map, "epoch"),
        .published = flow.published,
        .duplicates = flow.duplicates,
        .routed = flow.routed,
        .unmatched = flow.unmatched,
        .matched = row.matched,
        .delivered = row.delivered,
        .dropped = row.dropped,
        .slow = row.slow,
        .session_lost = row.session_lost,
        .unsubscribed = row.unsubscribed,
        .sessions = ledger_number(map, "sessions"),
        .pending = row.pending,
        .queued_bytes = ledger_number(map, "queued_bytes"),
        .withheld = ledger_number(map, "withheld"),
        .bad_frames = ledger_number(map, "bad_frames"),
        .breaches = ledger_number(map, "breaches"),
        .silent = ledger_number(map, "silent"),
    };

    check_rows(map);
    tidings_free(bytes);
    return c;
}

struct ledger_row sys_row(tidings_bus *bus, const char *pattern)
{
    struct ledger_row sum = {0};
    struct tidings_value rows;
    void *bytes;
    struct tidings_value map = stats_of(&bytes, bus);

    assert_ok(tidings_get(&rows, map, "subscriptions"));
    for (size_t i = 0; i < tidings_value_count(rows); i++) {
        char name[TIDINGS_TYPE_MAX + 1];
        struct tidings_value value;

        assert_ok(tidings_at(&value, rows, i));
        assert_ok(tidings_get_string(name, sizeof(name), value, "pattern"));
        if (strcmp(name, pattern) != 0)
            continue;
        ledger_add_row(&sum, value);
        sum.blocked_ms += ledger_number(value, "blocked_ms");
    }
    tidings_free(bytes);
    return sum;
}

struct sys_counters sys_counters_until(tidings_bus *bus, is_fn is,
                                       const void *arg, int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;
    struct sys_counters c;

    while (c = sys_counters(bus), !is(&c, arg)) {
        if (td_proc_now_ms() > deadline_ms)
            fail_msg("not within %d ms: sessions %" PRIu64 " pending %" PRIu64
                     " queued_bytes %" PRIu64 " slow %" PRIu64
                     " session_lost %" PRIu64 " silent %" PRIu64,
                     timeout_ms, c.sessions, c.pending, c.queued_bytes, c.slow,
                     c.session_lost, c.silent);
        poll(NULL, 0, LOOK_MS);
    }
    return c;
}

struct sought {
    tidings_bus *bus;
    const char *pattern;
};

static bool is_subscribed(const struct sys_counters *c, const void *arg)
{
    const struct sought *s = arg;

    (void)c;
    return sys_row(s->bus, s->pattern).rows == 1;
}

void sys_until_subscribed(tidings_bus *bus, const char *pattern)
{
    const struct sought s = {.bus = bus, .pattern = pattern};

    sys_counters_until(bus, is_subscribed, &s, SYS_WAIT_MS);
}

static bool is_gone(const struct sys_counters *c, const void *arg)
{
    const struct sought *s = arg;

    (void)c;
    return sys_row(s->bus, s->pattern).rows == 0;
}

void sys_until_gone(tidings_bus *bus, const char *pattern)
{
    const struct sought s = {.bus = bus, .pattern = pattern};

    sys_counters_until(bus, is_gone, &s, SYS_WAIT_MS);
}

static bool is_caught_up(const struct sys_counters *c, const void *arg)
{
    const struct sought *s = arg;

    (void)c;
    return sys_row(s->bus, s->pattern).pending == 0;
}

void sys_until_caught_up(tidings_bus *bus, const char *pattern)
{
    const struct sought s = {.bus = bus, .pattern = pattern};

    sys_counters_until(bus, is_caught_up, &s, SYS_WAIT_MS);
}
