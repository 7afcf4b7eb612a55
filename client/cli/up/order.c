#include "client/cli/up/order.h"

#include <string.h>

enum mark { NEW, OPEN, DONE };

struct walk {
    struct td_up_spec *spec;
    enum mark marks[TD_UP_SERVICES_MAX];
    uint32_t path[TD_UP_SERVICES_MAX]; /* of those that are open */
    uint32_t next[TD_UP_SERVICES_MAX]; /* which need of each comes next */
    uint32_t depth;
    uint32_t ordered;
};

static void open_one(struct walk *w, uint32_t service)
{
    w->marks[service] = OPEN;
    w->next[service] = 0;
    w->path[w->depth++] = service;
}

/* From where the path was at `at` before to its end, and `at` again. */
static uint32_t put_circle(const struct walk *w, uint32_t at, uint32_t *circle)
{
    uint32_t from = 0, len;

    while (w->path[from] != at)
        from++;
    len = w->depth - from;
    memcpy(circle, w->path + from, len * sizeof(*circle));
    circle[len] = at;
    return len + 1;
}

/* One step at the end of the path. @return the length of a circle, or 0 */
static uint32_t step(struct walk *w, uint32_t *circle)
{
    uint32_t at = w->path[w->depth - 1];
    const struct td_up_service *service = &w->spec->services[at];
    uint32_t need;

    if (w->next[at] == service->needs_len) {
        w->marks[at] = DONE;
        w->spec->order[w->ordered++] = at;
        w->depth--;
        return 0;
    }
    need = service->needs[w->next[at]++];
    if (w->marks[need] == OPEN)
        return put_circle(w, need, circle);
    if (w->marks[need] == NEW)
        open_one(w, need);
    return 0;
}

uint32_t td_up_order(struct td_up_spec *spec, uint32_t *circle)
{
    struct walk w = {.spec = spec};
    uint32_t len = 0;

    for (uint32_t s = 0; s < spec->len && !len; s++) {
        if (w.marks[s] == NEW)
            open_one(&w, s);
        while (w.depth && !len)
            len = step(&w, circle);
    }
    return len;
}
