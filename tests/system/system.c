#include "tests/system/system.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

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

bool sys_says(struct td_proc *p, const char *words)
{
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;

    while (!strstr(td_proc_errors(p), words) && td_proc_now_ms() < end)
        poll(NULL, 0, 5);
    return strstr(td_proc_errors(p), words) != NULL;
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

struct sys_info sys_publisher_stop(struct td_proc *p)
{
    struct sys_info info;

    assert_true(td_proc_say(p, "stop"));
    assert_string_equal(sys_expect(p, "stopped flush="), "OK");
    info = sys_worker_info(p);
    assert_int_equal(info.published, info.packed);
    assert_int_equal(info.taken, info.published);
    assert_int_equal(info.unconfirmed, 0);
    return info;
}
