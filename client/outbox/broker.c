#include "client/outbox/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MS 50 /* the end is heard of so soon while a call waits */

tidings_err td_broker_init(struct td_broker *b, struct td_signal *signal,
                           struct td_turn *turn, const char *url,
                           const struct tidings_relay_options *options)
{
    memset(b, 0, sizeof(*b));
    b->signal = signal;
    b->turn = turn;
    b->url = strdup(url);
    b->name = strdup(options->name ? options->name : "relay");
    b->source = options->source ? strdup(options->source) : NULL;
    pthread_mutex_init(&b->lock, NULL);
    if (!b->url || !b->name || (options->source && !b->source))
        return TIDINGS_ENOMEM;
    return TIDINGS_OK;
}

void td_broker_fini(struct td_broker *b)
{
    tidings_close(b->bus);
    free(b->url);
    free(b->name);
    free(b->source);
    pthread_mutex_destroy(&b->lock);
}

static void bus_close(void *ctx)
{
    struct td_broker *b = ctx;

    tidings_close(b->bus); /* calls what was not confirmed */
    b->bus = NULL;
}

static tidings_err bus_open(void *ctx, const char *producer, uint64_t *last)
{
    struct td_broker *b = ctx;
    const struct tidings_options options = {
        .name = b->name,
        .source = b->source,
        .producer = producer,
        .close_timeout_ms = -1, /* what is on its way is waited for before */
    };
    int64_t until_ms = td_signal_now_ms() + TD_OUTBOX_GREET_MS;
    tidings_err err = TIDINGS_OK;

    if (!b->bus)
        err = tidings_open(&b->bus, b->url, &options);
    if (err)
        return err;
    do
        err = tidings_producer_last(b->bus, last, SLICE_MS);
    while (err == TIDINGS_EUNREACH && !td_signal_ended(b->signal) &&
           td_signal_now_ms() < until_ms);
    return err;
}

/* ---- a list ---- */

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct td_broker *b = arg;
    bool all;

    pthread_mutex_lock(&b->lock);
    if (b->confirmed == 0 || (confirm->err && !b->err)) {
        b->err = confirm->err;
        snprintf(b->stream, sizeof(b->stream), "%s", confirm->stream);
    }
    all = ++b->confirmed == b->len;
    pthread_mutex_unlock(&b->lock);
    if (all)
        td_signal_wake(b->signal);
}

static bool is_confirmed(struct td_broker *b)
{
    bool all;

    pthread_mutex_lock(&b->lock);
    all = b->confirmed == b->len;
    pthread_mutex_unlock(&b->lock);
    return all;
}

static void tell_silence(struct td_broker *b)
{
    char text[512];

    if (tidings_wait(b->bus, 0))
        snprintf(text, sizeof(text), "%s", tidings_detail());
    else
        snprintf(text, sizeof(text), "the broker at %s has not confirmed yet",
                 b->url);
    td_turn_trouble(b->turn, TIDINGS_EUNREACH, text);
}

/* It is sent again by itself, whatever happens to link and broker. */
static void await(struct td_broker *b)
{
    int64_t silent_ms = td_signal_now_ms() + TD_OUTBOX_SILENT_MS;

    while (!is_confirmed(b)) {
        bool ended = td_signal_ended(b->signal);

        if (td_signal_ended_for(b->signal, TD_OUTBOX_END_MS))
            bus_close(b); /* that confirms it with TIDINGS_ECLOSED */
        else if (!ended && td_signal_now_ms() >= silent_ms)
            tell_silence(b);
        td_signal_wait(b->signal, ended ? SLICE_MS : TD_OUTBOX_SILENT_MS);
    }
}

/* Words for what a confirm says with a code. */
static void explain(struct td_answer *out, tidings_err err)
{
    switch (err) {
    case TIDINGS_EFULL:
        snprintf(out->text, sizeof(out->text),
                 *out->stream ? "stream %s is full and rejects"
                              : "the broker's disk is full, or its memory%s",
                 out->stream);
        break;
    case TIDINGS_ECONFLICT:
        snprintf(out->text, sizeof(out->text),
                 "the broker has another event under its id or number");
        break;
    default:
        snprintf(out->text, sizeof(out->text), "%s", tidings_err_text(err));
    }
}

static tidings_err bus_publish(void *ctx, const struct td_outbox_list *list,
                               uint64_t first, struct td_answer *out)
{
    struct td_broker *b = ctx;
    const struct tidings_publish_options options = {
        .level = TIDINGS_DISK,
        .on_confirm = on_confirm,
        .arg = b,
        .sequence = first,
    };
    tidings_err err;

    b->confirmed = 0;
    b->len = list->len;
    b->err = TIDINGS_OK;
    b->stream[0] = '\0';
    err = tidings_publish_all(b->bus, list->event, list->len, &options);
    if (err) {
        snprintf(out->text, sizeof(out->text), "%s", tidings_detail());
        return err;
    }
    await(b);
    out->judged = true;
    memcpy(out->stream, b->stream, sizeof(out->stream));
    if (b->err)
        explain(out, b->err);
    return b->err;
}

const struct td_broker_ops td_broker_ops = {
    .open = bus_open,
    .publish = bus_publish,
    .close = bus_close,
};
