#include "broker/engine/retry.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 8u

/* ---- reasons ---- */

struct td_reason *td_reason_new(struct td_str text, struct td_str handler)
{
    size_t len = text.len + handler.len;
    struct td_reason *r = len > 0 ? malloc(sizeof(*r) + len) : NULL;

    if (!r)
        return NULL;
    r->refs = 1;
    r->text_len = (uint32_t)text.len;
    r->handler_len = (uint32_t)handler.len;
    if (text.len > 0)
        memcpy(r->bytes, text.data, text.len);
    if (handler.len > 0)
        memcpy(r->bytes + text.len, handler.data, handler.len);
    return r;
}

struct td_str td_reason_text(const struct td_reason *r)
{
    return r ? (struct td_str){r->bytes, r->text_len} : (struct td_str){"", 0};
}

struct td_str td_reason_handler(const struct td_reason *r)
{
    return r ? (struct td_str){r->bytes + r->text_len, r->handler_len}
             : (struct td_str){"", 0};
}

struct td_reason *td_reason_ref(struct td_reason *r)
{
    if (r)
        r->refs++;
    return r;
}

void td_reason_unref(struct td_reason *r)
{
    if (r && --r->refs == 0)
        free(r);
}

/* ---- the heap ---- */

static bool before(const struct td_retry *a, const struct td_retry *b)
{
    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms;
    return a->order < b->order;
}

/* Puts it at a free place, or above it. */
static void rise(struct td_retries *r, uint32_t at,
                 const struct td_retry *retry)
{
    while (at > 0 && before(retry, &r->heap[(at - 1) / 2])) {
        r->heap[at] = r->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    r->heap[at] = *retry;
}

/* What is at a place may be due after those below it. */
static void sink(struct td_retries *r, uint32_t at)
{
    struct td_retry retry = r->heap[at];

    while (at < r->len / 2) { /* it has one below it, or two */
        uint32_t below = 2 * at + 1;

        if (below + 1 < r->len && before(&r->heap[below + 1], &r->heap[below]))
            below++;
        if (!before(&r->heap[below], &retry))
            break;
        r->heap[at] = r->heap[below];
        at = below;
    }
    r->heap[at] = retry;
}

static bool reserve(struct td_retries *r)
{
    uint32_t cap = r->cap ? r->cap * 2 : CAP_FIRST;
    struct td_retry *heap;

    if (r->len < r->cap)
        return true;
    if (cap < r->cap)
        return false;
    heap = realloc(r->heap, cap * sizeof(*heap));
    if (!heap)
        return false;
    r->heap = heap;
    r->cap = cap;
    return true;
}

void td_retries_fini(struct td_retries *r)
{
    for (uint32_t i = 0; i < r->len; i++)
        td_reason_unref(r->heap[i].reason);
    free(r->heap);
    memset(r, 0, sizeof(*r));
}

bool td_retries_add(struct td_retries *r, const struct td_retry *retry)
{
    struct td_retry own = *retry;

    if (own.count == 0) {
        td_reason_unref(own.reason);
        return true;
    }
    if (!reserve(r))
        return false;
    own.order = r->added++;
    r->events += own.count;
    rise(r, r->len++, &own);
    return true;
}

struct td_retry *td_retries_first(struct td_retries *r)
{
    return r->len > 0 ? &r->heap[0] : NULL;
}

void td_retries_shift(struct td_retries *r, uint32_t events)
{
    struct td_retry *first = td_retries_first(r);

    if (!first)
        return;
    if (events < first->count) { /* as early as it was, so still the first */
        first->sequence += events;
        first->count -= events;
        r->events -= events;
        return;
    }
    r->events -= first->count;
    td_reason_unref(first->reason);
    if (--r->len == 0)
        return;
    *first = r->heap[r->len];
    sink(r, 0);
}

void td_retries_filter(struct td_retries *r,
                       bool (*keep)(void *ctx, struct td_retry *retry),
                       void *ctx)
{
    uint32_t len = 0;

    r->events = 0;
    for (uint32_t i = 0; i < r->len; i++) {
        struct td_retry *retry = &r->heap[i];

        if (!keep(ctx, retry) || retry->count == 0) {
            td_reason_unref(retry->reason);
            continue;
        }
        r->events += retry->count;
        if (len != i)
            r->heap[len] = *retry;
        len++;
    }
    r->len = len;
    for (uint32_t i = len / 2; i-- > 0;)
        sink(r, i);
}
