/* Who is given a request: only who is fit, in turn, and nobody is passed over
 * by an answer that there is none. */
#include "tests/sim/services_world.h"

#include <string.h>

#include "proto/batch.h"
#include "proto/option.h"

struct svc_request *svc_request_of(struct svc *w, const struct svc_link *link,
                                   uint64_t number)
{
    struct svc_request *q;

    (void)w;
    DL_FOREACH(link->owner->requests, q)
    {
        if (q->number == number && q->sender == link->number)
            return q;
    }
    return NULL;
}

/* ---- who may have it ---- */

static int64_t silence_ms(const struct svc *w)
{
    int ms = w->config.health_ms ? w->config.health_ms : TD_HEALTH_MS;

    return ms < 0 ? SVC_NEVER / 2 : TD_HEALTH_MISSED * (int64_t)ms;
}

static bool is_asked(const struct svc_known *k, const struct svc_request *q)
{
    return (q->service == SVC_SERVICES || q->service == k->service) &&
           (!q->narrow || k->wide) &&
           (!q->wish_version || strcmp(q->wish_version, k->version) == 0) &&
           (!*q->wish_instance || strcmp(q->wish_instance, k->id) == 0);
}

static bool may(const struct svc_known *k)
{
    return k->there && !k->draining &&
           (k->state == TD_HEALTH_RUNNING || k->state == TD_HEALTH_DEGRADED);
}

/* Nothing has happened to it that the broker could know better. */
static bool surely(struct svc *w, const struct svc_known *k)
{
    return may(k) && !w->weighed[k->service] && !svc_known_is_lost(w, k) &&
           w->now_ms - k->said_ms < silence_ms(w);
}

/* ---- before ---- */

static struct svc_request *read_request(struct svc *w, struct svc_link *link,
                                        const uint8_t *p, uint64_t bytes,
                                        uint64_t number)
{
    struct td_event event;
    struct svc_request *q;
    uint32_t serial = UINT32_MAX;

    if (td_event_open(&event, &p, p + bytes) && event.data.len >= 4)
        memcpy(&serial, event.data.data, 4);
    SVC_CHECK(w, serial < w->requests_len, "a caller sends nobody's request");
    if (serial >= w->requests_len)
        return NULL;
    q = w->requests[serial];
    q->number = number;
    q->sender = link->number;
    q->given_len = 0;
    q->answered = q->told = false;
    q->certain = q->open = q->broken = false;
    for (uint32_t i = 0; i < w->known_len; i++) {
        const struct svc_known *k = &w->known[i];

        if (!k->there || !is_asked(k, q))
            continue;
        q->broken = q->broken || svc_known_is_broken(w, k);
        if (!surely(w, k))
            continue;
        q->certain = true;
        q->open = q->open || svc_known_is_open(w, k, w->rows);
    }
    return q;
}

static void end_round(struct svc *w, uint32_t service)
{
    w->round[service] = 0;
    for (uint32_t i = 0; i < w->known_len; i++) {
        if (w->known[i].service == service)
            w->known[i].turns = 0;
    }
}

/* Who is fit: a hash; 0: that may change from one to the next. */
static uint64_t fit_of(struct svc *w, uint32_t service)
{
    uint64_t hash = 0xcbf29ce484222325u;

    if (w->weighed[service])
        return 0;
    for (uint32_t i = 0; i < w->known_len; i++) {
        const struct svc_known *k = &w->known[i];
        const struct td_instance *is;

        if (!k->there || k->service != service)
            continue;
        is = td_instance_find(w->broker.engine, td_str_of(k->id));
        if (!is || !td_instance_is_fit(is))
            continue;
        if (is->state == TD_HEALTH_DEGRADED ||
            !svc_known_is_open(w, k, w->rows))
            return 0;
        hash = (hash ^ (i + 1)) * 0x9e3779b97f4a7c15u;
    }
    return hash;
}

static void begin_rounds(struct svc *w)
{
    for (uint32_t s = 0; s < w->config.services; s++) {
        bool turns = w->config.balance <= TIDINGS_BALANCE_ROUND_ROBIN;
        uint64_t round = turns ? w->fit[s] : 0;

        if (round != w->round[s])
            end_round(w, s);
        w->round[s] = round;
    }
}

static void look_at_breakers(struct svc *w)
{
    for (uint32_t i = 0; i < w->known_len; i++) {
        struct svc_known *k = &w->known[i];
        const struct td_instance *is;

        if (!k->there)
            continue;
        is = td_instance_find(w->broker.engine, td_str_of(k->id));
        k->barred = is && (!td_breaker_ready(&is->breaker, w->now_ms) ||
                           !td_breaker_ready(&is->service->breaker, w->now_ms));
    }
}

void svc_given_before(struct svc *w, struct svc_link *link,
                      const struct td_frame *f, struct td_body *body)
{
    struct td_reader list =
        td_reader_of(f->u.request.list.data, f->u.request.list.len);
    const uint8_t *p = body->data;
    struct td_request_row row;

    if (!td_read_array(&list, &w->rows))
        return;
    for (uint32_t s = 0; s < w->config.services; s++)
        w->fit[s] = fit_of(w, s);
    begin_rounds(w);
    look_at_breakers(w);
    for (; td_request_read(&list, &row); p += row.bytes) {
        struct svc_request *q = read_request(w, link, p, row.bytes, row.number);

        if (q && q->service < SVC_SERVICES && (q->wishes || q->narrow))
            end_round(w, q->service);
    }
}

/* ---- after ---- */

/* The degraded have something only where no other may have it. */
static void check_degraded(struct svc *w, const struct svc_known *given,
                           const struct svc_request *q)
{
    svc_seen(w, SVC_SEEN_DEGRADED);
    for (uint32_t i = 0; i < w->known_len; i++) {
        const struct svc_known *k = &w->known[i];

        SVC_CHECK(w,
                  !k->there || k->service != given->service ||
                      k->state != TD_HEALTH_RUNNING || !is_asked(k, q) ||
                      !surely(w, k) || !svc_known_is_open(w, k, w->rows),
                  "instance %u is degraded and has request %u, while %u runs",
                  given->uid, q->serial, k->uid);
    }
}

static void check_fit(struct svc *w, const struct svc_known *k,
                      const struct svc_request *q)
{
    int64_t said_ms =
        k->said_ms > w->broker.paused_ms ? k->said_ms : w->broker.paused_ms;

    SVC_CHECK(w, k->there, "instance %u has ended, and has request %u", k->uid,
              q->serial);
    SVC_CHECK(w, is_asked(k, q), "instance %u was not asked request %u", k->uid,
              q->serial);
    if (q->ping)
        return;
    SVC_CHECK(w, !k->draining, "instance %u drains, and has request %u", k->uid,
              q->serial);
    SVC_CHECK(w, !k->barred, "a breaker bars instance %u, which has request %u",
              k->uid, q->serial);
    SVC_CHECK(w, may(k), "instance %u in state %d has request %u", k->uid,
              (int)k->state, q->serial);
    SVC_CHECK(w,
              w->now_ms - said_ms <= silence_ms(w) + w->config.turn_ms + 1 ||
                  said_ms == w->broker.paused_ms,
              "instance %u is silent, and has request %u", k->uid, q->serial);
    if (k->state == TD_HEALTH_DEGRADED)
        check_degraded(w, k, q);
}

/* Where the same are fit a key goes to the same. */
static void check_key(struct svc *w, const struct svc_known *k,
                      const struct svc_request *q)
{
    uint32_t known = (uint32_t)(k - w->known);
    uint64_t fit = q->service < SVC_SERVICES ? w->fit[q->service] : 0;

    if (fit == 0 || q->key == 0 || q->narrow || td_request_is_many(&q->r))
        return;
    if (w->keys[q->service][q->key].fit == fit) {
        svc_seen(w, SVC_SEEN_KEYED);
        SVC_CHECK(w, w->keys[q->service][q->key].known == known,
                  "key %u of request %u goes to instance %u, and went to %u",
                  q->key, q->serial, k->uid,
                  w->known[w->keys[q->service][q->key].known].uid);
    }
    w->keys[q->service][q->key].fit = fit;
    w->keys[q->service][q->key].known = known;
}

static void given(struct svc *w, struct svc_link *link,
                  const struct td_instance *is, const struct td_task *task)
{
    struct svc_known *k = svc_known_find(w, is->id);
    struct svc_request *q = svc_request_of(w, link, task->asking->number);
    struct svc_link *to = k ? svc_known_link(w, k) : NULL;

    SVC_CHECK(w, k, "instance %s was never registered", is->id);
    if (!k)
        return;
    if (!q) { /* its caller waits no more */
        end_round(w, k->service);
        return;
    }
    svc_say(w, "request %u is given to instance %u", q->serial, k->uid);
    check_fit(w, k, q);
    check_key(w, k, q);
    if (to)
        to->busy = true;
    if (q->given_len < SVC_GIVEN) {
        q->tasks[q->given_len] = task->number;
        q->given[q->given_len++] = (uint32_t)(k - w->known);
    }
    if (q->given_len > 1 && !td_request_is_many(&q->r))
        svc_seen(w, SVC_SEEN_GROUPS);
    if (q->service < SVC_SERVICES && w->round[q->service] &&
        !td_request_is_many(&q->r))
        k->turns++;
}

static void check_round(struct svc *w, uint32_t service)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;

    for (uint32_t i = 0; i < w->known_len; i++) {
        const struct svc_known *k = &w->known[i];
        const struct td_instance *is;

        if (!k->there || k->service != service)
            continue;
        is = td_instance_find(w->broker.engine, td_str_of(k->id));
        if (!is || !td_instance_is_fit(is))
            continue;
        least = k->turns < least ? k->turns : least;
        most = k->turns > most ? k->turns : most;
    }
    if (most > 2 && most < UINT64_MAX)
        svc_seen(w, SVC_SEEN_TURNS);
    SVC_CHECK(w, most == 0 || most - least <= 1,
              "of one round some instance of %s has %llu, another %llu",
              svc_names[service], (ull)least, (ull)most);
}

void svc_given_after(struct svc *w, struct svc_link *link)
{
    struct td_engine *e = w->broker.engine;
    uint64_t last = w->task_last;
    struct td_instance *is;

    for (is = e->serving.instances; is; is = is->hh.next) {
        const struct td_task *task = is->tasks ? is->tasks->prev : NULL;

        while (task && task->number > last) {
            if (task->number > w->task_last)
                w->task_last = task->number;
            given(w, link, is, task);
            task = task == is->tasks ? NULL : task->prev;
        }
    }
    for (uint32_t s = 0; s < w->config.services; s++) {
        if (w->round[s])
            check_round(w, s);
    }
}
