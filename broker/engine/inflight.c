#include "broker/engine/inflight.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 8u
#define CAP_MAX   (1u << 31)
#define GONE_MIN  16u /* fewer are not worth closing the ranks for */

/* ---- the ring ---- */

static struct td_lease *at(const struct td_inflight *f, uint32_t nth)
{
    return &f->leases[(f->head + nth) & (f->cap - 1)];
}

static bool grow(struct td_inflight *f, uint32_t cap)
{
    struct td_lease *leases = malloc(cap * sizeof(*leases));
    uint32_t len = 0;

    if (!leases)
        return false;
    for (uint32_t i = 0; i < f->len; i++) {
        if (at(f, i)->count > 0)
            leases[len++] = *at(f, i);
    }
    free(f->leases);
    f->leases = leases;
    f->cap = cap;
    f->head = 0;
    f->len = len;
    f->gone = 0;
    return true;
}

bool td_inflight_reserve(struct td_inflight *f, uint32_t leases)
{
    uint32_t cap = f->cap ? f->cap : CAP_FIRST;

    while (cap - f->len < leases && cap < CAP_MAX)
        cap *= 2;
    if (cap - f->len < leases)
        return false;
    return cap == f->cap || grow(f, cap);
}

/* Room for so many cuts: they fill the places of those that are gone too. */
static bool reserve_cuts(struct td_inflight *f, uint32_t cuts)
{
    return f->gone >= cuts || td_inflight_reserve(f, cuts - f->gone);
}

void td_inflight_fini(struct td_inflight *f)
{
    free(f->leases);
    memset(f, 0, sizeof(*f));
}

/* ---- leases ---- */

/* The tag after its last. */
static uint64_t end_of(const struct td_lease *lease)
{
    return lease->tag + lease->count;
}

/* The first one that has this tag or a later one; len: none. Those that are
 * gone keep their tag, and with it the order. */
static uint32_t find(const struct td_inflight *f, uint64_t tag)
{
    uint32_t low = 0;
    uint32_t high = f->len;

    if (f->len == 0 || end_of(at(f, 0)) > tag)
        return 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (end_of(at(f, middle)) > tag)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The part of a lease that is from one tag to another. */
static struct td_lease part_of(const struct td_lease *lease, uint64_t first,
                               uint64_t last)
{
    struct td_lease part = *lease;

    if (first > lease->tag) {
        part.tag = first;
        part.sequence += first - lease->tag;
        part.count -= (uint32_t)(first - lease->tag);
    }
    if (last < end_of(&part) - 1)
        part.count = (uint32_t)(last + 1 - part.tag);
    return part;
}

/* The second goes on where the first one ends, and is like it. */
static bool joins(const struct td_lease *first, const struct td_lease *second)
{
    return end_of(first) == second->tag &&
           first->sequence + first->count == second->sequence &&
           first->deliveries == second->deliveries &&
           first->first_ms == second->first_ms &&
           first->deadline_ms == second->deadline_ms &&
           second->count <= UINT32_MAX - first->count;
}

/* ---- gaps in the ring ---- */

static void lose(struct td_inflight *f, struct td_lease *lease)
{
    lease->count = 0;
    f->gone++;
}

static void close_ranks(struct td_inflight *f)
{
    uint32_t len = 0;

    for (uint32_t i = 0; i < f->len; i++) {
        if (at(f, i)->count > 0)
            *at(f, len++) = *at(f, i);
    }
    f->len = len;
    f->gone = 0;
}

/* After some were lost. */
static void tidy(struct td_inflight *f)
{
    for (; f->len > 0 && at(f, 0)->count == 0; f->len--, f->gone--)
        f->head = (f->head + 1) & (f->cap - 1);
    for (; f->len > 0 && at(f, f->len - 1)->count == 0; f->len--)
        f->gone--;
    if (f->gone >= GONE_MIN && f->gone > f->len / 2)
        close_ranks(f);
    if (f->len == 0)
        f->mixed = false;
    if (!f->mixed)
        f->earliest_ms = f->len > 0 ? at(f, 0)->deadline_ms : INT64_MAX;
}

static void move(struct td_inflight *f, uint32_t to, uint32_t from)
{
    *at(f, to) = *at(f, from);
}

/* Makes a place behind the nth one, out of the nearest that is gone or beyond
 * either end; there is one. Returns where: the nth may have moved, and is just
 * before. */
static uint32_t open_behind(struct td_inflight *f, uint32_t nth)
{
    bool ends = f->len < f->cap;

    for (uint32_t n = 1;; n++) { /* so far away */
        uint32_t right = nth + n;

        if (right < f->len ? at(f, right)->count == 0
                           : right == f->len && ends) {
            if (right == f->len)
                f->len++;
            else
                f->gone--;
            for (; right > nth + 1; right--)
                move(f, right, right - 1);
            return nth + 1;
        }
        if (n <= nth && at(f, nth - n)->count == 0) {
            f->gone--;
            for (uint32_t i = nth - n; i < nth; i++)
                move(f, i, i + 1);
            return nth;
        }
        if (n == nth + 1 && ends) {
            f->head = (f->head - 1) & (f->cap - 1);
            f->len++;
            for (uint32_t i = 0; i <= nth; i++)
                move(f, i, i + 1);
            return nth + 1;
        }
    }
}

/* The nth one, which has the tag and one before it, ends before the tag; the
 * rest of it is a lease of its own: where. */
static uint32_t cut(struct td_inflight *f, uint32_t nth, uint64_t tag)
{
    uint32_t rest = open_behind(f, nth);
    struct td_lease *lease = at(f, rest - 1);

    *at(f, rest) = part_of(lease, tag, UINT64_MAX);
    lease->count = (uint32_t)(tag - lease->tag);
    return rest;
}

/* The one that has this tag and the one before it; NULL: none. */
static const struct td_lease *across(const struct td_inflight *f, uint64_t tag)
{
    uint32_t nth = find(f, tag);

    return nth < f->len && at(f, nth)->tag < tag ? at(f, nth) : NULL;
}

/* ---- adding ---- */

bool td_inflight_add(struct td_inflight *f, const struct td_lease *lease)
{
    struct td_lease *last = f->len > 0 ? at(f, f->len - 1) : NULL;

    if (lease->count == 0)
        return true;
    if (last && joins(last, lease)) {
        last->count += lease->count;
    } else {
        if (!td_inflight_reserve(f, 1))
            return false;
        last = f->len > 0 ? at(f, f->len - 1) : NULL;
        if (!last || lease->deadline_ms < f->earliest_ms)
            f->earliest_ms = lease->deadline_ms;
        if (last && lease->deadline_ms < last->deadline_ms)
            f->mixed = true;
        *at(f, f->len++) = *lease;
    }
    f->events += lease->count;
    f->last_tag = end_of(lease) - 1;
    return true;
}

uint64_t td_inflight_above(const struct td_inflight *f, uint64_t tag)
{
    uint64_t events = 0;

    for (uint32_t i = f->len; i-- > 0;) {
        const struct td_lease *lease = at(f, i);

        if (lease->tag <= tag) {
            if (end_of(lease) > tag + 1)
                events += end_of(lease) - tag - 1;
            break;
        }
        events += lease->count;
    }
    return events;
}

/* ---- taking ---- */

static void show(void (*to)(void *ctx, const struct td_lease *lease), void *ctx,
                 const struct td_lease *lease)
{
    if (to)
        to(ctx, lease);
}

static void show_missing(void (*to)(void *ctx, const struct td_lease *lease),
                         void *ctx, uint64_t first, uint64_t last)
{
    const struct td_lease range = {
        .tag = first,
        .count = 1,
        .deadline_ms = (int64_t)last,
    };

    show(to, ctx, &range);
}

/* Takes the part out of the nth one; returns where to go on. */
static uint32_t take_part(struct td_inflight *f, uint32_t nth,
                          const struct td_lease *part)
{
    struct td_lease *lease = at(f, nth);

    f->events -= part->count;
    if (part->count == lease->count) {
        lose(f, lease);
    } else if (part->tag == lease->tag) {
        *lease = part_of(lease, end_of(part), UINT64_MAX);
    } else {
        if (end_of(part) < end_of(lease)) {
            nth = cut(f, nth, end_of(part));
            lease = at(f, nth - 1);
        }
        lease->count -= part->count;
    }
    return nth + 1;
}

bool td_inflight_take(struct td_inflight *f, uint64_t first, uint64_t last,
                      void (*part)(void *ctx, const struct td_lease *lease),
                      void *ctx)
{
    const struct td_lease *inside = across(f, first);
    uint64_t next = first; /* tags before it are shown */
    uint32_t nth;

    if (first > last)
        return true;
    if (inside && last < end_of(inside) - 1 && !reserve_cuts(f, 1))
        return false;
    for (nth = find(f, first); nth < f->len && at(f, nth)->tag <= last;) {
        struct td_lease taken;

        if (at(f, nth)->count == 0) {
            nth++;
            continue;
        }
        taken = part_of(at(f, nth), first, last);
        nth = take_part(f, nth, &taken);
        if (taken.tag > next)
            show_missing(part, ctx, next, taken.tag - 1);
        next = end_of(&taken);
        show(part, ctx, &taken);
    }
    if (next <= last)
        show_missing(part, ctx, next, last);
    tidy(f);
    return true;
}

void td_inflight_expire(struct td_inflight *f, int64_t now_ms,
                        void (*late)(void *ctx, const struct td_lease *lease),
                        void *ctx)
{
    int64_t earliest_ms = INT64_MAX;
    int64_t before_ms = INT64_MIN;
    bool mixed = false;

    if (f->len > 0 && now_ms < f->earliest_ms)
        return;
    for (uint32_t i = 0; i < f->len; i++) {
        struct td_lease lease = *at(f, i);

        if (lease.count == 0)
            continue;
        if (lease.deadline_ms <= now_ms) {
            f->events -= lease.count;
            lose(f, at(f, i));
            show(late, ctx, &lease);
            continue;
        }
        if (!f->mixed)
            break; /* nor is any after it late */
        mixed = mixed || lease.deadline_ms < before_ms;
        before_ms = lease.deadline_ms;
        if (lease.deadline_ms < earliest_ms)
            earliest_ms = lease.deadline_ms;
    }
    f->mixed = mixed;
    f->earliest_ms = earliest_ms;
    tidy(f);
}

void td_inflight_clear(struct td_inflight *f,
                       void (*part)(void *ctx, const struct td_lease *lease),
                       void *ctx)
{
    for (uint32_t i = 0; i < f->len; i++) {
        struct td_lease lease = *at(f, i);

        if (lease.count == 0)
            continue;
        f->events -= lease.count;
        lose(f, at(f, i));
        show(part, ctx, &lease);
    }
    tidy(f);
}

/* ---- extending ---- */

static bool reserve_extend(struct td_inflight *f, uint64_t first, uint64_t last,
                           int64_t deadline_ms)
{
    const struct td_lease *head = across(f, first);
    const struct td_lease *tail =
        last < UINT64_MAX ? across(f, last + 1) : NULL;
    uint32_t cuts = 0;

    if (head && head->deadline_ms != deadline_ms)
        cuts++;
    if (tail && tail->deadline_ms != deadline_ms)
        cuts++;
    return reserve_cuts(f, cuts);
}

bool td_inflight_extend(
    struct td_inflight *f, uint64_t first, uint64_t last, int64_t deadline_ms,
    void (*missing)(void *ctx, const struct td_lease *range), void *ctx)
{
    uint64_t next = first; /* tags before it are done */

    if (first > last)
        return true;
    if (!reserve_extend(f, first, last, deadline_ms))
        return false;
    for (uint32_t nth = find(f, first); nth < f->len && at(f, nth)->tag <= last;
         nth++) {
        const struct td_lease lease = *at(f, nth);

        if (lease.count == 0)
            continue;
        if (lease.tag > next)
            show_missing(missing, ctx, next, lease.tag - 1);
        next = end_of(&lease);
        if (lease.deadline_ms == deadline_ms)
            continue;
        if (lease.tag < first)
            nth = cut(f, nth, first);
        if (next - 1 > last)
            nth = cut(f, nth, last + 1) - 1;
        at(f, nth)->deadline_ms = deadline_ms;
        f->mixed = true;
    }
    if (next <= last)
        show_missing(missing, ctx, next, last);
    if (f->mixed && deadline_ms < f->earliest_ms)
        f->earliest_ms = deadline_ms;
    return true;
}
