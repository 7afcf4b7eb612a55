/* The suite's frame: starts the broker of the backend that it is told, and
 * runs every file's tests on it.
 *
 *     test_conformance inproc|ipc|tcp [TEST-NAME-PATTERN]
 *     test_conformance inproc-data|ipc-data|tcp-data [TEST-NAME-PATTERN]
 *
 * With data, it is a broker that keeps events in a folder; what has nothing to
 * do with that is not run again. */
#include "tests/conformance/conformance.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/folder.h"
#include "tests/support/watchdog.h"
#include "tidings/service.h"

/* No test takes so long, with its teardown, whatever fails in it. */
#define HANG_S  (CONF_SLOW > 1 ? 150 : 75)
#define CHILD_S 30 /* then SIGALRM ends a child that hangs */

static struct {
    const char *backend;
    bool has_data;
    struct td_folder data;
    struct td_daemon daemon;
    char folder[64]; /* of the ipc socket */
    char url[256];
    unsigned tests;
} frame;

/* ---- tallies ---- */

static void note_number(struct tally *t, const struct tidings_event *event)
{
    uint64_t words[2]; /* who, n */

    if (event->data_len != sizeof(words))
        return;
    memcpy(words, event->data, sizeof(words));
    if (words[0] >= CONF_PUBLISHERS_MAX)
        return;
    if (t->next_n[words[0]] == 0)
        t->next_n[words[0]] = 1;
    if (words[1] < t->next_n[words[0]]) {
        t->disorder++;
        return;
    }
    t->holes += words[1] - t->next_n[words[0]];
    t->next_n[words[0]] = words[1] + 1;
}

tidings_err tally_event(void *arg, const struct tidings_event *event)
{
    struct tally *t = arg;
    tidings_err answer;

    pthread_mutex_lock(&t->lock);
    t->count++;
    snprintf(t->type, sizeof(t->type), "%s", event->type);
    snprintf(t->id, sizeof(t->id), "%s", event->id);
    snprintf(t->source, sizeof(t->source), "%s", event->source);
    t->time_us = event->time_us;
    t->data_len = event->data_len;
    note_number(t, event);
    answer = t->answer;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return answer;
}

void tally_status(void *arg, const struct tidings_status *status)
{
    struct tally *t = arg;

    pthread_mutex_lock(&t->lock);
    t->statuses[status->kind]++;
    if (status->kind == TIDINGS_GAP)
        t->missed += status->count;
    t->status = *status;
    snprintf(t->status_text, sizeof(t->status_text), "%s", status->text);
    snprintf(t->status_type, sizeof(t->status_type), "%s",
             status->event_type ? status->event_type : "");
    snprintf(t->status_id, sizeof(t->status_id), "%s",
             status->event_id ? status->event_id : "");
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static struct timespec deadline_of(int timeout_ms)
{
    int64_t ms = td_proc_now_ms() + timeout_ms;
    struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    return t;
}

/* Waits until *number, which the lock guards, is at least n. */
static bool wait_number(struct tally *t, const uint64_t *number, uint64_t n,
                        int timeout_ms)
{
    struct timespec deadline = deadline_of(timeout_ms);
    bool ok;

    pthread_mutex_lock(&t->lock);
    while (*number < n &&
           pthread_cond_timedwait(&t->changed, &t->lock, &deadline) == 0)
        ;
    ok = *number >= n;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

bool tally_wait(struct tally *t, uint64_t n, int timeout_ms)
{
    return wait_number(t, &t->count, n, timeout_ms);
}

bool tally_wait_status(struct tally *t, enum tidings_status_kind kind,
                       uint64_t n, int timeout_ms)
{
    return wait_number(t, &t->statuses[kind], n, timeout_ms);
}

struct tally tally_now(struct tally *t)
{
    struct tally copy;

    pthread_mutex_lock(&t->lock);
    copy = *t;
    pthread_mutex_unlock(&t->lock);
    return copy;
}

uint64_t tally_count(struct tally *t)
{
    uint64_t count;

    pthread_mutex_lock(&t->lock);
    count = t->count;
    pthread_mutex_unlock(&t->lock);
    return count;
}

static struct tally *tally_new(void)
{
    struct tally *t = calloc(1, sizeof(*t));
    pthread_condattr_t attr;

    assert_non_null(t);
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attr);
    pthread_condattr_destroy(&attr);
    return t;
}

static void tally_free(struct tally *t)
{
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- the fixture ---- */

int conf_setup(void **state)
{
    struct conf *c = calloc(1, sizeof(*c));

    if (!c)
        return -1;
    td_watchdog_set(conf_is_long() ? 0 : HANG_S);
    if (!conf_has_daemon())
        snprintf(frame.url, sizeof(frame.url), "inproc://conf-%u%s%s",
                 ++frame.tests, frame.has_data ? "?data=" : "",
                 frame.data.path);
    *state = c;
    return 0;
}

/* A session whose link was cut is there for a moment yet, and with it services
 * that the next test would find. */
static bool await_nobody(void)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_instances *list;
    bool any = true;
    tidings_bus *bus;

    if (tidings_open(&bus, frame.url, NULL))
        return false;
    while (any && td_proc_now_ms() < end &&
           !tidings_discover(&list, bus, NULL, CONF_MS)) {
        any = list->stale || list->len > 0;
        tidings_instances_free(list);
        conf_pause_us(500);
    }
    tidings_close(bus);
    return !any;
}

int conf_teardown(void **state)
{
    struct conf *c = *state;
    bool ok = true;

    if (conf_has_daemon())
        td_proc_signal(&frame.daemon.proc, SIGCONT);
    for (size_t i = 0; i < c->buses_len; i++)
        tidings_close(c->buses[i]);
    if (c->chaos) {
        td_chaos_stop(c->chaos);
        ok = await_nobody();
    }
    while (c->tallies) {
        struct tally *next = c->tallies->next;

        tally_free(c->tallies);
        c->tallies = next;
    }
    free(c);
    return ok ? 0 : -1;
}

const char *conf_url(void)
{
    return frame.url;
}

bool conf_has_daemon(void)
{
    return strcmp(frame.backend, "inproc") != 0;
}

bool conf_has_data(void)
{
    return frame.has_data;
}

struct td_daemon *conf_daemon(void)
{
    return &frame.daemon;
}

const char *conf_dead_url(char out[256])
{
    if (strcmp(frame.backend, "ipc") == 0)
        snprintf(out, 256, "ipc://%s/nobody", frame.folder);
    else
        snprintf(out, 256, "tcp://127.0.0.1:1");
    return out;
}

const char *conf_free_url(char out[256])
{
    if (strcmp(frame.backend, "ipc") == 0)
        snprintf(out, 256, "ipc://%s/peer", frame.folder);
    else
        snprintf(out, 256, "tcp://127.0.0.1:*");
    return out;
}

tidings_bus *conf_open_at(struct conf *c, const char *url,
                          const struct tidings_options *options)
{
    tidings_bus *bus = NULL;

    assert_true(c->buses_len < CONF_BUSES_MAX);
    assert_ok(tidings_open(&bus, url, options));
    c->buses[c->buses_len++] = bus;
    return bus;
}

tidings_bus *conf_open(struct conf *c, const struct tidings_options *options)
{
    tidings_bus *bus = conf_open_at(c, conf_url(), options);

    assert_ok(tidings_wait(bus, CONF_MS));
    return bus;
}

struct td_chaos *conf_chaos(struct conf *c)
{
    assert_null(c->chaos);
    c->chaos = td_chaos_start(conf_url());
    assert_non_null(c->chaos);
    return c->chaos;
}

void conf_forget(struct conf *c, tidings_bus *bus)
{
    size_t i = 0;

    while (c->buses[i] != bus)
        assert_true(++i < c->buses_len);
    c->buses[i] = c->buses[--c->buses_len];
}

struct tally *conf_tally(struct conf *c)
{
    struct tally *t = tally_new();

    t->next = c->tallies;
    c->tallies = t;
    return t;
}

struct tally *conf_subscribe(struct conf *c, tidings_bus *bus,
                             const char *pattern)
{
    struct tally *t = conf_tally(c);

    assert_ok(tidings_subscribe(NULL, bus, pattern, tally_event, t, NULL));
    return t;
}

/* ---- events ---- */

tidings_err conf_publish(tidings_bus *bus, const char *type, unsigned who,
                         uint64_t n)
{
    const uint64_t words[2] = {who, n};

    return tidings_publish(bus, type, words, sizeof(words));
}

tidings_err conf_publish_many(tidings_bus *bus, const char *type, unsigned who,
                              uint64_t n)
{
    tidings_err err = TIDINGS_OK;

    for (uint64_t i = 1; i <= n && !err; i++)
        err = conf_publish(bus, type, who, i);
    return err;
}

/* ---- the rest ---- */

uint64_t conf_counter(tidings_bus *bus, const char *name)
{
    struct tidings_value map;
    uint64_t value = 0;
    void *bytes = NULL;
    size_t len = 0;

    assert_ok(tidings_stats(&bytes, &len, bus, CONF_MS));
    assert_ok(tidings_value_read(&map, bytes, len));
    assert_ok(tidings_get_uint(&value, map, name));
    tidings_free(bytes);
    return value;
}

uint32_t conf_random(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(*state) * below) >> 32);
}

void conf_pause_us(long us)
{
    const struct timespec t = {.tv_sec = us / 1000000,
                               .tv_nsec = us % 1000000 * 1000};

    nanosleep(&t, NULL);
}

int64_t conf_unix_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t conf_unix_ms(void)
{
    return conf_unix_us() / 1000;
}

int conf_in_child(int (*run)(void *arg), void *arg)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(CHILD_S);
        _exit(run(arg));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

bool conf_is_long(void)
{
    const char *asked = getenv("TIDINGS_LONG");

    return asked && *asked && strcmp(asked, "0") != 0;
}

/* ---- running ---- */

static const char *const *daemon_args(void)
{
    static const char *args[] = {"--data", NULL, NULL};

    args[1] = frame.data.path;
    return frame.has_data ? args : NULL;
}

void conf_restart(struct conf *c)
{
    if (!conf_has_daemon()) {
        while (c->buses_len > 0)
            tidings_close(c->buses[--c->buses_len]);
        return;
    }
    assert_true(td_proc_signal(&frame.daemon.proc, SIGKILL));
    assert_true(td_proc_wait(&frame.daemon.proc, CONF_MS));
    if (!td_daemon_restart(&frame.daemon, daemon_args()))
        fail_msg("%s", td_proc_errors(&frame.daemon.proc));
}

static bool start(const char *backend, bool has_data)
{
    char listen[128] = "tcp://127.0.0.1:*";

    frame.backend = backend;
    frame.has_data = has_data;
    if (has_data && !td_folder_new(&frame.data))
        return false;
    if (!conf_has_daemon())
        return true;
    if (strcmp(backend, "ipc") == 0) {
        snprintf(frame.folder, sizeof(frame.folder), "/tmp/td-conf-XXXXXX");
        if (!mkdtemp(frame.folder))
            return false;
        snprintf(listen, sizeof(listen), "ipc://%s/bus", frame.folder);
    }
    if (!td_daemon_start(&frame.daemon, listen, daemon_args())) {
        fprintf(stderr, "%s\n", td_proc_errors(&frame.daemon.proc));
        return false;
    }
    snprintf(frame.url, sizeof(frame.url), "%s", frame.daemon.endpoint[0]);
    return true;
}

/* libzmq leaves the sockets of listeners behind. */
static void remove_folder(void)
{
    static const char *const names[] = {"bus", "peer"};

    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++) {
        char path[sizeof(frame.folder) + 8];

        snprintf(path, sizeof(path), "%s/%s", frame.folder, names[i]);
        unlink(path);
    }
    rmdir(frame.folder);
}

/* The daemon ends in order, which the sanitizers' reports depend on. */
static int stop(void)
{
    int code = 0;

    if (conf_has_daemon()) {
        td_proc_signal(&frame.daemon.proc, SIGTERM);
        td_proc_wait(&frame.daemon.proc, CONF_MS);
        code = td_proc_exit_code(&frame.daemon.proc);
        if (code != 0)
            fprintf(stderr, "tidingsd ended with %d: %s\n", code,
                    td_proc_errors(&frame.daemon.proc));
        td_daemon_end(&frame.daemon);
    }
    if (*frame.folder)
        remove_folder();
    td_folder_remove(&frame.data);
    return code != 0;
}

typedef int suite(void);

static suite *const live[] = {
    conf_run_bus,         conf_run_handle,        conf_run_publish,
    conf_run_subscribe,   conf_run_handler,       conf_run_workers,
    conf_run_workers_end, conf_run_figures,       conf_run_loop,
    conf_run_end,         conf_run_fork,          conf_run_bounds,
    conf_run_peer,        conf_run_stress,        conf_run_confirm,
    conf_run_service,     conf_run_tasks,         conf_run_request,
    conf_run_resilience,  conf_run_request_async, conf_run_request_threads,
    conf_run_discover,    conf_run_service_ends,  conf_run_tasks_answer,
    conf_run_tasks_end,
};

/* With data or, as far as that goes, with streams in memory. */
static suite *const kept[] = {
    conf_run_stored,  conf_run_groups,     conf_run_policies, conf_run_settle,
    conf_run_fetch,   conf_run_fetch_ends, conf_run_dead,     conf_run_named,
    conf_run_newest,  conf_run_expect,     conf_run_lists,    conf_run_readers,
    conf_run_repeats, conf_run_retention,  conf_run_again,    conf_run_schedule,
    conf_run_expiry,  conf_run_race,       conf_run_hold,     conf_run_outage,
};

int main(int argc, char **argv)
{
    static const char *const backends[] = {
        "inproc", "ipc", "tcp", "inproc-data", "ipc-data", "tcp-data"};
    static const char *const names[] = {"inproc", "ipc", "tcp"};
    int failed = 0;
    size_t i = 0;

    while (argc > 1 && i < TD_ARRAY_LEN(backends) &&
           strcmp(argv[1], backends[i]) != 0)
        i++;
    if (argc < 2 || i == TD_ARRAY_LEN(backends)) {
        fprintf(stderr, "usage: %s inproc|ipc|tcp[-data] [TEST-PATTERN]\n",
                argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a test that hangs has its name there */
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    if (!start(names[i % 3], i >= 3))
        return 1;
    for (size_t s = 0; s < TD_ARRAY_LEN(live) && i < 3; s++)
        failed += live[s]();
    for (size_t s = 0; s < TD_ARRAY_LEN(kept); s++)
        failed += kept[s]();
    failed += stop();
    return failed ? 1 : 0;
}
