#include "client/bus.h"

#include "client/asked.h"
#include "client/detail.h"
#include "client/handle.h"
#include "proto/utf8.h"
#include "client/workers.h"
#include "proto/id.h"
#include "proto/type.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include <utlist.h>

static int or_default(int value, int fallback)
{
    return value == 0 ? fallback : value < 0 ? 0 : value;
}

static tidings_err check_text(const char *what, const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len > max)
        return td_fail(TIDINGS_EINVAL, "%s of %zu bytes; at most %zu", what,
                       len, max);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return td_fail(TIDINGS_EINVAL,
                           "%s holds a space or control character", what);
    }
    if (!td_utf8_valid(text))
        return td_fail(TIDINGS_EINVAL, "%s is not UTF-8", what);
    return TIDINGS_OK;
}

static tidings_err take_options(struct td_bus *b,
                                const struct tidings_options *o)
{
    const char *name = o->name ? o->name : "";
    const char *source = o->source ? o->source : "";
    const char *producer = o->producer ? o->producer : "";
    tidings_err err = check_text("name", name, TD_NAME_BYTES_MAX);

    if (!err)
        err = check_text("source", source, TD_SOURCE_BYTES_MAX);
    if (err)
        return err;
    if (o->publish_timeout_ms > TIDINGS_TIMEOUT_MAX_MS ||
        o->close_timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "a timeout is longer than a day");
    if (o->unconfirmed_bytes && o->unconfirmed_bytes < (2u << 20))
        return td_fail(TIDINGS_EINVAL, "unconfirmed_bytes below 2 MiB");
    if (o->producer && !td_group_valid(producer, strlen(producer)))
        return td_fail(TIDINGS_EINVAL,
                       "producer \"%.70s\": a name is 1 to %u of "
                       "[A-Za-z0-9_.-]",
                       producer, TD_PRODUCER_NAME_BYTES_MAX);
    snprintf(b->name, sizeof(b->name), "%s", name);
    snprintf(b->producer, sizeof(b->producer), "%s", producer);
    if (*source)
        snprintf(b->source, sizeof(b->source), "%s", source);
    else
        snprintf(b->source, sizeof(b->source), "/%s", *name ? name : "tidings");
    if ((unsigned)o->confirm > TIDINGS_DISK)
        return td_fail(TIDINGS_EINVAL, "confirm is %d: no level",
                       (int)o->confirm);
    b->publish_timeout_ms = or_default(o->publish_timeout_ms, TD_PUBLISH_MS);
    b->close_timeout_ms = or_default(o->close_timeout_ms, TD_CLOSE_MS);
    b->confirm = *producer && !o->confirm ? TIDINGS_DISK : o->confirm;
    b->own_loop = o->own_loop;
    b->on_status = o->on_status;
    b->on_status_arg = o->on_status_arg;
    return TIDINGS_OK;
}

static tidings_err init_client(struct td_bus *b,
                               const struct tidings_options *o)
{
    struct td_client_options options = {
        .name = b->name,
        .source = b->source,
        .producer_name = b->producer,
        .unconfirmed_events = o->unconfirmed_events ? o->unconfirmed_events
                                                    : TD_UNCONFIRMED_EVENTS,
        .unconfirmed_bytes =
            o->unconfirmed_bytes ? o->unconfirmed_bytes : TD_UNCONFIRMED_BYTES,
        .port = td_bus_port(b),
    };
    uint8_t random[10 + sizeof(options.seed)];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return td_fail(TIDINGS_EIO, "no random numbers: %s", strerror(errno));
    if (*b->producer)
        td_producer_named(options.producer, td_str_of(b->producer));
    else
        td_producer_make(options.producer, (uint64_t)(td_unix_us() / 1000),
                         random);
    memcpy(&options.seed, random + 10, sizeof(options.seed));
    td_client_init(&b->client, &options, td_now_ms());
    return TIDINGS_OK;
}

static void init_conds(struct td_bus *b)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &attr);
    pthread_cond_init(&b->room, &attr);
    pthread_cond_init(&b->keeper, &attr);
    pthread_cond_init(&b->lender, &attr);
    pthread_condattr_destroy(&attr);
}

static tidings_err init_parts(struct td_bus *b, const char *url,
                              const struct tidings_options *o)
{
    tidings_err err;

    b->url = strdup(url);
    b->cursor = td_cursor_new();
    if (!b->url || !b->cursor)
        return TIDINGS_ENOMEM;
    b->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->wake_fd < 0)
        return td_fail(TIDINGS_EIO, "eventfd: %s", strerror(errno));
    if (b->own_loop) {
        b->dispatch_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (b->dispatch_fd < 0)
            return td_fail(TIDINGS_EIO, "eventfd: %s", strerror(errno));
    }
    err = init_client(b, o);
    if (err)
        return err;
    return b->backend->new (&b->link, url);
}

static void free_parts(struct td_bus *b)
{
    struct td_notice *n;

    while ((n = td_notices_pop(&b->notices)))
        td_notice_free(n);
    td_cursor_free(b->cursor);
    td_bus_services_fini(&b->services);
    td_discovery_fini(b);
    while (b->subs) {
        struct td_bus_sub *sub = b->subs;

        DL_DELETE(b->subs, sub);
        td_bus_sub_unref(sub);
    }
    if (b->link)
        b->backend->free(b->link);
    td_client_fini(&b->client);
    if (b->wake_fd >= 0)
        close(b->wake_fd);
    if (b->dispatch_fd >= 0)
        close(b->dispatch_fd);
    pthread_cond_destroy(&b->changed);
    pthread_cond_destroy(&b->room);
    pthread_cond_destroy(&b->keeper);
    pthread_cond_destroy(&b->lender);
    free(b->url);
    free(b);
}

static tidings_err start(struct td_bus *b)
{
    tidings_err err;

    pthread_mutex_lock(b->lock);
    err = td_bus_start(b);
    if (err)
        td_handle_free(b->handle); /* and the lock with it */
    else
        pthread_mutex_unlock(b->lock);
    return err;
}

tidings_err td_bus_new(struct td_bus **out, const char *url,
                       const struct tidings_options *options)
{
    const struct td_backend *backend = td_backend_of(url);
    struct td_locks *locks;
    struct td_bus *b;
    tidings_err err;

    if (!backend)
        return td_fail(strstr(url, "://") ? TIDINGS_ENOTSUP : TIDINGS_EINVAL,
                       "%s: expected inproc://NAME, ipc:///PATH or "
                       "tcp://HOST:PORT",
                       url);
    b = calloc(1, sizeof(*b));
    if (!b)
        return TIDINGS_ENOMEM;
    b->backend = backend;
    td_notices_init(&b->notices);
    b->confirms_tail = &b->confirms;
    b->replies_tail = &b->replies;
    td_bus_services_init(&b->services);
    init_conds(b);
    b->wake_fd = b->dispatch_fd = -1;
    err = take_options(b, options);
    if (!err)
        err = init_parts(b, url, options);
    if (!err)
        err = td_handle_new(&b->handle, b, &locks);
    if (!err) {
        b->lock = &locks->bus;
        b->packer = &locks->packer;
        err = start(b);
    }
    if (err) {
        free_parts(b);
        return err;
    }
    *out = b;
    return TIDINGS_OK;
}

void td_bus_free(struct td_bus *b)
{
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        td_pool_retire(b, sub);
    }
    td_pools_reap(b, true);
    td_bus_services_reap(b, true);
    td_bus_stop(b);
    td_answers_send(b); /* by handlers that have just returned */
    td_client_close(&b->client);
    td_handle_free(b->handle);
    td_end_confirms(b);
    td_end_replies(b);
    free_parts(b);
}
