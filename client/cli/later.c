#include "client/cli/later.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/ask.h"
#include "client/cli/out.h"
#include "client/cli/when.h"

bool td_later_asked(const struct td_settings *settings)
{
    return settings->durable.at_ms || settings->durable.after_ms;
}

/* On a thread of the library. */
static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct td_later *l = arg;

    if (confirm->err == TIDINGS_ECLOSED)
        return; /* nobody knows; the flush has said so */
    l->duplicates += confirm->duplicate;
    if (confirm->err && l->refused++ == 0) {
        l->err = confirm->err;
        td_confirms_why(l->why, confirm);
        snprintf(l->stream, sizeof(l->stream), "%s", confirm->stream);
    }
    if (confirm->sequence && !l->first)
        l->first = confirm->sequence;
    if (confirm->sequence)
        l->last = confirm->sequence;
}

struct tidings_publish_options td_later_options(
    struct td_later *later, const struct td_settings *settings)
{
    return (struct tidings_publish_options){
        .on_confirm = on_confirm,
        .arg = later,
        .at_ms = settings->durable.at_ms,
        .after_ms = settings->durable.after_ms,
    };
}

tidings_err td_later_expire(struct td_expiring *out,
                            const struct tidings_event *event,
                            const struct td_settings *settings)
{
    const struct td_durable_settings *d = &settings->durable;
    int64_t from_ms = d->at_ms ? d->at_ms : td_wall_ms() + (int64_t)d->after_ms;
    size_t n = 0;

    for (size_t i = 0; i < event->attrs_len; i++) {
        if (strcmp(event->attrs[i].name, "expirytime") == 0)
            continue;
        if (n == TIDINGS_ATTRS_MAX - 1) {
            tidings_set_detail("no room for an expirytime");
            return TIDINGS_EINVAL;
        }
        out->attrs[n++] = event->attrs[i];
    }
    out->event = *event;
    out->event.attrs = out->attrs;
    out->event.attrs_len = n + 1;
    return tidings_expirytime(&out->attrs[n], out->text,
                              (from_ms + (int64_t)d->expires_ms) * 1000);
}

int td_later_put(const struct td_later *l, bool quiet)
{
    if (!quiet && l->first && l->first == l->last)
        printf("scheduled %" PRIu64 "\n", l->first);
    else if (!quiet && l->first)
        printf("scheduled %" PRIu64 " to %" PRIu64 "\n", l->first, l->last);
    if (!quiet && l->duplicates)
        printf("%" PRIu64 " event%s scheduled before\n", l->duplicates,
               td_plural(l->duplicates, " was", "s were"));
    if (!l->refused)
        return TD_EXIT_DONE;
    td_complain("%" PRIu64 " event%s not scheduled: %s", l->refused,
                td_plural(l->refused, " is", "s are"), l->why);
    td_confirms_advise(l->err, l->stream);
    if (l->err == TIDINGS_ENOTSUP)
        td_advise("only streams on disk can have events that wait");
    return l->err == TIDINGS_EFULL || l->err == TIDINGS_EIO ? TD_EXIT_FAILED
                                                            : TD_EXIT_USAGE;
}

void td_later_put_json(const struct td_later *l)
{
    printf(",\"duplicates\":%" PRIu64 ",\"scheduled\":{\"first\":%" PRIu64
           ",\"last\":%" PRIu64 "}",
           l->duplicates, l->first, l->last);
}
