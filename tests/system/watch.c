#include "tests/system/watch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define ID_BYTES       40 /* 26 digits, '-', 13 digits: PROTOCOL.md 5 */
#define PRODUCER_BYTES 26

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void watch_init(struct watch *w)
{
    pthread_condattr_t monotonic;

    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void watch_fini(struct watch *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
}

/* ---- recording ---- */

/* 13 digits of Crockford's base 32; 0, which is no sequence, if they are not. */
static uint64_t sequence_of(const char *digits)
{
    static const char set[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t sequence = 0;

    for (int i = 0; i < 13; i++) {
        const char *digit = strchr(set, digits[i]);

        if (!digit || !*digit)
            return 0;
        sequence = sequence << 5 | (uint64_t)(digit - set);
    }
    return sequence;
}

static struct watch_producer *producer_of(struct watch *w, const char *id)
{
    for (size_t i = 0; i < w->producers_len; i++) {
        if (memcmp(w->producers[i].name, id, PRODUCER_BYTES) == 0)
            return &w->producers[i];
    }
    if (w->producers_len == WATCH_PRODUCERS_MAX)
        return NULL;

    struct watch_producer *p = &w->producers[w->producers_len++];

    memset(p, 0, sizeof(*p));
    memcpy(p->name, id, PRODUCER_BYTES);
    p->fresh = true;
    return p;
}

static void record(struct watch *w, const struct tidings_event *event)
{
    struct watch_producer *p = NULL;
    uint64_t sequence = 0;
    uint64_t number = 0;

    if (strlen(event->id) == ID_BYTES)
        sequence = sequence_of(event->id + PRODUCER_BYTES + 1);
    if (sequence > 0)
        p = producer_of(w, event->id);
    if (event->data_len >= sizeof(number))
        memcpy(&number, event->data, sizeof(number));
    if (!p || number != sequence) {
        w->wrong++;
        return;
    }

    if (p->fresh)
        p->first = sequence;
    else if (sequence <= p->last)
        w->backwards++;
    else if (!p->rejoin)
        w->holes += sequence - p->last - 1;
    w->again += sequence <= p->highest;
    if (sequence > p->highest)
        p->highest = sequence;
    p->last = sequence;
    p->fresh = p->rejoin = false;
}

tidings_err watch_on_event(void *arg, const struct tidings_event *event)
{
    struct watch *w = arg;
    int64_t now = now_ms();

    pthread_mutex_lock(&w->mutex);
    record(w, event);
    if (w->last_ms > 0 && now - w->last_ms > w->longest_ms)
        w->longest_ms = now - w->last_ms;
    w->last_ms = now;
    w->events++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    return TIDINGS_OK;
}

static void note_link(struct watch *w, bool other_broker)
{
    for (size_t i = 0; i < w->producers_len; i++) {
        w->producers[i].rejoin = true;
        w->producers[i].fresh |= other_broker;
    }
}

void watch_on_status(void *arg, const struct tidings_status *status)
{
    struct watch *w = arg;

    pthread_mutex_lock(&w->mutex);
    switch (status->kind) {
    case TIDINGS_UP:
        w->up++;
        note_link(w, false);
        break;
    case TIDINGS_DOWN:
        w->down++;
        w->down_err = status->err;
        break;
    case TIDINGS_NEW_EPOCH:
        w->new_epoch++;
        note_link(w, true);
        break;
    case TIDINGS_NEW_SESSION:
        w->new_session++;
        note_link(w, true);
        break;
    case TIDINGS_GAP:
        w->gaps++;
        w->missed += status->count;
        break;
    case TIDINGS_REFUSED:
        w->refused++;
        break;
    case TIDINGS_HANDLER_FAILED:
        w->handler_failed++;
        break;
    case TIDINGS_BAD_EVENT:
        w->bad_events++;
        break;
    case TIDINGS_HANDLER_LATE:
    case TIDINGS_STALE:
    case TIDINGS_UNSTORED:
    case TIDINGS_FENCED:
    case TIDINGS_GROUP_FULL:
        break; /* no worker asks for it */
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);

    if (w->on_status)
        w->on_status(w->on_status_arg, status);
}

/* ---- looking and waiting ---- */

void watch_mark(struct watch *w)
{
    pthread_mutex_lock(&w->mutex);
    w->last_ms = now_ms();
    w->longest_ms = 0;
    pthread_mutex_unlock(&w->mutex);
}

struct watch watch_now(struct watch *w)
{
    struct watch copy;

    pthread_mutex_lock(&w->mutex);
    copy = *w;
    pthread_mutex_unlock(&w->mutex);
    return copy;
}

const struct watch_producer *watch_find(const struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->producers_len; i++) {
        if (strcmp(w->producers[i].name, name) == 0)
            return &w->producers[i];
    }
    return NULL;
}

bool watch_until(struct watch *w, bool (*is)(const struct watch *, void *arg),
                 void *arg, int timeout_ms)
{
    struct timespec until;
    bool holds;
    int err = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }

    pthread_mutex_lock(&w->mutex);
    while (!(holds = is(w, arg)) && err != ETIMEDOUT)
        err = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
    pthread_mutex_unlock(&w->mutex);
    return holds;
}

static bool events_are(const struct watch *w, void *arg)
{
    return w->events >= *(uint64_t *)arg;
}

static bool ups_are(const struct watch *w, void *arg)
{
    return w->up >= *(uint64_t *)arg;
}

static bool downs_are(const struct watch *w, void *arg)
{
    return w->down >= *(uint64_t *)arg;
}

bool watch_until_events(struct watch *w, uint64_t at_least, int timeout_ms)
{
    return watch_until(w, events_are, &at_least, timeout_ms);
}

bool watch_until_up(struct watch *w, uint64_t at_least, int timeout_ms)
{
    return watch_until(w, ups_are, &at_least, timeout_ms);
}

bool watch_until_down(struct watch *w, uint64_t at_least, int timeout_ms)
{
    return watch_until(w, downs_are, &at_least, timeout_ms);
}
