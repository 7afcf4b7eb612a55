/* What a service of the shop is: tables of its own, types that it answers,
 * events that it listens to. host.c runs it in a process of its own. */
#ifndef SHOP_SERVICE_H
#define SHOP_SERVICE_H

#include <stddef.h>

#include <tidings/sqlite.h>
#include <tidings/tidings.h>

#include "db.h"
#include "messages.h"

/** Where a service runs; arg of its handlers. */
struct shop {
    const char *name; /* the service's */
    tidings_bus *bus;
    struct shop_db db;    /* of handlers of requests, and of tick … */
    struct shop_db inbox; /* … and of on_event: the same file */
    tidings_relay *relay; /* of what is published in either */
};

struct shop_service {
    const char *name;
    const char *version;
    const char *description;
    const char *schema; /* CREATE TABLE IF NOT EXISTS … */
    const struct tidings_endpoint *endpoints; /* arg is set by the host */
    size_t endpoints_len;
    unsigned workers; /* for its requests: 0: one after the other */
    struct tidings_breaker_bounds breaker;

    /** Patterns of stored events that it listens to, NULL at the end; NULL:
     *  none. Each event once, in a transaction: what on_event writes, and that
     *  it was here, are committed together. */
    const char *const *listens;
    tidings_err (*on_event)(void *shop, sqlite3 *db,
                            const struct tidings_event *event);
    /** Once a second, on the host's thread. NULL: not called. */
    void (*tick)(struct shop *shop);
};

extern const struct shop_service shop_users;
extern const struct shop_service shop_inventory;
extern const struct shop_service shop_payments;
extern const struct shop_service shop_orders;
extern const struct shop_service shop_notification;
extern const struct shop_service shop_analytics;

/** The whole main() of a service's program. */
int shop_main(const struct shop_service *service, int argc, char **argv);

/** Print one line, whichever thread calls. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void shop_say(const char *format, ...);

#define SHOP_ID_BYTES 37 /* of the text, with the NUL */

/** A new random id. */
tidings_err shop_new_id(char out[SHOP_ID_BYTES], sqlite3 *db);

/* ---- answering ---- */

/** Answers with an error: status as HTTP's. Returns what a handler returns. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
tidings_err
shop_refuse(tidings_task *task, int status, const char *format, ...);

/** Answers what a database call, or packing, has come to: 503 when it was busy,
 *  500 else. */
tidings_err shop_failed(tidings_task *task, tidings_err err);

/* For each record, "user" for example:
 *
 * shop_take_user(&user, task, event)     what the request asks for; false: it
 *                                        is none, and was answered with 400.
 * shop_answer_user(task, &user)          the answer.
 * shop_publish_user(db, type, key, &user)  into the outbox, within the
 *                                        transaction; ordered with all others
 *                                        of that key.
 * shop_ask_user(&reply, shop, type, &user)  a request that may be made twice,
 *                                        and that is made again when whoever
 *                                        had it was lost; tidings_reply_fini().
 */
#define SHOP_PROTOTYPES(record, fields)                                        \
    bool shop_take_##record(struct shop_##record *out, tidings_task *task,     \
                            const struct tidings_event *event);                \
    tidings_err shop_answer_##record(tidings_task *task,                       \
                                     const struct shop_##record *from);        \
    tidings_err shop_publish_##record(sqlite3 *db, const char *type,           \
                                      const char *key,                         \
                                      const struct shop_##record *from);       \
    tidings_err shop_ask_##record(struct tidings_reply *reply,                 \
                                  struct shop *shop, const char *type,         \
                                  const struct shop_##record *from);

SHOP_RECORDS(SHOP_PROTOTYPES)

#endif
