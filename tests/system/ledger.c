#include "tests/system/ledger.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "tests/system/system.h"

#define LOOK_MS 20 /* between two looks at counters: nobody tells of them */
#define TEXT    300

typedef void (*row_fn)(struct tidings_value row, void *arg);

uint64_t ledger_number(struct tidings_value map, const char *key)
{
    uint64_t value;

    if (tidings_get_uint(&value, map, key))
        fail_msg("the broker's counters lack \"%s\"", key);
    return value;
}

/* The list of a kind; the gauge "sessions" goes by the name of its rows. */
static struct tidings_value rows_of(struct tidings_value map, const char *kind)
{
    struct tidings_value key;
    struct tidings_value value;

    for (size_t i = 0; i < tidings_value_count(map); i++) {
        const char *name;
        size_t len;

        assert_ok(tidings_pair_at(&key, &value, map, i));
        assert_ok(tidings_as_string(&name, &len, key));
        if (tidings_value_kind(value) == TIDINGS_KIND_ARRAY &&
            len == strlen(kind) && memcmp(name, kind, len) == 0)
            return value;
    }
    fail_msg("the broker's counters lack rows of %s", kind);
    return map;
}

/* Visit every row of a kind, in as many pages as it takes; how many rows. */
static uint64_t each_row(tidings_bus *bus, const char *kind, row_fn visit,
                         void *arg)
{
    char key[32];
    uint64_t from = 0;
    uint64_t total;

    snprintf(key, sizeof(key), "%s_total", kind);
    do {
        struct tidings_value map;
        struct tidings_value rows;
        struct tidings_value row;
        void *bytes;
        size_t len;

        assert_ok(
            tidings_stats_rows(&bytes, &len, bus, kind, from, SYS_WAIT_MS));
        assert_ok(tidings_value_read(&map, bytes, len));
        rows = rows_of(map, kind);
        total = ledger_number(map, key);
        if (tidings_value_count(rows) == 0 && from < total)
            fail_msg("no more than %" PRIu64 " of %" PRIu64 " %s are listed",
                     from, total, kind);
        for (size_t i = 0; i < tidings_value_count(rows); i++, from++) {
            assert_ok(tidings_at(&row, rows, i));
            visit(row, arg);
        }
        tidings_free(bytes);
    } while (from < total);
    return from;
}

/* ---- matched = delivered + pending + dropped ---- */

static uint64_t all_reasons(struct tidings_value reasons)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < tidings_value_count(reasons); i++) {
        struct tidings_value name;
        struct tidings_value value;
        uint64_t n;

        assert_ok(tidings_pair_at(&name, &value, reasons, i));
        assert_ok(tidings_as_uint(&n, value));
        sum += n;
    }
    return sum;
}

struct ledger_row ledger_read_row(struct tidings_value map)
{
    struct tidings_value reasons;
    struct ledger_row row = {
        .rows = 1,
        .matched = ledger_number(map, "matched"),
        .delivered = ledger_number(map, "delivered"),
        .pending = ledger_number(map, "pending"),
    };

    assert_ok(tidings_get(&reasons, map, "dropped"));
    row.dropped = all_reasons(reasons);
    row.slow = ledger_number(reasons, "slow");
    row.oldest = ledger_number(reasons, "oldest");
    row.newest = ledger_number(reasons, "newest");
    row.session_lost = ledger_number(reasons, "session_lost");
    row.unsubscribed = ledger_number(reasons, "unsubscribed");
    if (row.matched != row.delivered + row.pending + row.dropped)
        fail_msg("matched %" PRIu64 " delivered %" PRIu64 " pending %" PRIu64
                 " dropped %" PRIu64,
                 row.matched, row.delivered, row.pending, row.dropped);
    return row;
}

void ledger_add_row(struct ledger_row *sum, struct tidings_value map)
{
    struct ledger_row row = ledger_read_row(map);

    sum->rows++;
    sum->matched += row.matched;
    sum->delivered += row.delivered;
    sum->pending += row.pending;
    sum->dropped += row.dropped;
}

static void add_fate(struct tidings_value map, void *arg)
{
    ledger_add_row(arg, map);
}

/* A member's row tells what was dealt to it: its group's has the rest. */
static void add_plain(struct tidings_value map, void *arg)
{
    char group[TEXT];

    assert_ok(tidings_get_string(group, sizeof(group), map, "group"));
    if (group[0])
        ledger_read_row(map);
    else
        add_fate(map, arg);
}

struct sought {
    const char *pattern;
    const char *group;
    struct ledger_row row;
};

static void find_group(struct tidings_value map, void *arg)
{
    struct sought *s = arg;
    char pattern[TEXT];
    char group[TEXT];

    assert_ok(tidings_get_string(pattern, sizeof(pattern), map, "pattern"));
    assert_ok(tidings_get_string(group, sizeof(group), map, "group"));
    if (strcmp(pattern, s->pattern) != 0 || strcmp(group, s->group) != 0)
        return;
    assert_int_equal(s->row.rows, 0); /* one of each name */
    s->row = ledger_read_row(map);
    s->row.members = ledger_number(map, "members");
}

struct ledger_row ledger_group(tidings_bus *bus, const char *pattern,
                               const char *group)
{
    struct sought s = {.pattern = pattern, .group = group};

    each_row(bus, "groups", find_group, &s);
    return s.row;
}

struct ledger_row ledger_group_done(tidings_bus *bus, const char *pattern,
                                    const char *group, uint64_t matched)
{
    int64_t deadline_ms = td_proc_now_ms() + LEDGER_WAIT_MS;

    for (;;) {
        struct ledger_row row = ledger_group(bus, pattern, group);

        if (row.matched == matched && row.pending == 0)
            return row;
        if (td_proc_now_ms() > deadline_ms)
            fail_msg("%s of %s: matched %" PRIu64 ", %" PRIu64
                     " wanted; pending %" PRIu64,
                     group, pattern, row.matched, matched, row.pending);
        poll(NULL, 0, LOOK_MS);
    }
}

void ledger_group_gone(tidings_bus *bus, const char *pattern, const char *group)
{
    int64_t deadline_ms = td_proc_now_ms() + LEDGER_WAIT_MS;

    while (ledger_group(bus, pattern, group).rows > 0) {
        if (td_proc_now_ms() > deadline_ms)
            fail_msg("%s of %s is still there", group, pattern);
        poll(NULL, 0, LOOK_MS);
    }
}

/* ---- published = duplicates + routed + unmatched ---- */

struct ledger_flow ledger_read_flow(struct tidings_value map)
{
    struct ledger_flow f = {
        .published = ledger_number(map, "published"),
        .duplicates = ledger_number(map, "duplicates"),
        .routed = ledger_number(map, "routed"),
        .unmatched = ledger_number(map, "unmatched"),
    };

    if (f.published != f.duplicates + f.routed + f.unmatched)
        fail_msg("published %" PRIu64 " duplicates %" PRIu64 " routed %" PRIu64
                 " unmatched %" PRIu64,
                 f.published, f.duplicates, f.routed, f.unmatched);
    return f;
}

static void add_flow(struct tidings_value map, void *arg)
{
    struct ledger_flow *sum = arg;
    struct ledger_flow f = ledger_read_flow(map);

    sum->published += f.published;
    sum->duplicates += f.duplicates;
    sum->routed += f.routed;
    sum->unmatched += f.unmatched;
}

/* ---- the whole ---- */

/* Totals and, if asked for, the sums beside them. */
static void read_totals(tidings_bus *bus, struct ledger_row *fate,
                        struct ledger_flow *flow, bool compare)
{
    struct tidings_value map;
    struct tidings_value sums;
    struct ledger_row other;
    struct ledger_flow types;
    void *bytes;
    size_t len;

    assert_ok(tidings_stats_rows(&bytes, &len, bus, "none", 0, SYS_WAIT_MS));
    assert_ok(tidings_value_read(&map, bytes, len));
    *fate = ledger_read_row(map);
    *flow = ledger_read_flow(map);
    if (compare) {
        assert_ok(tidings_get(&sums, map, "sums"));
        other = ledger_read_row(sums);
        types = ledger_read_flow(sums);
        assert_memory_equal(&other, fate, sizeof(other));
        assert_memory_equal(&types, flow, sizeof(types));
    }
    tidings_free(bytes);
}

static bool nothing_is_pending(const struct sys_counters *c, const void *arg)
{
    (void)arg;
    return c->pending == 0;
}

void ledger_rest(tidings_bus *bus)
{
    sys_counters_until(bus, nothing_is_pending, NULL, LEDGER_WAIT_MS);
}

struct ledger_row ledger_totals(tidings_bus *bus)
{
    struct ledger_row fate;
    struct ledger_flow flow;

    read_totals(bus, &fate, &flow, false);
    return fate;
}

static void just_look(struct tidings_value row, void *arg)
{
    (void)arg;
    ledger_number(row, "session");
    ledger_number(row, "away_ms");
}

struct ledger_pages ledger_check(tidings_bus *bus)
{
    struct ledger_row alive = {0};
    struct ledger_row totals;
    struct ledger_flow types = {0};
    struct ledger_flow flow;
    struct ledger_pages pages = {
        .subscriptions = each_row(bus, "subscriptions", add_plain, &alive),
        .groups = each_row(bus, "groups", add_fate, &alive),
        .types = each_row(bus, "types", add_flow, &types),
        .sessions = each_row(bus, "sessions", just_look, NULL),
    };

    read_totals(bus, &totals, &flow, true);
    assert_memory_equal(&types, &flow, sizeof(types));
    assert_true(alive.matched <= totals.matched);
    assert_true(alive.delivered <= totals.delivered);
    assert_int_equal(alive.pending, totals.pending);
    assert_true(alive.dropped <= totals.dropped);
    return pages;
}
