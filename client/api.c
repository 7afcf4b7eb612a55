/* The public calls: check the arguments, take the lock, and let the rooms
 * behind them do it. Here: buses, and what is common to all. */
#include "client/api.h"

#include "client/detail.h"
#include "client/handle.h"
#include "proto/plural.h"

#include <stdlib.h>
#include <utlist.h>

#define TEXT(x)               #x
#define VERSION_TEXT(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

const char *tidings_version(void)
{
    return VERSION_TEXT(TIDINGS_VERSION_MAJOR, TIDINGS_VERSION_MINOR,
                        TIDINGS_VERSION_PATCH);
}

void tidings_free(void *memory)
{
    free(memory);
}

const char *tidings_status_name(enum tidings_status_kind kind)
{
    static const char *const names[] = {
        [TIDINGS_UP] = "up",
        [TIDINGS_DOWN] = "down",
        [TIDINGS_NEW_EPOCH] = "new_epoch",
        [TIDINGS_NEW_SESSION] = "new_session",
        [TIDINGS_GAP] = "gap",
        [TIDINGS_REFUSED] = "refused",
        [TIDINGS_HANDLER_FAILED] = "handler_failed",
        [TIDINGS_BAD_EVENT] = "bad_event",
        [TIDINGS_HANDLER_LATE] = "handler_late",
        [TIDINGS_STALE] = "stale",
        [TIDINGS_UNSTORED] = "unstored",
        [TIDINGS_FENCED] = "fenced",
        [TIDINGS_GROUP_FULL] = "group_full",
    };

    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind]
                                                             : "?";
}

/* ---- common ---- */

void td_exit(struct td_bus *b)
{
    pthread_mutex_unlock(b->lock);
}

struct td_bus *td_enter(tidings_bus *handle, tidings_err *err)
{
    struct td_bus *b = td_handle_lock(handle, err);

    if (b && b->closing) {
        td_exit(b);
        *err = td_fail(TIDINGS_ECLOSED, "the bus is being closed");
        return NULL;
    }
    return b;
}

tidings_err td_check_timeout(int timeout_ms)
{
    if (timeout_ms >= 0 && timeout_ms <= TIDINGS_TIMEOUT_MAX_MS)
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL, "timeout_ms is %d; 0 to %d", timeout_ms,
                   TIDINGS_TIMEOUT_MAX_MS);
}

/* A broker is there, and will not have us as we are. */
static bool is_answer(tidings_err err)
{
    return err == TIDINGS_EVERSION || err == TIDINGS_ENOTSUP;
}

tidings_err td_is_fenced(const struct td_bus *b)
{
    return td_fail(TIDINGS_EFENCED,
                   "producer \"%s\": another process has taken the name; this "
                   "bus is over",
                   b->producer);
}

tidings_err td_why_not(struct td_bus *b, const char *what)
{
    if (b->closing)
        return td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    if (b->client.fenced)
        return td_is_fenced(b);
    if (b->client.state == TD_CLIENT_READY)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "%s: the broker at %s did not "
                       "answer in time",
                       what, b->url);
    if (is_answer(b->client.last_err))
        return td_fail(b->client.last_err, "the broker says: %s",
                       b->client.last_text);
    return td_fail(TIDINGS_EUNREACH,
                   b->client.connects ? "lost the broker at %s: %s"
                                      : "no broker answers at %s: %s",
                   b->url, b->client.last_text);
}

/* ---- the bus ---- */

tidings_err tidings_open(tidings_bus **out, const char *url,
                         const struct tidings_options *options)
{
    const struct tidings_options defaults = {0};
    struct td_bus *b;
    tidings_err err;

    tidings_set_detail("");
    if (!out || !url)
        return td_fail(TIDINGS_EINVAL, "out or url is NULL");
    err = td_bus_new(&b, url, options ? options : &defaults);
    if (!err)
        *out = b->handle;
    return err;
}

static bool is_up(struct td_bus *b, void *arg)
{
    (void)arg;
    return b->client.state == TD_CLIENT_READY;
}

tidings_err tidings_wait(tidings_bus *bus, int timeout_ms)
{
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : td_enter(bus, &err);

    if (!b)
        return err;
    if (!td_bus_wait_broker(b, is_up, NULL, td_now_ms() + timeout_ms))
        err = td_why_not(b, "wait");
    td_exit(b);
    return err;
}

/* What a thread that packs may be changing meanwhile. */
static uint64_t packed_sequence(struct td_bus *b)
{
    uint64_t sequence;

    pthread_mutex_lock(b->packer);
    sequence = b->client.packer.sequence;
    pthread_mutex_unlock(b->packer);
    return sequence;
}

uint64_t td_unconfirmed(struct td_bus *b)
{
    uint64_t events;

    pthread_mutex_lock(b->packer);
    events = td_client_unconfirmed(&b->client);
    pthread_mutex_unlock(b->packer);
    return events;
}

static bool is_done(struct td_bus *b, void *arg)
{
    uint64_t *sequence = arg;

    if (td_publisher_done(&b->client.publisher) >= *sequence)
        return true;
    td_client_ask(&b->client, *sequence);
    return false;
}

bool td_flush(struct td_bus *b, int64_t deadline_ms)
{
    uint64_t sequence = packed_sequence(b);

    return td_bus_wait_broker(b, is_done, &sequence, deadline_ms);
}

uint64_t td_untaken(struct td_bus *b)
{
    uint64_t events;

    pthread_mutex_lock(b->packer);
    events = b->client.packer.packed_events;
    pthread_mutex_unlock(b->packer);
    return events - b->client.publisher.taken_events;
}

/* From now on nothing is published: what was is what is waited for. */
static void end_packing(struct td_bus *b)
{
    pthread_mutex_lock(b->packer);
    b->packing_over = true;
    pthread_mutex_unlock(b->packer);
}

static tidings_err closed_too_early(struct td_bus *b)
{
    uint64_t untaken = td_untaken(b);
    uint64_t unconfirmed = td_unconfirmed(b);

    if (unconfirmed <= untaken)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "closed; %llu %s not taken by a broker",
                       (unsigned long long)untaken,
                       td_plural(untaken, "event was", "events were"));
    return td_fail(TIDINGS_ETIMEDOUT,
                   "closed; %llu %s not confirmed, %llu of them not taken by a "
                   "broker",
                   (unsigned long long)unconfirmed,
                   td_plural(unconfirmed, "event was", "events were"),
                   (unsigned long long)untaken);
}

static void end_all(struct td_bus *b)
{
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        atomic_store(&sub->ended, true);
    }
}

tidings_err tidings_close(tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b;

    if (!bus)
        return TIDINGS_OK;
    b = td_handle_lock(bus, &err);
    if (!b)
        return err;
    if (b->close_called || td_in_handler(b)) {
        err = td_in_handler(b) ? TIDINGS_EDEADLK : TIDINGS_ECLOSED;
        td_exit(b);
        return td_fail(err, "%s",
                       err == TIDINGS_ECLOSED
                           ? "another thread is closing the bus"
                           : "close the bus outside its handlers");
    }
    b->close_called = true;
    end_packing(b);
    if (!td_flush(b, td_now_ms() + b->close_timeout_ms) &&
        td_unconfirmed(b) > 0)
        err = closed_too_early(b);
    b->closing = true;
    end_all(b);
    td_bus_leave(b); /* whoever waits gives up */
    td_bus_free(b);
    return err;
}
