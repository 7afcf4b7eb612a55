#include "tests/system/confirmed.h"

#include <poll.h>
#include <stdlib.h>

#define BURST       200
#define LARGE_BURST 20
#define LARGE_BYTES 3000
#define FLUSH_MS    60000 /* brokers come and go meanwhile */
#define READ_MS     60000

/* ---- publishing ---- */

struct word {
    uint64_t publisher;
    uint64_t number;
};

/* The callback's argument: which event of whom. Events lie in an array, so the
 * publisher is found by its address. */
static struct confirmed *all[CONFIRMED_PUBLISHERS];

static struct confirmed *owner_of(const struct confirmed_event *event)
{
    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++) {
        if (all[i] && event >= all[i]->events &&
            event <= all[i]->events + CONFIRMED_EVENTS_MAX)
            return all[i];
    }
    return NULL;
}

static enum tidings_level level_of(const struct confirmed *p)
{
    return p->style == CONFIRMED_OS ? TIDINGS_OS : TIDINGS_DISK;
}

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct confirmed_event *event = arg;
    struct confirmed *p = owner_of(event);

    if (confirm->err || confirm->level < level_of(p) || event->calls > 0) {
        if (atomic_fetch_add(&p->bad, 1) == 0)
            snprintf(p->first_bad, sizeof(p->first_bad),
                     "event %zu: %s, level %d, call %u",
                     (size_t)(event - p->events),
                     tidings_err_name(confirm->err), (int)confirm->level,
                     event->calls + 1u);
        return;
    }
    event->sequence = (uint32_t)confirm->sequence;
    event->calls++;
    atomic_fetch_add(&p->confirmed, 1);
}

/* False: it must rest. */
static bool publish_next(struct confirmed *p)
{
    static const char padding[LARGE_BYTES];
    char data[sizeof(struct word) + sizeof(padding)] = {0};
    const struct word word = {p->number, atomic_load(&p->published) + 1};
    const struct tidings_event event = {
        .type = p->type,
        .data = data,
        .data_len =
            sizeof(word) + (p->style == CONFIRMED_LARGE ? LARGE_BYTES : 0),
    };
    const struct tidings_publish_options options = {
        .level = level_of(p),
        .on_confirm = on_confirm,
        .arg = &p->events[word.number],
    };
    tidings_err err;

    if (word.number > CONFIRMED_EVENTS_MAX)
        return false;
    memcpy(data, &word, sizeof(word));
    err = tidings_publish_with(p->bus, &event, &options);
    if (!err)
        atomic_store(&p->published, word.number);
    else if (err != TIDINGS_EFULL) /* which is tried again */
        atomic_fetch_add(&p->failed, 1);
    return !err;
}

static void *publish(void *arg)
{
    struct confirmed *p = arg;

    static const int bursts[] = {[CONFIRMED_BURSTS] = BURST,
                                 [CONFIRMED_ONE_BY_ONE] = 1,
                                 [CONFIRMED_LARGE] = LARGE_BURST,
                                 [CONFIRMED_OS] = BURST};

    while (!atomic_load(&p->stop)) {
        for (int i = 0; i < bursts[p->style] && publish_next(p); i++)
            ;
        if (p->style != CONFIRMED_ONE_BY_ONE)
            poll(NULL, 0, p->pause_ms);
        else if (tidings_flush(p->bus, FLUSH_MS))
            atomic_fetch_add(&p->failed, 1);
    }
    return NULL;
}

void confirmed_start(struct confirmed *p, const char *url, const char *type,
                     unsigned number, int pause_ms)
{
    const struct tidings_options options = {.publish_timeout_ms = 100};

    assert_true(number < CONFIRMED_PUBLISHERS);
    p->type = type;
    p->number = number;
    p->style = (enum confirmed_style)number;
    p->pause_ms = pause_ms;
    p->events = calloc(CONFIRMED_EVENTS_MAX + 1, sizeof(*p->events));
    assert_non_null(p->events);
    all[number] = p;
    assert_ok(tidings_open(&p->bus, url, &options));
    assert_int_equal(pthread_create(&p->thread, NULL, publish, p), 0);
}

void confirmed_stop(struct confirmed *p)
{
    atomic_store(&p->stop, true);
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    assert_ok(tidings_flush(p->bus, FLUSH_MS));
    assert_ok(tidings_close(p->bus)); /* after the last callback */
    p->bus = NULL;
    if (p->bad || p->failed || p->confirmed != p->published)
        fail_msg("publisher %u: %u bad confirms (%s), %u bad calls, %llu of "
                 "%llu events confirmed",
                 p->number, p->bad, p->first_bad, p->failed, p->confirmed,
                 p->published);
}

void confirmed_end(struct confirmed *p)
{
    if (p->bus) {
        atomic_store(&p->stop, true);
        pthread_join(p->thread, NULL);
        tidings_close(p->bus);
        p->bus = NULL;
    }
    if (p->events)
        all[p->number] = NULL;
    free(p->events);
    p->events = NULL;
}

/* ---- reading it back ---- */

struct history {
    struct confirmed *publishers;
    size_t len;
    uint64_t last[CONFIRMED_PUBLISHERS];
    uint64_t sequence;
    uint64_t holes, again, disorder, moved, foreign;
    atomic_ullong events;
};

static tidings_err read_event(void *arg, const struct tidings_event *event)
{
    struct history *h = arg;
    struct tidings_delivery d = {0};
    struct confirmed_event *known;
    struct word word = {0};

    if (event->data_len >= sizeof(word))
        memcpy(&word, event->data, sizeof(word));
    if (tidings_delivery(&d, event) || word.publisher >= h->len ||
        word.number == 0 ||
        word.number > h->publishers[word.publisher].published) {
        h->foreign++;
    } else {
        known = &h->publishers[word.publisher].events[word.number];
        h->again += known->seen++ > 0;
        h->disorder += word.number <= h->last[word.publisher];
        h->holes += word.number > h->last[word.publisher] + 1;
        h->last[word.publisher] = word.number;
        h->moved += d.sequence != h->sequence + 1 ||
                    (known->sequence && known->sequence != d.sequence);
    }
    h->sequence = d.sequence;
    atomic_fetch_add(&h->events, 1);
    return TIDINGS_OK;
}

uint64_t confirmed_check(tidings_bus *bus, const char *stream,
                         struct confirmed *publishers, size_t len)
{
    const struct tidings_sub_options options = {
        .stream = stream, .start = {.kind = TIDINGS_START_ALL}};
    struct history h = {.publishers = publishers, .len = len};
    uint64_t last = operate_stream_figure(bus, stream, "last");
    int64_t end = td_proc_now_ms() + READ_MS;
    uint64_t published = 0;
    tidings_sub *sub;

    for (size_t i = 0; i < len; i++)
        published += publishers[i].published;
    assert_ok(tidings_subscribe(&sub, bus, ">", read_event, &h, &options));
    while (atomic_load(&h.events) < last && td_proc_now_ms() < end)
        poll(NULL, 0, 2);
    assert_ok(tidings_unsubscribe(sub, SYS_WAIT_MS));
    if (h.events != published || last != published || h.holes || h.again ||
        h.disorder || h.moved || h.foreign)
        fail_msg("published %llu, in the stream %llu, read %llu: %llu holes, "
                 "%llu twice, %llu out of order, %llu under another sequence, "
                 "%llu foreign",
                 (unsigned long long)published, (unsigned long long)last,
                 (unsigned long long)h.events, (unsigned long long)h.holes,
                 (unsigned long long)h.again, (unsigned long long)h.disorder,
                 (unsigned long long)h.moved, (unsigned long long)h.foreign);
    return published;
}
