/* The event of a dead letter, from the table and body that the broker answers
 * with (PROTOCOL.md 5 and 10.3). */
#include <stdlib.h>

#include "client/detail.h"
#include "client/view.h"

/* Too large for a stack. */
struct opened {
    struct td_batches batches;
    struct td_view view;
};

static bool find(struct td_str *out, struct tidings_value row, const char *key)
{
    struct tidings_value value;
    const void *bytes;

    if (tidings_get(&value, row, key) ||
        tidings_as_binary(&bytes, &out->len, value))
        return false;
    out->data = bytes;
    return true;
}

static tidings_err open(struct opened *o, struct td_str table,
                        struct td_str body)
{
    const uint8_t *at = (const uint8_t *)body.data;
    const struct td_batch *batch = &o->batches.batch[0];
    const char *why;

    if (!td_scan(table.data, table.len, &td_scan_control) ||
        td_batches_read(&o->batches, table, body.len, &why) ||
        o->batches.events != 1)
        return TIDINGS_EPROTO;
    td_view_batch(&o->view, batch->source, batch->base_us);
    td_view_run(&o->view, batch->runs[0].type, batch->runs[0].flags);
    td_view_at(&o->view, batch->producer.data, batch->runs[0].first);
    return td_view_open(&o->view, &at, at + body.len);
}

tidings_err tidings_dead_event(struct tidings_event **out,
                               struct tidings_value row)
{
    struct td_str table;
    struct td_str body;
    struct opened *o;
    tidings_err err;

    tidings_set_detail("");
    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    if (!find(&table, row, "batch") || !find(&body, row, "event"))
        return td_fail(TIDINGS_ENOTFOUND, "the row has no event");
    o = calloc(1, sizeof(*o));
    if (!o)
        return TIDINGS_ENOMEM;
    err = open(o, table, body);
    if (!err)
        err = tidings_event_copy(out, &o->view.event);
    td_view_fini(&o->view);
    free(o);
    return err == TIDINGS_EPROTO
               ? td_fail(err, "the event of the dead letter cannot be read")
               : err;
}
