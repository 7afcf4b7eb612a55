/* What a service of the kiosk is.
 *
 * A service is given its place when it starts, may take commands, and says in
 * the end what it has done. It does not know whether it has a process of its
 * own (process.c) or shares one with the others (kiosk_inproc.c).
 */
#ifndef KIOSK_SERVICE_H
#define KIOSK_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include <tidings/tidings.h>

/** Where a service runs; lives longer than the service. */
struct kiosk_place {
    tidings_bus *bus;
    const char *prefix; /* before every line it prints: "analytics: ", or "" */
    const char *name;   /* the service's */
    bool durable;       /* its events wait for it while it is down */
    bool flag;          /* its own flag was given */
};

struct kiosk_service {
    const char *name;
    const char *commands; /* how they are written; NULL: it takes none */
    const char *flag;     /* "--strict", and what it means; NULL: it has none */
    const char *flag_help;
    size_t state_size; /* the host keeps so many bytes for it, zeroed */

    /** Subscribe what is to be subscribed. */
    tidings_err (*start)(void *state, const struct kiosk_place *place);
    /** TIDINGS_ENOTFOUND: not a command of this service. NULL: takes none. */
    tidings_err (*command)(void *state, int argc, char **argv);
    /** The bus is closed: say the final counts, free what is held. */
    void (*finish)(void *state);
};

extern const struct kiosk_service kiosk_user_service;
extern const struct kiosk_service kiosk_order_service;
extern const struct kiosk_service kiosk_notification;
extern const struct kiosk_service kiosk_analytics;

/** Print one whole line at once, whichever thread calls. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void kiosk_say(const struct kiosk_place *place, const char *format, ...);

/**
 * Say why an event is refused, for handlers that could not read it.
 *
 * @return err, so that the handler can return it in the same line.
 */
tidings_err kiosk_refuse(const struct kiosk_place *place,
                         const struct tidings_event *event, tidings_err err);

/**
 * Have a handler called for each event of a type. In a durable place through
 * a durable group of the service's own, "notification.user.created": an event
 * whose handler fails comes again, and in the end is a dead letter.
 */
tidings_err kiosk_subscribe(const struct kiosk_place *place, const char *type,
                            tidings_handler handler, void *state);

/**
 * Run services in this process until SIGTERM, SIGINT or the end of the
 * commands. The whole main() of a program.
 *
 * @param default_url  where to when neither argument nor TIDINGS_URL says.
 * @return the exit status.
 */
int kiosk_run(const struct kiosk_service *const *services, size_t count,
              const char *default_url, int argc, char **argv);

#endif
