/* What services use of their place: words to people, and events. */
#include "service.h"

#include <stdarg.h>
#include <stdio.h>

void kiosk_say(const struct kiosk_place *place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    flockfile(stdout);
    fputs(place->prefix, stdout);
    vfprintf(stdout, format, args);
    fputc('\n', stdout);
    fflush(stdout);
    funlockfile(stdout);
    va_end(args);
}

tidings_err kiosk_refuse(const struct kiosk_place *place,
                         const struct tidings_event *event, tidings_err err)
{
    kiosk_say(place, "refused %s %s: %s", event->type, event->id,
              tidings_detail());
    return err;
}

tidings_err kiosk_subscribe(const struct kiosk_place *place, const char *type,
                            tidings_handler handler, void *state)
{
    char group[64 + 1];
    const struct tidings_sub_options durable = {
        .stream = "events",
        .group = group,
        .start = {.kind = TIDINGS_START_ALL},
    };

    snprintf(group, sizeof(group), "%s.%s", place->name, type);
    return tidings_subscribe(NULL, place->bus, type, handler, state,
                             place->durable ? &durable : NULL);
}
