/* Publishing a list as a whole, and under a condition: a batch of its own. */
#include "client/api.h"
#include "client/detail.h"
#include "client/handle.h"

#include <stdio.h>
#include <stdlib.h>

/* What is to be published; attrs belong to the packings. */
struct list {
    struct td_packing *packings;
    struct td_buf *attrs;
    size_t len;
    struct td_apart apart;
};

static void list_fini(struct list *l)
{
    for (size_t i = 0; l->attrs && i < l->len; i++)
        td_buf_fini(&l->attrs[i]);
    free(l->attrs);
    free(l->packings);
}

static tidings_err read_due(struct td_due_option *out,
                            const struct tidings_publish_options *options)
{
    if (!options->at_ms && !options->after_ms)
        return TIDINGS_OK;
    if ((options->at_ms && options->after_ms) || options->expects ||
        options->expects_key)
        return td_fail(TIDINGS_EINVAL,
                       "at_ms, after_ms and expects exclude one another");
    if (options->at_ms < 0 || options->at_ms > TD_DUE_MS_MAX ||
        options->after_ms > TD_DUE_MS_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "at_ms and after_ms: from 1970 to the year 9999");
    out->name = options->at_ms ? "at_ms" : "after_ms";
    out->ms = options->at_ms ? (uint64_t)options->at_ms : options->after_ms;
    return TIDINGS_OK;
}

/* Which event of the list it is, before what is wrong with it. */
static tidings_err fail_at(tidings_err err, size_t i)
{
    char why[256];

    snprintf(why, sizeof(why), "%s", tidings_detail());
    return td_fail(err, "event %zu: %s", i, why);
}

static tidings_err list_init(struct list *l, const struct tidings_event *events,
                             size_t len,
                             const struct tidings_publish_options *options)
{
    tidings_err err = TIDINGS_OK;

    l->packings = calloc(len, sizeof(*l->packings));
    l->attrs = calloc(len, sizeof(*l->attrs));
    l->len = len;
    if (!l->packings || !l->attrs)
        return TIDINGS_ENOMEM;
    if (options) {
        if (options->expects && options->expects_key)
            return td_fail(TIDINGS_EINVAL, "expects or expects_key, not both");
        if (options->expected > INT64_MAX)
            return td_fail(TIDINGS_EINVAL,
                           "an expected sequence is below 2^63");
        l->apart.expects = options->expects || options->expects_key;
        l->apart.expected = options->expected;
        l->apart.of_key = options->expects_key;
        err = read_due(&l->apart.due, options);
    }
    for (size_t i = 0; i < len && !err; i++) {
        err = td_prepare(&l->packings[i], &l->attrs[i], &events[i], options);
        if (err)
            err = fail_at(err, i);
    }
    for (size_t i = 1; i < len; i++)
        l->packings[i].sequence = 0; /* the next */
    return err;
}

/* All at one time, unless they say another; a condition needs an answer. */
static void complete(struct td_bus *b, struct list *l)
{
    int64_t now_us = td_unix_us();

    for (size_t i = 0; i < l->len; i++) {
        struct td_packing *p = &l->packings[i];

        p->level = td_level_of(b, p);
        if (!p->level)
            p->level = TIDINGS_DISK;
        if (!p->time_us)
            p->time_us = now_us;
    }
}

/* With the bus's lock. */
static tidings_err pack(struct td_bus *b, const struct list *l)
{
    tidings_err err = TIDINGS_ECLOSED;

    td_client_pump(&b->client);
    pthread_mutex_lock(b->packer);
    if (!b->packing_over)
        err = td_may_pack(b, l->packings[0].sequence);
    if (!err)
        err = td_client_pack_apart(&b->client, l->packings, l->len, &l->apart);
    pthread_mutex_unlock(b->packer);
    return err;
}

static tidings_err publish(struct td_bus *b, struct list *l)
{
    int64_t deadline = td_now_ms() + b->publish_timeout_ms;
    tidings_err err;

    complete(b, l);
    err = pack(b, l);
    while (err == TIDINGS_EFULL && td_bus_wait_room(b, deadline))
        err = pack(b, l);
    td_client_pump(&b->client);
    td_bus_touched(b);
    if (err == TIDINGS_EFULL || err == TIDINGS_ECLOSED)
        return td_is_full(b);
    if (err == TIDINGS_ELIMIT)
        return td_fail(err, "%zu events are too much to be stored as a whole",
                       l->len);
    return err;
}

tidings_err tidings_publish_all(tidings_bus *bus,
                                const struct tidings_event *events, size_t len,
                                const struct tidings_publish_options *options)
{
    struct list l = {0};
    struct td_bus *b;
    tidings_err err;

    if (!events || len == 0 || len > TIDINGS_LIST_MAX)
        return td_fail(TIDINGS_EINVAL, "%zu events; 1 to %d", len,
                       TIDINGS_LIST_MAX);
    err = list_init(&l, events, len, options);
    b = err ? NULL : td_enter(bus, &err);
    if (b && l.packings[0].sequence > 0 && !*b->producer)
        err = td_fail(TIDINGS_EINVAL, "sequence is of a bus with a producer");
    else if (b)
        err = publish(b, &l);
    if (b)
        td_exit(b);
    list_fini(&l);
    return err;
}
