/* Advisories: the broker's own events, about sessions and queues (PROTOCOL.md
 * 7). */
#include "tests/system/system.h"

#include <signal.h>
#include <stdlib.h>

#include "tests/support/chaosproxy.h"

#define NEWS_MAX 256

/* An advisory, read. */
struct news {
    char type[64], name[64], reason[64], pattern[64], group[64];
    uint64_t session, subscription, pending, queued_bytes, events;
    bool away, resumed;
    bool whole; /* every field that its type has is there */
};

struct newspaper {
    pthread_mutex_t mutex;
    size_t len;
    struct news news[NEWS_MAX];
};

struct fixture {
    struct td_daemon broker;
    struct td_chaos *chaos;
    struct td_proc publisher;
    struct td_proc oldest, slow;
    struct sys_peer cut_off;
    struct sys_peer watcher;
    struct newspaper paper;
};

static int setup(void **state)
{
    static const char *const grace[] = {"--grace", "3", NULL};
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    *state = f;
    pthread_mutex_init(&f->paper.mutex, NULL);
    sys_broker_start(&f->broker, grace);
    sys_peer_open(&f->watcher, f->broker.endpoint[0], "watcher");
    f->chaos = td_chaos_start(f->broker.endpoint[0]);
    return f->chaos ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->publisher);
    td_proc_end(&f->oldest);
    td_proc_end(&f->slow);
    sys_peer_close(&f->cut_off);
    sys_peer_close(&f->watcher);
    td_chaos_stop(f->chaos);
    td_daemon_end(&f->broker);
    pthread_mutex_destroy(&f->paper.mutex);
    free(f);
    return 0;
}

static bool read_bool(bool *out, struct tidings_value map, const char *key)
{
    struct tidings_value value;

    return !tidings_get(&value, map, key) && !tidings_as_bool(out, value);
}

static bool read_queue(struct news *n, struct tidings_value map)
{
    return !tidings_get_uint(&n->subscription, map, "subscription") &&
           !tidings_get_string(n->pattern, 64, map, "pattern") &&
           !tidings_get_string(n->group, 64, map, "group") &&
           !tidings_get_uint(&n->pending, map, "pending") &&
           !tidings_get_uint(&n->queued_bytes, map, "queued_bytes");
}

static bool read_more(struct news *n, struct tidings_value map)
{
    const char *type = n->type + strlen("$tidings.");

    if (strcmp(type, "session.up") == 0)
        return read_bool(&n->resumed, map, "resumed");
    if (strcmp(type, "session.down") == 0)
        return read_bool(&n->away, map, "away") &&
               !tidings_get_string(n->reason, 64, map, "reason");
    if (strcmp(type, "slow") == 0)
        return read_queue(n, map);
    return strcmp(type, "drop") == 0 && read_queue(n, map) &&
           !tidings_get_string(n->reason, 64, map, "reason") &&
           !tidings_get_uint(&n->events, map, "events");
}

static tidings_err on_news(void *arg, const struct tidings_event *event)
{
    struct newspaper *p = arg;
    struct tidings_value map;
    struct news n = {0};

    snprintf(n.type, sizeof(n.type), "%s", event->type);
    n.whole = strcmp(event->source, "/tidingsd") == 0 &&
              !tidings_value_read(&map, event->data, event->data_len) &&
              !tidings_get_uint(&n.session, map, "session") &&
              !tidings_get_string(n.name, 64, map, "name") &&
              read_more(&n, map);
    pthread_mutex_lock(&p->mutex);
    if (p->len < NEWS_MAX)
        p->news[p->len++] = n;
    pthread_mutex_unlock(&p->mutex);
    return TIDINGS_OK;
}

struct wanted {
    struct fixture *f;
    const char *type;
    const char *name;
    bool (*is)(const struct news *n);
    struct news found;
};

static bool is_told(const struct sys_counters *c, const void *arg)
{
    struct wanted *w = (struct wanted *)(uintptr_t)arg;
    struct newspaper *p = &w->f->paper;
    bool found = false;

    (void)c;
    pthread_mutex_lock(&p->mutex);
    for (size_t i = 0; i < p->len && !found; i++) {
        found = strcmp(p->news[i].type, w->type) == 0 &&
                strcmp(p->news[i].name, w->name) == 0 &&
                (!w->is || w->is(&p->news[i]));
        if (found)
            w->found = p->news[i];
    }
    pthread_mutex_unlock(&p->mutex);
    return found;
}

static struct news expect_news(struct fixture *f, const char *type,
                               const char *about,
                               bool (*is)(const struct news *))
{
    struct wanted w = {.f = f, .type = type, .name = about, .is = is};

    sys_counters_until(f->watcher.bus, is_told, &w, SYS_WAIT_MS);
    assert_true(w.found.whole);
    assert_true(w.found.session > 0);
    return w.found;
}

static bool is_away(const struct news *n)
{
    return n->away;
}

static bool is_over(const struct news *n)
{
    return !n->away;
}

static bool is_resumed(const struct news *n)
{
    return n->resumed;
}

static void test_advisories_tell_of_sessions(void **state)
{
    const char *few[] = {"rate=100", NULL};
    struct fixture *f = *state;
    struct news up;
    struct news down;

    assert_ok(tidings_subscribe(NULL, f->watcher.bus, "$tidings.>", on_news,
                                &f->paper, NULL));
    sys_peer_open(&f->cut_off, td_chaos_url(f->chaos), "cut-off");
    sys_peer_subscribe(&f->cut_off, "load.>");
    up = expect_news(f, "$tidings.session.up", "cut-off", NULL);
    assert_false(up.resumed);

    /* That a link is lost is found when something is sent over it. */
    td_chaos_rules(f->chaos, &(struct td_chaos_rules){.refuse = true});
    td_chaos_cut(f->chaos);
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "load.x", few);
    assert_int_equal(
        expect_news(f, "$tidings.session.down", "cut-off", is_away).session,
        up.session);
    td_chaos_rules(f->chaos, &(struct td_chaos_rules){0});
    assert_int_equal(
        expect_news(f, "$tidings.session.up", "cut-off", is_resumed).session,
        up.session);
    sys_peer_close(&f->cut_off);
    down = expect_news(f, "$tidings.session.down", "cut-off", is_over);
    assert_int_equal(down.session, up.session);
    assert_true(down.reason[0] != '\0');
}

static void test_advisories_tell_of_slow_queues_and_drops(void **state)
{
    const char *slow[] = {"window_events=100", "queue_events=1000", NULL};
    const char *oldest[] = {"policy=drop_oldest", "window_events=100",
                            "queue_events=1000", NULL};
    struct fixture *f = *state;
    struct news n;

    assert_ok(tidings_subscribe(NULL, f->watcher.bus, "$tidings.>", on_news,
                                &f->paper, NULL));
    sys_worker(&f->oldest, f->broker.endpoint[0], "sub", "load.*", oldest);
    sys_worker(&f->slow, f->broker.endpoint[0], "sub", "load.>", slow);
    assert_true(td_proc_freeze(&f->oldest, SYS_WAIT_MS));
    assert_true(td_proc_freeze(&f->slow, SYS_WAIT_MS));
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "load.x", NULL);

    n = expect_news(f, "$tidings.slow", "load.>", NULL);
    assert_string_equal(n.pattern, "load.>");
    assert_string_equal(n.group, "");
    assert_true(n.subscription > 0);
    assert_true(n.pending > 500);
    assert_true(n.queued_bytes > 500);
    n = expect_news(f, "$tidings.drop", "load.*", NULL);
    assert_string_equal(n.pattern, "load.*");
    assert_string_equal(n.reason, "oldest");
    assert_true(n.events > 0);
    n = expect_news(f, "$tidings.drop", "load.>", NULL); /* after two seconds */
    assert_string_equal(n.reason, "slow");
    assert_true(n.events >= 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_advisories_tell_of_sessions),
        TEST(test_advisories_tell_of_slow_queues_and_drops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
