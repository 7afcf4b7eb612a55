#include "tests/embed/host.h"

#include <dirent.h>
#include <poll.h>

#define LOOK_MS 1 /* between looks at what nobody tells of */

static unsigned entries(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* A sanitizer starts a thread of its own with the first that we start. */
static void start_first_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

struct host_use host_use_now(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_first_thread);
    return (struct host_use){.threads = entries("/proc/self/task"),
                             .descriptors = entries("/proc/self/fd")};
}

void host_expect_use(struct host_use before)
{
    int64_t deadline_ms = td_proc_now_ms() + HOST_MS;
    struct host_use now;

    while (now = host_use_now(), now.threads > before.threads ||
                                     now.descriptors > before.descriptors) {
        if (td_proc_now_ms() > deadline_ms)
            fail_msg("%u threads and %u descriptors; before %u and %u",
                     now.threads, now.descriptors, before.threads,
                     before.descriptors);
        poll(NULL, 0, LOOK_MS);
    }
}

/* Handlers of one bus run one at a time, so load and store are enough. */
tidings_err host_on_event(void *arg, const struct tidings_event *event)
{
    struct host_seen *seen = arg;
    struct host_number number = {.sender = HOST_SENDERS_MAX};

    if (event->data_len == sizeof(number))
        memcpy(&number, event->data, sizeof(number));
    if (number.sender >= HOST_SENDERS_MAX)
        atomic_fetch_add(&seen->wrong, 1);
    else if (atomic_exchange(&seen->last[number.sender], number.n) + 1 !=
             number.n)
        atomic_fetch_add(&seen->wrong, 1);
    atomic_fetch_add(&seen->events, 1);
    return TIDINGS_OK;
}

bool host_wait_events(struct host_seen *seen, uint64_t n)
{
    int64_t deadline_ms = td_proc_now_ms() + HOST_MS;

    while (atomic_load(&seen->events) < n) {
        if (td_proc_now_ms() > deadline_ms)
            return false;
        poll(NULL, 0, LOOK_MS);
    }
    return true;
}

void host_broker_start(struct td_daemon *d)
{
    if (!td_daemon_start(d, "tcp://127.0.0.1:*", NULL))
        fail_msg("tidingsd did not start: %s", td_proc_errors(&d->proc));
}
