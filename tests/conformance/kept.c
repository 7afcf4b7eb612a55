#include "tests/conformance/kept.h"

#include <stdlib.h>
#include <time.h>

/* ---- streams ---- */

void kept_name(struct kept *k)
{
    static unsigned names;

    names++;
    snprintf(k->stream, sizeof(k->stream), "s%u", names);
    snprintf(k->pattern, sizeof(k->pattern), "kept%u.>", names);
    snprintf(k->type, sizeof(k->type), "kept%u.a", names);
}

struct tidings_stream_options kept_options(const struct kept *k,
                                           const char *patterns[1])
{
    patterns[0] = k->pattern;
    return (struct tidings_stream_options){
        .name = k->stream,
        .patterns = patterns,
        .patterns_len = 1,
        .storage = conf_has_data() ? TIDINGS_STORE_DISK : TIDINGS_STORE_MEMORY,
    };
}

void kept_add(struct kept *k, tidings_bus *bus)
{
    const char *patterns[1];
    struct tidings_stream_options options;

    kept_name(k);
    options = kept_options(k, patterns);
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
}

void kept_add_in(struct kept *k, tidings_bus *bus, enum tidings_storage storage,
                 bool keyed)
{
    const char *patterns[1];
    struct tidings_stream_options options;

    kept_name(k);
    options = kept_options(k, patterns);
    options.storage = storage;
    options.keyed = keyed;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
}

void kept_add_keyed(struct kept *k, tidings_bus *bus)
{
    kept_add_in(k, bus,
                conf_has_data() ? TIDINGS_STORE_DISK : TIDINGS_STORE_MEMORY,
                true);
}

void kept_in_each_storage(struct conf *c,
                          void (*check)(struct conf *c,
                                        enum tidings_storage storage))
{
    check(c, TIDINGS_STORE_MEMORY);
    if (conf_has_data())
        check(c, TIDINGS_STORE_DISK);
}

tidings_bus *kept_open(struct conf *c)
{
    const struct tidings_options options = {
        .confirm = conf_has_data() ? TIDINGS_DISK : TIDINGS_MEMORY};

    return conf_open(c, &options);
}

void kept_publish(const struct kept *k, tidings_bus *bus, uint64_t first,
                  uint64_t count)
{
    for (uint64_t n = first; n < first + count; n++)
        assert_ok(tidings_publish(bus, k->type, &n, sizeof(n)));
    assert_ok(tidings_flush(bus, CONF_MS));
}

tidings_sub *kept_pull(tidings_bus *bus, const struct kept *k,
                       const char *group)
{
    const struct tidings_sub_options o = {
        .stream = k->stream,
        .group = group,
        .pull = true,
        .start = {.kind = TIDINGS_START_ALL},
    };
    tidings_sub *sub;

    assert_ok(tidings_subscribe(&sub, bus, ">", NULL, NULL, &o));
    return sub;
}

void kept_publish_key(const struct kept *k, tidings_bus *bus, const char *key,
                      uint64_t n)
{
    const struct tidings_attr attr = {
        .name = "partitionkey", .kind = TIDINGS_ATTR_STRING, .string = key};
    const struct tidings_event event = {.type = k->type,
                                        .data = &n,
                                        .data_len = sizeof(n),
                                        .attrs = &attr,
                                        .attrs_len = 1};

    assert_ok(tidings_publish_event(bus, &event));
}

/* ---- hands ---- */

static struct hand *hands[CONF_BUSES_MAX];
static size_t hands_len;

struct hand *hand_new(struct conf *c)
{
    struct hand *h = calloc(1, sizeof(*h));
    pthread_condattr_t attr;

    (void)c;
    assert_non_null(h);
    assert_true(hands_len < CONF_BUSES_MAX);
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &attr);
    pthread_condattr_destroy(&attr);
    hands[hands_len++] = h;
    return h;
}

void hand_free(struct hand *h)
{
    size_t i = 0;

    while (hands[i] != h)
        i++;
    hands[i] = hands[--hands_len];
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

int hand_teardown(void **state)
{
    int code;

    for (size_t i = 0; i < hands_len; i++)
        hand_open(hands[i], true);
    code = conf_teardown(state);
    while (hands_len > 0)
        hand_free(hands[0]);
    return code;
}

tidings_err hand_take(void *arg, const struct tidings_event *event)
{
    struct hand *h = arg;
    struct hand_call call = {.ms = td_proc_now_ms()};
    struct tidings_delivery d = {0};
    bool known = tidings_delivery(&d, event) == TIDINGS_OK;

    if (event->data_len == sizeof(call.n))
        memcpy(&call.n, event->data, sizeof(call.n));
    call.sequence = d.sequence;
    call.deliveries = d.deliveries;
    pthread_mutex_lock(&h->lock);
    h->last = d;
    h->undelivered |= !known;
    if (h->count < KEPT_CALLS_MAX)
        h->calls[h->count] = call;
    h->count++;
    pthread_cond_broadcast(&h->changed);
    while (h->closed)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return h->answer ? h->answer(h, &call) : h->err;
}

void hand_gap(void *arg, const struct tidings_gap *gap)
{
    struct hand *h = arg;

    pthread_mutex_lock(&h->lock);
    h->missed += gap->missed;
    if (h->missed_first == 0 || gap->first < h->missed_first)
        h->missed_first = gap->first;
    if (gap->last > h->missed_last)
        h->missed_last = gap->last;
    snprintf(h->reason, sizeof(h->reason), "%s", gap->reason);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

tidings_sub *hand_join(struct hand *h, tidings_bus *bus, const struct kept *k,
                       const char *group,
                       const struct tidings_sub_options *options)
{
    struct tidings_sub_options o = {0};
    tidings_sub *sub;

    if (options)
        o = *options;
    o.stream = k->stream;
    o.group = group;
    o.on_gap = hand_gap;
    assert_ok(tidings_subscribe(&sub, bus, ">", hand_take, h, &o));
    return sub;
}

void hand_open(struct hand *h, bool open)
{
    pthread_mutex_lock(&h->lock);
    h->closed = !open;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static bool wait_number(struct hand *h, const uint64_t *number, uint64_t n,
                        int timeout_ms)
{
    int64_t ms = td_proc_now_ms() + timeout_ms;
    const struct timespec end = {.tv_sec = (time_t)(ms / 1000),
                                 .tv_nsec = (long)(ms % 1000) * 1000000};
    bool ok;

    pthread_mutex_lock(&h->lock);
    while (*number < n &&
           pthread_cond_timedwait(&h->changed, &h->lock, &end) == 0)
        ;
    ok = *number >= n;
    pthread_mutex_unlock(&h->lock);
    return ok;
}

bool hand_wait(struct hand *h, uint64_t calls, int timeout_ms)
{
    return wait_number(h, &h->count, calls, timeout_ms);
}

bool hand_wait_missed(struct hand *h, uint64_t missed, int timeout_ms)
{
    return wait_number(h, &h->missed, missed, timeout_ms);
}

uint64_t hand_count(struct hand *h)
{
    uint64_t count;

    pthread_mutex_lock(&h->lock);
    count = h->count;
    pthread_mutex_unlock(&h->lock);
    return count;
}

struct hand_call hand_call(struct hand *h, uint64_t i)
{
    struct hand_call call = {0};

    pthread_mutex_lock(&h->lock);
    if (i < h->count && i < KEPT_CALLS_MAX)
        call = h->calls[i];
    pthread_mutex_unlock(&h->lock);
    return call;
}

struct tidings_delivery hand_last(struct hand *h)
{
    struct tidings_delivery d;

    pthread_mutex_lock(&h->lock);
    d = h->last;
    pthread_mutex_unlock(&h->lock);
    return d;
}

bool hand_saw_just(struct hand *h, uint64_t first, uint64_t count)
{
    if (hand_count(h) != count)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (hand_call(h, i).n != first + i)
            return false;
    }
    return !h->undelivered;
}
