#include "tests/system/system.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#define LOOK_MS 20 /* between two looks at counters: nobody tells of them */

/* ---- the broker ---- */

void sys_broker_start(struct td_daemon *d, const char *const *extra)
{
    if (!td_daemon_start(d, "tcp://127.0.0.1:*", extra))
        fail_msg("tidingsd did not start: %s", td_proc_errors(&d->proc));
}

void sys_broker_restart(struct td_daemon *d, const char *const *extra)
{
    if (!td_daemon_restart(d, extra))
        fail_msg("tidingsd did not start again: %s", td_proc_errors(&d->proc));
}

void sys_kill(struct td_proc *p)
{
    assert_true(td_proc_signal(p, SIGKILL));
    assert_true(td_proc_wait(p, SYS_WAIT_MS));
}

int sys_stop(struct td_proc *p, int signal_number)
{
    int64_t start_ms = td_proc_now_ms();

    if (!td_proc_signal(p, signal_number))
        fail_msg("it has ended before: %s", td_proc_errors(p));
    if (!td_proc_wait(p, SYS_STOP_MS))
        fail_msg("still there %d ms after signal %d: %s", SYS_STOP_MS,
                 signal_number, td_proc_errors(p));
    if (td_proc_exit_code(p) != 0)
        fail_msg("wait status %d: %s", p->status, td_proc_errors(p));
    return (int)(td_proc_now_ms() - start_ms);
}

/* ---- a bus of this process ---- */

void sys_peer_open(struct sys_peer *p, const char *url, const char *name)
{
    struct tidings_options options = {
        .name = name,
        .on_status = watch_on_status,
        .on_status_arg = &p->watch,
    };

    watch_init(&p->watch);
    assert_ok(tidings_open(&p->bus, url, &options));
    assert_ok(tidings_wait(p->bus, SYS_WAIT_MS));
}

void sys_peer_subscribe(struct sys_peer *p, const char *pattern)
{
    assert_ok(tidings_subscribe(NULL, p->bus, pattern, watch_on_event,
                                &p->watch, NULL));
}

void sys_peer_close(struct sys_peer *p)
{
    if (!p->bus)
        return;
    tidings_close(p->bus);
    watch_fini(&p->watch);
    p->bus = NULL;
}

void sys_publish(struct sys_peer *p, const char *type, uint64_t n)
{
    assert_ok(tidings_publish(p->bus, type, &n, sizeof(n)));
}

void sys_round_trip(struct sys_peer *from, struct sys_peer *to,
                    const char *type, uint64_t n)
{
    uint64_t before = watch_now(&to->watch).events;

    sys_publish(from, type, n);
    assert_ok(tidings_flush(from->bus, SYS_WAIT_MS));
    assert_true(watch_until_events(&to->watch, before + 1, SYS_WAIT_MS));

    struct watch seen = watch_now(&to->watch);

    assert_int_equal(seen.events, before + 1);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0);
}

/* ---- workers ---- */

void sys_worker(struct td_proc *p, const char *url, const char *role,
                const char *pattern, const char *const *args)
{
    const char *argv[16] = {"system_worker", url, role, pattern};
    size_t n = 4;

    while (args && *args && n < 15)
        argv[n++] = *args++;
    argv[n] = NULL;
    assert_true(td_proc_start(p, argv));
    sys_expect(p, "ready");
}

const char *sys_expect(struct td_proc *p, const char *prefix)
{
    const char *rest = td_proc_expect(p, prefix, SYS_WAIT_MS);

    if (!rest)
        fail_msg("no line \"%s…\"; standard error: %s", prefix,
                 td_proc_errors(p));
    return rest;
}

uint64_t sys_field(const char *line, const char *name)
{
    char key[64];
    const char *at;

    snprintf(key, sizeof(key), " %s=", name);
    at = strstr(line, key);
    if (!at)
        fail_msg("no%s in: %s", key, line);
    return strtoull(at + strlen(key), NULL, 10);
}

struct sys_info sys_worker_info(struct td_proc *p)
{
    const char *line;

    assert_true(td_proc_say(p, "info"));
    line = sys_expect(p, "info");
    return (struct sys_info){
        .published = sys_field(line, "published"),
        .taken = sys_field(line, "taken"),
        .unconfirmed = sys_field(line, "unconfirmed"),
        .resent = sys_field(line, "resent"),
        .missed = sys_field(line, "missed"),
        .connects = sys_field(line, "connects"),
        .packed = sys_field(line, "packed"),
        .events = sys_field(line, "events"),
        .holes = sys_field(line, "holes"),
        .backwards = sys_field(line, "backwards"),
        .wrong = sys_field(line, "wrong"),
        .told = sys_field(line, "told"),
        .keys = sys_field(line, "keys"),
    };
}

/* ---- the broker's counters ---- */

static struct tidings_value stats_of(void **bytes, tidings_bus *bus)
{
    struct tidings_value map;
    size_t len;

    assert_ok(tidings_stats(bytes, &len, bus, SYS_WAIT_MS));
    assert_ok(tidings_value_read(&map, *bytes, len));
    return map;
}

static uint64_t counter(struct tidings_value map, const char *key)
{
    uint64_t value;

    if (tidings_get_uint(&value, map, key))
        fail_msg("the broker's counters lack \"%s\"", key);
    return value;
}

/* A number, or the sum of a map by reason. */
static uint64_t sum_of(struct tidings_value map, const char *key)
{
    struct tidings_value reasons;
    uint64_t sum = 0;

    assert_ok(tidings_get(&reasons, map, key));
    if (tidings_value_kind(reasons) != TIDINGS_KIND_MAP)
        return counter(map, key);
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

static struct sys_row row_of(struct tidings_value map)
{
    struct sys_row row = {
        .matched = counter(map, "matched"),
        .delivered = counter(map, "delivered"),
        .pending = counter(map, "pending"),
        .dropped = sum_of(map, "dropped"),
        .blocked_ms = counter(map, "blocked_ms"),
        .rows = 1,
    };

    if (row.matched != row.delivered + row.pending + row.dropped)
        fail_msg("subscription: matched %" PRIu64 " delivered %" PRIu64
                 " pending %" PRIu64 " dropped %" PRIu64,
                 row.matched, row.delivered, row.pending, row.dropped);
    return row;
}

static void check_rows(struct tidings_value map)
{
    struct tidings_value rows;
    struct tidings_value row;

    assert_ok(tidings_get(&rows, map, "subscriptions"));
    for (size_t i = 0; i < tidings_value_count(rows); i++) {
        assert_ok(tidings_at(&row, rows, i));
        row_of(row);
    }
}

struct sys_counters sys_counters(tidings_bus *bus)
{
    struct tidings_value dropped;
    void *bytes;
    struct tidings_value map = stats_of(&bytes, bus);

    assert_ok(tidings_get(&dropped, map, "dropped"));
    struct sys_counters c = {
        .epoch = counter(map, "epoch"),
        .published = counter(map, "published"),
        .duplicates = counter(map, "duplicates"),
        .routed = counter(map, "routed"),
        .unmatched = counter(map, "unmatched"),
        .matched = counter(map, "matched"),
        .delivered = counter(map, "delivered"),
        .dropped = sum_of(map, "dropped"),
        .slow = counter(dropped, "slow"),
        .session_lost = counter(dropped, "session_lost"),
        .unsubscribed = counter(dropped, "unsubscribed"),
        .sessions = counter(map, "sessions"),
        .pending = counter(map, "pending"),
        .queued_bytes = counter(map, "queued_bytes"),
        .withheld = counter(map, "withheld"),
        .bad_frames = counter(map, "bad_frames"),
        .breaches = counter(map, "breaches"),
        .silent = counter(map, "silent"),
    };

    if (c.published != c.duplicates + c.routed + c.unmatched)
        fail_msg("published %" PRIu64 " duplicates %" PRIu64 " routed %" PRIu64
                 " unmatched %" PRIu64,
                 c.published, c.duplicates, c.routed, c.unmatched);
    if (c.matched != c.delivered + c.pending + c.dropped)
        fail_msg("matched %" PRIu64 " delivered %" PRIu64 " pending %" PRIu64
                 " dropped %" PRIu64,
                 c.matched, c.delivered, c.pending, c.dropped);
    check_rows(map);
    tidings_free(bytes);
    return c;
}

struct sys_row sys_row(tidings_bus *bus, const char *pattern)
{
    struct sys_row sum = {0};
    struct tidings_value rows;
    void *bytes;
    struct tidings_value map = stats_of(&bytes, bus);

    assert_ok(tidings_get(&rows, map, "subscriptions"));
    for (size_t i = 0; i < tidings_value_count(rows); i++) {
        char name[TIDINGS_TYPE_MAX + 1];
        struct tidings_value value;
        struct sys_row row;

        assert_ok(tidings_at(&value, rows, i));
        assert_ok(tidings_get_string(name, sizeof(name), value, "pattern"));
        if (strcmp(name, pattern) != 0)
            continue;
        row = row_of(value);
        sum.matched += row.matched;
        sum.delivered += row.delivered;
        sum.pending += row.pending;
        sum.dropped += row.dropped;
        sum.blocked_ms += row.blocked_ms;
        sum.rows++;
    }
    tidings_free(bytes);
    return sum;
}

struct sys_counters sys_counters_until(tidings_bus *bus,
                                       bool (*is)(const struct sys_counters *,
                                                  const void *arg),
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
