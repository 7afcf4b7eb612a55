#include "tests/unit/confirm_fixture.h"

#include <stdlib.h>

struct told told;

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    assert_true(told.calls < CALLS_MAX);
    told.call[told.calls].who = (uintptr_t)arg;
    told.call[told.calls].err = confirm->err;
    snprintf(told.call[told.calls].stream, sizeof(told.call[0].stream), "%s",
             confirm->stream);
    told.call[told.calls].sequence = confirm->sequence;
    told.call[told.calls].level = confirm->level;
    told.call[told.calls].duplicate = confirm->duplicate;
    told.calls++;
}

/* As the bus does. */
static void port_confirmed(void *ctx, struct td_confirmed *of)
{
    struct fixture *f = ctx;

    for (size_t i = 0; i < of->len; i++) {
        const struct tidings_confirm confirm = {
            of->err, of->stream,
            of->sequence ? of->sequence + (of->waiters[i].sequence - of->first)
                         : 0,
            of->level, of->duplicate};

        of->waiters[i].call(of->waiters[i].arg, &confirm);
    }
    td_publisher_called(&f->client.publisher, of->len);
    told.handed++;
    free(of);
}

void listen_for_confirms(struct fixture *f)
{
    memset(&told, 0, sizeof(told));
    f->client.options.port.confirmed = port_confirmed;
}

int setup_confirms(void **state)
{
    int failed = setup(state);

    if (!failed)
        listen_for_confirms(*state);
    return failed;
}

void publish_as(struct fixture *f, const char *type, enum tidings_level level,
                uintptr_t who)
{
    const struct td_packing event = {.type = td_str_of(type),
                                     .time_us = 5,
                                     .data = "12345",
                                     .len = 5,
                                     .level = level,
                                     .on_confirm = who ? on_confirm : NULL,
                                     .arg = (void *)who};

    assert_ok(td_client_publish(&f->client, &event));
}

void publish_many(struct fixture *f, unsigned n, bool wait)
{
    for (unsigned i = 0; i < n; i++) {
        uintptr_t who = (uintptr_t)f->client.packer.sequence + 1;

        publish_as(f, i % 2 ? "b" : "a", TIDINGS_DISK, wait ? who : 0);
    }
    td_client_ask(&f->client, f->client.packer.sequence);
}

void taken(struct fixture *f, unsigned sequence)
{
    char text[60];

    snprintf(text, sizeof(text), "[4 %u 1000 1000000]", sequence);
    assert_ok(give(f, text));
}

tidings_err confirm(struct fixture *f, const char *row)
{
    char text[200];

    snprintf(text, sizeof(text), "[16 [[%s]]]", row);
    return give(f, text);
}

uint64_t done(struct fixture *f)
{
    return td_publisher_done(&f->client.publisher);
}

uint64_t kept(struct fixture *f)
{
    return td_client_unconfirmed(&f->client);
}
