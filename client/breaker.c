/* Breakers of a program: the pure one, a lock, a clock, and somebody who tells
 * of its changes. These wait in a short ring, and one thread at a time tells
 * them, without the lock: so they are told in order, and whoever is told may
 * call the breaker. */
#include "client/api.h"
#include "client/detail.h"
#include "client/resilience.h"
#include "proto/breaker.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct tidings_breaker {
    pthread_mutex_t lock; /* guards all that changes */
    struct td_breaker_limits limits;
    struct td_breaker breaker;
    char name[TD_NAME_BYTES_MAX + 1];
    enum tidings_verdict (*verdict)(void *arg, tidings_err err);
    void (*on_change)(void *arg, const struct tidings_breaker_change *change);
    void *arg;
    tidings_bus *bus; /* NULL: none; also guarded by attached_lock … */
    struct tidings_breaker *prev; /* … in the list of those that have one */
    struct tidings_breaker *next;
    uint64_t allowed;
    uint64_t succeeded;
    uint64_t failed;
    struct tidings_breaker_change untold[TD_BREAKER_UNTOLD_MAX];
    unsigned untold_first, untold_len;
    uint64_t untold_events;
    bool telling;
};

/* Those that have a bus, oldest first: an instance that is pinged tells of them.
 * The lock comes before that of a breaker, and after a bus's. */
static pthread_mutex_t attached_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tidings_breaker *attached;

/* ---- verdicts ---- */

enum tidings_verdict tidings_verdict_of(tidings_err err)
{
    static const unsigned char verdicts[] = {
        [TIDINGS_OK] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_EREMOTE] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_ENOTFOUND] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_EEXIST] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_ECONFLICT] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_ENOTSUP] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_ETERM] = TIDINGS_VERDICT_GOOD,
        [TIDINGS_EINVAL] = TIDINGS_VERDICT_NONE,
        [TIDINGS_ENOMEM] = TIDINGS_VERDICT_NONE,
        [TIDINGS_ECLOSED] = TIDINGS_VERDICT_NONE,
        [TIDINGS_EFORKED] = TIDINGS_VERDICT_NONE,
        [TIDINGS_EDEADLK] = TIDINGS_VERDICT_NONE,
        [TIDINGS_ELATER] = TIDINGS_VERDICT_NONE,
        [TIDINGS_ERELEASE] = TIDINGS_VERDICT_NONE,
        [TIDINGS_EBREAKER] = TIDINGS_VERDICT_NONE,
    };

    return (unsigned)err < sizeof(verdicts)
               ? (enum tidings_verdict)verdicts[err]
               : TIDINGS_VERDICT_BAD;
}

static enum tidings_verdict default_verdict(void *arg, tidings_err err)
{
    (void)arg;
    return tidings_verdict_of(err);
}

/* ---- life ---- */

static tidings_err take_bounds(struct td_breaker_limits *l,
                               const struct tidings_breaker_options *o)
{
    const struct tidings_breaker_bounds *b = &o->bounds;
    const struct td_breaker_limits *d = &td_breaker_defaults;
    const uint32_t day = TIDINGS_TIMEOUT_MAX_MS;
    const struct {
        uint32_t *out;
        const char *what;
        int value;
        uint32_t otherwise, most;
    } numbers[] = {
        {&l->window_ms, "window_ms", b->window_ms, d->window_ms, day},
        {&l->window_min, "window_min", b->window_min, d->window_min,
         TD_BREAKER_COUNT_MAX},
        {&l->recovery_ms, "recovery_ms", b->recovery_ms, d->recovery_ms, day},
        {&l->recovery_max_ms, "recovery_max_ms", b->recovery_max_ms,
         d->recovery_max_ms, day},
        {&l->probes, "probes", o->probes, d->probes, TD_BREAKER_COUNT_MAX},
        {&l->successes, "successes", o->successes, d->successes,
         TD_BREAKER_COUNT_MAX},
        {&l->probe_ms, "probe_ms", o->probe_ms, d->probe_ms, day},
    };
    tidings_err err =
        td_take_number_or_none(&l->failures, "failures", b->failures,
                               d->failures, TD_BREAKER_COUNT_MAX);

    if (!err)
        err = td_take_number_or_none(&l->rate_percent, "rate_percent",
                                     b->rate_percent, d->rate_percent, 100);
    for (size_t i = 0; !err && i < sizeof(numbers) / sizeof(numbers[0]); i++)
        err = td_take_number(numbers[i].out, numbers[i].what, numbers[i].value,
                             numbers[i].otherwise, numbers[i].most);
    td_breaker_limits_fit(l);
    return err;
}

tidings_err tidings_breaker_new(tidings_breaker **out,
                                const struct tidings_breaker_options *options)
{
    const struct tidings_breaker_options defaults = {0};
    const struct tidings_breaker_options *o = options ? options : &defaults;
    struct tidings_breaker *b;
    tidings_err err;

    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    b = calloc(1, sizeof(*b));
    if (!b)
        return td_fail(TIDINGS_ENOMEM, "a breaker");
    err = td_take_name(b->name, o->name);
    if (!err)
        err = take_bounds(&b->limits, o);
    if (err) {
        free(b);
        return err;
    }
    b->verdict = o->verdict ? o->verdict : default_verdict;
    b->on_change = o->on_change;
    b->arg = o->arg;
    td_breaker_init(&b->breaker, &b->limits);
    b->breaker.since_ms = td_now_ms();
    pthread_mutex_init(&b->lock, NULL);
    *out = b;
    return TIDINGS_OK;
}

void tidings_breaker_free(tidings_breaker *breaker)
{
    if (!breaker)
        return;
    tidings_breaker_attach(breaker, NULL);
    pthread_mutex_destroy(&breaker->lock);
    free(breaker);
}

tidings_err tidings_breaker_attach(tidings_breaker *breaker, tidings_bus *bus)
{
    if (!breaker)
        return td_fail(TIDINGS_EINVAL, "breaker is NULL");
    pthread_mutex_lock(&attached_lock);
    pthread_mutex_lock(&breaker->lock);
    if (breaker->bus)
        DL_DELETE(attached, breaker);
    breaker->bus = bus;
    if (bus)
        DL_APPEND(attached, breaker);
    pthread_mutex_unlock(&breaker->lock);
    pthread_mutex_unlock(&attached_lock);
    return TIDINGS_OK;
}

/* ---- changes ---- */

_Static_assert((int)TIDINGS_BREAKER_CLOSED == (int)TD_BREAKER_CLOSED &&
                   (int)TIDINGS_BREAKER_OPEN == (int)TD_BREAKER_OPEN &&
                   (int)TIDINGS_BREAKER_HALF_OPEN == (int)TD_BREAKER_HALF_OPEN,
               "a state is the same inside and outside");

static enum tidings_breaker_state state_of(const struct td_breaker *b)
{
    return (enum tidings_breaker_state)b->state;
}

const char *tidings_breaker_state_name(enum tidings_breaker_state state)
{
    return (unsigned)state <= TIDINGS_BREAKER_HALF_OPEN
               ? td_breaker_state_name((enum td_breaker_state)state)
               : "?";
}

/* The oldest makes room: the newest is what is true. */
static void note_change(struct tidings_breaker *b, int64_t now_ms)
{
    const struct td_breaker *from = &b->breaker;
    bool open = from->state == TD_BREAKER_OPEN;

    if (!b->on_change && !b->bus)
        return;
    if (b->untold_len == TD_BREAKER_UNTOLD_MAX) {
        b->untold_first = (b->untold_first + 1) % TD_BREAKER_UNTOLD_MAX;
        b->untold_len--;
        b->untold_events++;
    }
    b->untold[(b->untold_first + b->untold_len++) % TD_BREAKER_UNTOLD_MAX] =
        (struct tidings_breaker_change){.name = b->name,
                                        .state = state_of(from),
                                        .failures = from->failures,
                                        .open_ms =
                                            open ? from->until_ms - now_ms
                                                 : now_ms - from->opened_ms};
}

static tidings_err publish_change(tidings_bus *bus,
                                  const struct tidings_breaker_change *change)
{
    static const char *const types[] = {
        [TIDINGS_BREAKER_CLOSED] = "breaker.closed",
        [TIDINGS_BREAKER_OPEN] = "breaker.opened",
        [TIDINGS_BREAKER_HALF_OPEN] = "breaker.half_opened",
    };
    tidings_writer *w = tidings_writer_new();
    const void *data;
    size_t len;
    tidings_err err;

    tidings_put_map(w, 4);
    tidings_put_string(w, "name");
    tidings_put_string(w, change->name);
    tidings_put_string(w, "breaker");
    tidings_put_string(w, tidings_breaker_state_name(change->state));
    tidings_put_string(w, "failures");
    tidings_put_uint(w, change->failures);
    tidings_put_string(w, "open_ms");
    tidings_put_int(w, change->open_ms);
    err = tidings_writer_bytes(w, &data, &len);
    if (!err)
        err = td_publish_now(bus, types[change->state], data, len);
    tidings_writer_free(w);
    return err;
}

/* One change, without the lock. */
static tidings_err tell_one(const struct tidings_breaker *b, tidings_bus *bus,
                            const struct tidings_breaker_change *change)
{
    if (b->on_change)
        b->on_change(b->arg, change);
    return bus ? publish_change(bus, change) : TIDINGS_OK;
}

/* With the lock. Whatever is called, the thread's detail is its caller's. */
static void tell(struct tidings_breaker *b)
{
    char detail[TD_DETAIL_BYTES];

    if (b->telling || b->untold_len == 0)
        return;
    memcpy(detail, td_detail_bytes(), sizeof(detail));
    b->telling = true;
    while (b->untold_len > 0) {
        struct tidings_breaker_change change = b->untold[b->untold_first];
        tidings_bus *bus = b->bus;
        tidings_err err;

        b->untold_first = (b->untold_first + 1) % TD_BREAKER_UNTOLD_MAX;
        b->untold_len--;
        pthread_mutex_unlock(&b->lock);
        err = tell_one(b, bus, &change);
        pthread_mutex_lock(&b->lock);
        b->untold_events += err != TIDINGS_OK;
    }
    b->telling = false;
    memcpy(td_detail_bytes(), detail, sizeof(detail));
}

/* ---- calls ---- */

_Static_assert(TD_NAME_BYTES_MAX + 128 < TD_DETAIL_BYTES, "a refusal fits");

static char *put(char *at, const char *text)
{
    size_t len = strlen(text);

    memcpy(at, text, len);
    return at + len;
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t len = 0;

    do
        digits[len++] = (char)('0' + n % 10);
    while (n /= 10);
    while (len > 0)
        *at++ = digits[--len];
    return at;
}

/* Who is refused is to go on at once, and td_fail() takes several times as
 * long as all the rest. */
static tidings_err is_refused(const struct tidings_breaker *b, int64_t left_ms)
{
    char *at = put(td_detail_bytes(), "breaker \"");

    at = put(at, b->name);
    at = put(at, "\" is ");
    at = put(at, tidings_breaker_state_name(state_of(&b->breaker)));
    at = put(at, ": try again in ");
    at = put_number(at, (uint64_t)left_ms);
    at = put(at, " ms");
    *at = '\0';
    return TIDINGS_EBREAKER;
}

tidings_err tidings_breaker_allow(tidings_breaker *breaker, uint64_t *ticket)
{
    tidings_err err = TIDINGS_OK;
    int64_t now_ms;
    uint32_t changes;

    if (!breaker || !ticket)
        return td_fail(TIDINGS_EINVAL, "breaker or ticket is NULL");
    pthread_mutex_lock(&breaker->lock);
    now_ms = td_now_ms();
    changes = breaker->breaker.changes;
    if (td_breaker_allow(&breaker->breaker, now_ms, ticket))
        breaker->allowed++;
    else
        err =
            is_refused(breaker, td_breaker_left_ms(&breaker->breaker, now_ms));
    if (breaker->breaker.changes != changes) {
        note_change(breaker, now_ms);
        tell(breaker);
    }
    pthread_mutex_unlock(&breaker->lock);
    return err;
}

void tidings_breaker_done(tidings_breaker *breaker, uint64_t ticket,
                          tidings_err err)
{
    enum tidings_verdict verdict;
    int64_t now_ms;

    if (!breaker)
        return;
    verdict = breaker->verdict(breaker->arg, err);
    if (verdict == TIDINGS_VERDICT_NONE) {
        tidings_breaker_cancel(breaker, ticket);
        return;
    }
    pthread_mutex_lock(&breaker->lock);
    now_ms = td_now_ms();
    breaker->succeeded += verdict == TIDINGS_VERDICT_GOOD;
    breaker->failed += verdict != TIDINGS_VERDICT_GOOD;
    if (td_breaker_done(&breaker->breaker, now_ms, ticket,
                        verdict == TIDINGS_VERDICT_GOOD)) {
        note_change(breaker, now_ms);
        tell(breaker);
    }
    pthread_mutex_unlock(&breaker->lock);
}

void tidings_breaker_cancel(tidings_breaker *breaker, uint64_t ticket)
{
    if (!breaker)
        return;
    pthread_mutex_lock(&breaker->lock);
    td_breaker_cancel(&breaker->breaker, ticket);
    pthread_mutex_unlock(&breaker->lock);
}

tidings_err tidings_breaker_call(tidings_breaker *breaker, tidings_work work,
                                 void *arg)
{
    uint64_t ticket;
    tidings_err err = work ? tidings_breaker_allow(breaker, &ticket)
                           : td_fail(TIDINGS_EINVAL, "work is NULL");

    if (err)
        return err;
    err = work(arg);
    tidings_breaker_done(breaker, ticket, err);
    return err;
}

tidings_err tidings_breaker_info(struct tidings_breaker_info *out,
                                 tidings_breaker *breaker)
{
    const struct td_breaker *b;
    int64_t now_ms;

    if (!out || !breaker)
        return td_fail(TIDINGS_EINVAL, "out or breaker is NULL");
    b = &breaker->breaker;
    pthread_mutex_lock(&breaker->lock);
    now_ms = td_now_ms();
    *out = (struct tidings_breaker_info){
        .state = state_of(b),
        .since_ms = now_ms - b->since_ms,
        .left_ms = td_breaker_left_ms(b, now_ms),
        .failures = b->failures,
        .allowed = breaker->allowed,
        .refused = b->refused,
        .succeeded = breaker->succeeded,
        .failed = breaker->failed,
        .late = b->late,
        .lost = b->lost,
        .changes = b->changes,
        .untold = breaker->untold_events,
    };
    pthread_mutex_unlock(&breaker->lock);
    return TIDINGS_OK;
}

/* ---- what is told of them ---- */

static void pack_text(msgpack_packer *pk, const char *text)
{
    msgpack_pack_str(pk, strlen(text));
    msgpack_pack_str_body(pk, text, strlen(text));
}

static void pack_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
    pack_text(pk, key);
    msgpack_pack_uint64(pk, value);
}

static void pack_breaker(msgpack_packer *pk, struct tidings_breaker *b)
{
    struct tidings_breaker_info info;

    tidings_breaker_info(&info, b);
    msgpack_pack_map(pk, 7);
    pack_text(pk, "name");
    pack_text(pk, b->name);
    pack_text(pk, "breaker");
    pack_text(pk, tidings_breaker_state_name(info.state));
    pack_uint(pk, "open_ms", (uint64_t)info.left_ms);
    pack_uint(pk, "failures", info.failures);
    pack_uint(pk, "allowed", info.allowed);
    pack_uint(pk, "refused", info.refused);
    pack_uint(pk, "changes", info.changes);
}

void td_breakers_pack(struct td_buf *out, const tidings_bus *bus)
{
    struct tidings_breaker *b;
    msgpack_packer pk;
    uint32_t n = 0;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    pthread_mutex_lock(&attached_lock);
    DL_FOREACH(attached, b)
    {
        n += b->bus == bus && n < TD_BREAKERS_SHOWN;
    }
    msgpack_pack_array(&pk, n);
    DL_FOREACH(attached, b)
    {
        if (b->bus == bus && n > 0) {
            pack_breaker(&pk, b);
            n--;
        }
    }
    pthread_mutex_unlock(&attached_lock);
}
