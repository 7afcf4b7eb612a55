#include "client/cli/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/out.h"

void td_status_tell(struct td_status *s, const struct tidings_status *status)
{
    switch (status->kind) {
    case TIDINGS_UP:
        if (s->down)
            td_complain("connected again");
        s->down = false;
        break;
    case TIDINGS_DOWN:
        if (!s->down)
            td_complain("link lost, trying again: %s", status->text);
        s->down = true;
        break;
    case TIDINGS_NEW_EPOCH:
        if (!s->stored)
            td_complain("another broker than before: events may be missing");
        break;
    case TIDINGS_NEW_SESSION:
        if (!s->stored)
            td_complain("away for too long: events may be missing");
        break;
    case TIDINGS_REFUSED:
        td_complain("the broker ended a subscription: %s", status->text);
        s->refused = true;
        break;
    case TIDINGS_BAD_EVENT:
        td_complain("an event could not be read: %s", status->text);
        break;
    case TIDINGS_STALE:
        td_complain("%" PRIu64 " event%s settled too late: delivered again",
                    status->count, td_plural(status->count, " was", "s were"));
        break;
    case TIDINGS_GROUP_FULL:
        td_complain("the group is full: nothing more comes until some of "
                    "what its members have is settled");
        break;
    case TIDINGS_GAP:            /* on_gap says it */
    case TIDINGS_HANDLER_FAILED: /* ours never do */
    case TIDINGS_HANDLER_LATE:   /* not asked for */
    case TIDINGS_UNSTORED:       /* nothing is published */
    case TIDINGS_FENCED:         /* nor under a name */
        break;
    }
}

void td_status_tell_lost(const struct tidings_gap *gap, const char *stream,
                         const char *group)
{
    bool many = gap->last > gap->first;
    bool damaged = strcmp(gap->reason, "damaged") == 0;
    char last[32] = "";

    if (many)
        snprintf(last, sizeof(last), " to %" PRIu64, gap->last);
    td_complain("lost %" PRIu64 " event%s, sequence%s %" PRIu64
                "%s of %s: %s%s",
                gap->missed, td_plural(gap->missed, "", "s"), many ? "s" : "",
                gap->first, last, stream,
                damaged ? "damaged in the store"
                : group ? "retention was faster than group "
                        : "retention was faster than this reader",
                group && !damaged ? group : "");
}
