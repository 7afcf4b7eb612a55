/* A bus inside a shared library that the host loads and unloads: nothing of
 * ours is left behind, however often. */
#include "tests/embed/plugin.h"

#include <dlfcn.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS   50
#define EVENTS   100
#define THREADS  1000 / HOST_SLOW
#define BATCH    20 /* of them at a time */
#define LEFT_KIB 96 /* growth that is no leak: a detail each were 500 KiB */

struct loaded {
    void *library;
    const struct embed_plugin *plugin;
    struct host_seen seen;
};

static void load(struct loaded *l, const char *path)
{
    memset(l, 0, sizeof(*l));
    l->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!l->library)
        fail_msg("%s", dlerror());
    l->plugin = dlsym(l->library, "embed_plugin");
    assert_non_null(l->plugin);
}

static void unload(struct loaded *l)
{
    l->plugin = NULL;
    assert_int_equal(dlclose(l->library), 0);
}

static bool is_tidings_loaded(void)
{
    void *library = dlopen(EMBED_LIBRARY, RTLD_NOW | RTLD_NOLOAD);

    if (library)
        dlclose(library);
    return library;
}

static void publish_some(struct loaded *from, uint64_t sender)
{
    for (uint64_t n = 1; n <= EVENTS; n++)
        assert_ok(from->plugin->publish(sender, n));
}

/* The thread sanitizer cannot do without a library that its suppressions name
 * once it has seen it. */
static int setup(void **state)
{
#if defined(__SANITIZE_THREAD__)
    if (!dlopen("libzmq.so.5", RTLD_NOW | RTLD_NODELETE)) {
        print_error("%s\n", dlerror());
        return -1;
    }
#endif
    (void)state;
    return 0;
}

/* ---- one ---- */

static void round_of(const char *url)
{
    struct loaded l;

    load(&l, EMBED_PLUGIN_A);
    assert_ok(l.plugin->open(url, host_on_event, &l.seen));
    publish_some(&l, 0);
    assert_true(host_wait_events(&l.seen, EVENTS));
    assert_int_equal(atomic_load(&l.seen.wrong), 0);
    assert_ok(l.plugin->close());
    unload(&l);
    assert_false(is_tidings_loaded());
}

static void check_rounds(const char *url)
{
    struct host_use before;

    round_of(url); /* what libraries below us keep, they keep from here on */
    before = host_use_now();
    for (int i = 0; i < ROUNDS; i++) {
        round_of(url);
        host_expect_use(before);
    }
}

static void test_library_is_unloaded_without_a_trace(void **state)
{
    (void)state;
    check_rounds("inproc://unload");
}

static void test_library_is_unloaded_after_a_link_to_a_broker(void **state)
{
    struct td_daemon broker = {.listening = 0};

    (void)state;
    host_broker_start(&broker);
    check_rounds(broker.endpoint[0]);
    td_daemon_end(&broker);
}

/* What the library asked to be told of forks is not called any more. */
static void test_fork_after_unloading(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    round_of("inproc://fork");
    pid = fork();
    if (pid == 0)
        _exit(is_tidings_loaded() ? 1 : 0);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- two ---- */

static void test_two_libraries_share_a_name(void **state)
{
    struct host_use before = host_use_now();
    struct loaded a;
    struct loaded b;

    (void)state;
    load(&a, EMBED_PLUGIN_A);
    load(&b, EMBED_PLUGIN_B);
    assert_ok(a.plugin->open("inproc://both", host_on_event, &a.seen));
    assert_ok(b.plugin->open("inproc://both", host_on_event, &b.seen));
    publish_some(&a, 0);
    publish_some(&b, 1);
    assert_true(host_wait_events(&a.seen, 2 * EVENTS));
    assert_true(host_wait_events(&b.seen, 2 * EVENTS));
    assert_int_equal(atomic_load(&a.seen.wrong), 0);

    assert_ok(a.plugin->close()); /* one goes, the other stays */
    unload(&a);
    assert_true(is_tidings_loaded());
    publish_some(&b, 2);
    assert_true(host_wait_events(&b.seen, 3 * EVENTS));

    load(&a, EMBED_PLUGIN_A); /* and it comes back */
    assert_ok(a.plugin->open("inproc://both", host_on_event, &a.seen));
    publish_some(&b, 3);
    assert_true(host_wait_events(&a.seen, EVENTS));
    assert_true(host_wait_events(&b.seen, 4 * EVENTS));
    assert_int_equal(atomic_load(&a.seen.wrong), 0);
    assert_int_equal(atomic_load(&b.seen.wrong), 0);

    assert_ok(b.plugin->close());
    unload(&b);
    assert_ok(a.plugin->close());
    unload(&a);
    assert_false(is_tidings_loaded());
    host_expect_use(before);
}

/* ---- what a thread leaves ---- */

static void *fail_once(void *arg)
{
    const struct embed_plugin *plugin = arg;

    return plugin->is_refused() ? arg : NULL;
}

static unsigned fail_on_threads(const struct embed_plugin *plugin, unsigned n)
{
    pthread_t threads[BATCH];
    unsigned failed = 0;

    for (unsigned i = 0; i < n; i += BATCH) {
        for (unsigned k = 0; k < BATCH; k++)
            assert_int_equal(pthread_create(&threads[k], NULL, fail_once,
                                            (void *)(uintptr_t)plugin),
                             0);
        for (unsigned k = 0; k < BATCH; k++) {
            void *answer;

            pthread_join(threads[k], &answer);
            failed += answer != NULL;
        }
    }
    return failed;
}

/* In a library that was loaded late, a thread's own memory is allocated. */
static void test_a_threads_detail_is_freed_with_it(void **state)
{
    struct loaded l;
    size_t before;
    size_t after;

    (void)state;
    load(&l, EMBED_PLUGIN_A);
    assert_int_equal(fail_on_threads(l.plugin, BATCH), BATCH);
    before = mallinfo2().uordblks;
    assert_int_equal(fail_on_threads(l.plugin, THREADS),
                     (THREADS + BATCH - 1) / BATCH * BATCH);
    after = mallinfo2().uordblks; /* 0 under a sanitizer, which looks itself */
    if (after > before + LEFT_KIB * 1024)
        fail_msg("%zu bytes are left of %d threads", after - before, THREADS);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library_is_unloaded_without_a_trace),
        cmocka_unit_test(test_library_is_unloaded_after_a_link_to_a_broker),
        cmocka_unit_test(test_fork_after_unloading),
        cmocka_unit_test(test_two_libraries_share_a_name),
        cmocka_unit_test(test_a_threads_detail_is_freed_with_it),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
