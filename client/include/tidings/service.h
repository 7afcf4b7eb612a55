/* tidings, services: call by name, be found, be balanced.
 *
 * A request is an event that wants an answer. Whoever answers registers a
 * service at the broker, which is registry and balancer in one:
 *
 *     static tidings_err get_user(void *arg, tidings_task *task,
 *                                 const struct tidings_event *request)
 *     {
 *         ...
 *         return tidings_answer(task, data, len);
 *     }
 *
 *     struct tidings_endpoint get = {.type = "user.get", .handler = get_user};
 *     struct tidings_service_options users = {.name = "users",
 *                                             .version = "1.0.0",
 *                                             .endpoints = &get,
 *                                             .endpoints_len = 1};
 *     tidings_serve(&service, bus, &users);
 *
 * and whoever asks needs the type alone:
 *
 *     struct tidings_reply reply;
 *     err = tidings_request(&reply, bus, "user.get", data, len, 1000);
 *     if (!err)
 *         ... reply.data, reply.len ...
 *     tidings_reply_fini(&reply);
 *
 * Nothing of this is stored: what must be done whatever happens is published
 * to a stream (tidings/durable.h), and settled.
 *
 * Terms: PROTOCOL.md 11. Threads and errors as in tidings.h, which includes
 * this header.
 */
#ifndef TIDINGS_SERVICE_H
#define TIDINGS_SERVICE_H

#include "tidings/resilience.h"
#include "tidings/tidings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================
 * Requests
 *
 * Deadlines travel: a request has a timeout, whoever handles it knows what is
 * left of that, and requests that its handler makes on the same thread get no
 * more than that, whatever they ask for. What has nothing left is refused
 * before it is handled.
 * ====================================================================== */

/** Which of several instances gets a request. PROTOCOL.md 11.3. */
enum tidings_balance {
    TIDINGS_BALANCE_DEFAULT, /* what the endpoint says; in an endpoint:
                                ROUND_ROBIN */
    TIDINGS_BALANCE_ROUND_ROBIN,
    TIDINGS_BALANCE_RANDOM,
    TIDINGS_BALANCE_LEAST_IN_FLIGHT,
    TIDINGS_BALANCE_KEY,    /* the same instance for the same partitionkey */
    TIDINGS_BALANCE_LATENCY /* of two at random the one that answers sooner */
};

/** Name of it, "round_robin"; "?" for a value not in the enum. */
TIDINGS_API const char *tidings_balance_name(enum tidings_balance balance);

/** An answer, or why there is none. */
struct tidings_reply {
    tidings_err err;  /* as the call returned it, and the same values */
    int status;       /* TIDINGS_EREMOTE: what the handler said, 1..999: 500 and
                        above says that the service failed, below that the
                        request was wrong. Else 0 */
    const char *text; /* the handler's, or in words what went wrong; never NULL,
                         "" with TIDINGS_OK */
    const void *data; /* len bytes: the answer; of TIDINGS_EREMOTE its detail */
    size_t len;
    const char *instance; /* id of who answered; "": nobody did */
    unsigned attempts;    /* how often it was sent; 0: not at all. After several
                             err is that of the last one: it does not say that
                             one before it was not done */
    uint64_t left;        /* tidings_request_many(): how many more may come */
    void *memory;         /* the library's */
};

/** Free what a reply holds, and zero it; zeroed or NULL: does nothing. Not for
 *  replies handed to a callback: they are the library's. */
TIDINGS_API void tidings_reply_fini(struct tidings_reply *reply);

/** Settings of a request. All zero: the defaults. */
struct tidings_request_options {
    int timeout_ms;    /* 1..86400000: for all of it, retries included; default
                       5000 */
    bool idempotent;   /* doing it twice does no harm: it may be tried again, on
                        another instance, when whoever had it was lost
                        (TIDINGS_ELOST), the link was, it had no room
                        (TIDINGS_EFULL), it answered with status 503, or not
                        within attempt_timeout_ms; and, once one was there, on
                        TIDINGS_ENORESPONDER. Retries wait (20 ms, doubled up
                        to 1 s, less a random part), and a bus makes at most
                        one for each ten requests, and ten at once: a service
                        that is down is not hit with more than that */
    unsigned attempts; /* of one that is idempotent: 1..10; default 3 */
    int attempt_timeout_ms; /* of each; default: all that is left */
    enum tidings_balance balance;
    const char *service;  /* only its instances; NULL: any */
    const char *version;  /* only instances of that version; NULL: any */
    const char *instance; /* only that one, by id; NULL: any */
};

/**
 * Ask, and wait for the answer.
 *
 * It goes to one instance that has an endpoint for the type, chosen by the
 * endpoint's balance. (Where endpoints of several groups have the type it goes
 * to one of each, and the first answer wins.) No responder is an error at
 * once, not a timeout.
 *
 * Inside a handler it waits as anywhere else, on the handler's thread: others
 * of this bus wait meanwhile, unless subscription or service has workers. So a
 * handler without them that asks an instance of its own bus asks whoever waits
 * for it, and gets TIDINGS_ETIMEDOUT.
 *
 * @param out   set in any case, also where it fails: err and text say why, and
 *              what else is known; the caller's, freed with
 *              tidings_reply_fini().
 * @param type  as for tidings_publish().
 * @param data  as for tidings_publish().
 * @param timeout_ms  1..86400000.
 * @return TIDINGS_OK            answered.
 *         TIDINGS_EREMOTE       answered with an error: out->status, text, data.
 *         TIDINGS_ENORESPONDER  nobody answers this type, or none that is
 *                               healthy.
 *         TIDINGS_EBREAKER      all that do have their breaker open.
 *         TIDINGS_EFULL         all that do have as much as they take; or this
 *                               bus has 65536 requests unanswered, or 8 MiB of
 *                               them unsent, or kept to be tried again
 *                               (idempotent): text says which, and attempts
 *                               is 0 if it was not sent.
 *         TIDINGS_ELOST         whoever had it was lost, or the link was: it
 *                               may have been done.
 *         TIDINGS_ETIMEDOUT     no answer in time: it may have been done, or
 *                               may yet be.
 *         TIDINGS_EUNREACH      no broker within timeout_ms: it was not sent.
 *         TIDINGS_EDEADLK       inside on_status, which must not wait.
 *         TIDINGS_EFENCED       another process has taken the bus's producer.
 *         TIDINGS_EINVAL, TIDINGS_ENOMEM, TIDINGS_ECLOSED, TIDINGS_EFORKED
 */
TIDINGS_API tidings_err tidings_request(struct tidings_reply *out,
                                        tidings_bus *bus, const char *type,
                                        const void *data, size_t len,
                                        int timeout_ms);

/**
 * The same with an event's attributes (its partitionkey is what
 * TIDINGS_BALANCE_KEY goes by, its expirytime a deadline) and options.
 *
 * @param event    as for tidings_publish_event().
 * @param options  borrowed; NULL: the defaults.
 */
TIDINGS_API tidings_err
tidings_request_event(struct tidings_reply *out, tidings_bus *bus,
                      const struct tidings_event *event,
                      const struct tidings_request_options *options);

/** Called once with the answer, or why there is none, at the latest by
 *  tidings_close() (TIDINGS_ECLOSED). reply is the library's. Threads: that of
 *  handlers without workers, in tidings_dispatch() with own_loop (where it
 *  counts as an event), and tidings_close()'s own for what is left; one call at
 *  a time. It may do what a handler may. Answers that wait for it have a bound,
 *  32 MiB of a bus: one that comes beyond that is told as TIDINGS_ELOST and
 *  without its data: what was asked has been done. */
typedef void (*tidings_on_reply)(void *arg, const struct tidings_reply *reply);

/**
 * The same without waiting: on_reply is called with the answer. While answers
 * are out requests that are made together go together, a moment later.
 * tidings_close() does not wait for answers.
 *
 * @return TIDINGS_OK     on its way, on_reply will be called.
 *         TIDINGS_EFULL  this bus has 65536 requests unanswered, or 8 MiB of
 *                        them unsent, or kept to be tried again, or 32 MiB of
 *                        answers that on_reply has not heard: it is not called.
 *         TIDINGS_ETIMEDOUT  the deadline of what this thread is handling has
 *                            passed, or the event's expirytime: nor is it here.
 *         TIDINGS_EFENCED, TIDINGS_EINVAL, TIDINGS_ENOMEM, TIDINGS_ECLOSED,
 *         TIDINGS_EFORKED: nor is it here.
 */
TIDINGS_API tidings_err
tidings_request_async(tidings_bus *bus, const struct tidings_event *event,
                      const struct tidings_request_options *options,
                      tidings_on_reply on_reply, void *arg);

/** Settings of tidings_request_many(): when it has heard enough. */
struct tidings_many_options {
    int timeout_ms; /* 1..86400000; default 5000 */
    uint64_t count; /* so many answers are enough, TIDINGS_EREMOTE among them;
                       default: all that were asked */
    int quiet_ms;   /* no answer for so long after the last is the end;
                       default: none */
    const char *service; /* as in struct tidings_request_options */
    const char *version;
    const char *instance;
};

/**
 * Ask every healthy instance, and hear all answers.
 *
 * @param on_reply  called for each answer, TIDINGS_EREMOTE included, and for
 *                  each instance that was lost or late, inside this call and on
 *                  its thread. It may do what a handler may. What comes after
 *                  this returned is dropped. The bound of answers that wait is
 *                  that of tidings_on_reply.
 * @param answers   how many answered with TIDINGS_OK; may be NULL.
 * @return TIDINGS_OK         all have answered, or count, or it was quiet.
 *         TIDINGS_ETIMEDOUT  not within timeout_ms; *answers holds.
 *         others as tidings_request().
 */
TIDINGS_API tidings_err tidings_request_many(
    uint64_t *answers, tidings_bus *bus, const struct tidings_event *event,
    const struct tidings_many_options *options, tidings_on_reply on_reply,
    void *arg);

/** What requests of this bus have come to since it was opened. */
struct tidings_request_info {
    uint64_t requests; /* made */
    uint64_t answered; /* of those: TIDINGS_OK */
    uint64_t errors;   /* TIDINGS_EREMOTE */
    uint64_t refused;  /* ENORESPONDER, EFULL, EBREAKER, EUNREACH */
    uint64_t timeouts;
    uint64_t lost;
    uint64_t withdrawn;   /* tidings_request_many() had heard enough, or the bus
                             was closed. requests is the sum of answered to
                             withdrawn, and in_flight */
    uint64_t retries;     /* sent again … */
    uint64_t retries_cut; /* … and not, for want of budget */
    uint64_t late;        /* answers that nobody waited for any more: dropped */
    uint64_t in_flight;
};

/** @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ECLOSED, TIDINGS_EFORKED */
TIDINGS_API tidings_err tidings_request_info(struct tidings_request_info *out,
                                             tidings_bus *bus);

/* ======================================================================
 * Services
 * ====================================================================== */

typedef struct tidings_service tidings_service;
/* A request in the hands of an instance. */
typedef struct tidings_task tidings_task;

/**
 * Handles a request. It answers with tidings_answer() or
 * tidings_answer_error(), before it returns or, with TIDINGS_ELATER, after.
 *
 * @param arg      the endpoint's.
 * @param task     valid until it is answered.
 * @param request  as in a tidings_handler: the library's, until this returns.
 * @return TIDINGS_OK      done; if it has not answered, the answer is empty.
 *         TIDINGS_ELATER  somebody will answer, on any thread, within the
 *                         deadline; when that has passed the caller has
 *                         TIDINGS_ETIMEDOUT, and task is valid all the same: it
 *                         is to be answered whatever happens, also after the
 *                         bus was closed, and takes one of max_in_flight until
 *                         it is.
 *         others          failed; if it has not answered, the answer is status
 *                         500 with the error's text.
 * Threads: that of handlers, or with workers one of the service's.
 */
typedef tidings_err (*tidings_task_handler)(
    void *arg, tidings_task *task, const struct tidings_event *request);

/**
 * Answer a task, once. It leaves at once, also while its handler goes on. The
 * task is gone afterwards, whatever is returned but TIDINGS_EINVAL.
 *
 * @param data  len bytes, copied; NULL only when len is 0.
 * @param len   0..TIDINGS_DATA_MAX.
 * @return TIDINGS_OK         on its way.
 *         TIDINGS_ETIMEDOUT  too late: the deadline has passed, nobody waits.
 *         TIDINGS_EUNREACH   the link was lost since: nobody waits.
 *         TIDINGS_EINVAL     data, len, or task is NULL: it is not answered,
 *                            still yours, and to be answered otherwise.
 *         TIDINGS_EEXIST     it was answered before by this handler.
 *         TIDINGS_ECLOSED    the service was stopped, or the bus closed.
 *         TIDINGS_ENOMEM     no memory for data: the caller is told so, with
 *                            TIDINGS_EREMOTE and status 503.
 *         TIDINGS_EFORKED
 */
TIDINGS_API tidings_err tidings_answer(tidings_task *task, const void *data,
                                       size_t len);

/**
 * The same with an error: the caller gets TIDINGS_EREMOTE.
 *
 * @param status  1..999: 500 and above says that the service failed, and counts
 *                for breakers; 503 that it may be tried elsewhere; below 500
 *                that the request was wrong. Term: HTTP's, RFC 9110 15.
 * @param text    one line, for people; cut at 255 bytes; NULL: "".
 * @param detail  len bytes, for programs; NULL only when len is 0.
 * @return as tidings_answer(); TIDINGS_EINVAL also for status, and for text that
 *         is not UTF-8.
 */
TIDINGS_API tidings_err tidings_answer_error(tidings_task *task, int status,
                                             const char *text,
                                             const void *detail, size_t len);

/** Milliseconds that are left of the task's deadline; 0: none. */
TIDINGS_API int tidings_task_left_ms(const tidings_task *task);

/** How an instance is. PROTOCOL.md 11.2. */
enum tidings_health {
    TIDINGS_STARTING = 1, /* gets nothing yet */
    TIDINGS_RUNNING,
    TIDINGS_DEGRADED, /* gets something where no other is running */
    TIDINGS_STOPPING, /* gets nothing new */
    TIDINGS_SICK      /* "down": gets nothing until it is better */
};

/** Name of it, "starting", "running", "degraded", "stopping", "down"; "?" for a
 *  value not in the enum. */
TIDINGS_API const char *tidings_health_name(enum tidings_health health);

/**
 * Says how the instance is: called every health_ms, where handlers are called,
 * so that one that hangs is found out.
 *
 * @param text  of size bytes: why, one line; "" when it is called.
 * @return TIDINGS_RUNNING, TIDINGS_DEGRADED or TIDINGS_SICK; others count as
 *         TIDINGS_SICK.
 */
typedef enum tidings_health (*tidings_health_check)(void *arg, char *text,
                                                    size_t size);

/** A pair of strings. */
struct tidings_pair {
    const char *key;
    const char *value;
};

/** What an instance answers. */
struct tidings_endpoint {
    const char *type; /* a pattern: see "Types and patterns" */
    tidings_task_handler handler;
    void *arg;         /* the caller's, until tidings_service_stop() returned
                          TIDINGS_OK, else until tidings_close() did */
    const char *name;  /* 1..64 of [A-Za-z0-9_-]; default: the type, what is not
                         of these as '-' */
    const char *group; /* 1..64 of [A-Za-z0-9_.-]; default: the service's name.
                          A request goes to one instance of each group */
    enum tidings_balance balance; /* where instances differ, that of the one
                                     registered last is used */
    unsigned max_in_flight; /* of this instance, 1..65536; default 4096. More
                               are refused, or go to others. Refused is also
                               what comes when 64 MiB of requests, and of what
                               came with them, wait for the service's handlers
                               */
};

/** Settings of tidings_serve(). What is 0 has the default. */
struct tidings_service_options {
    const char *name;        /* required; 1..64 of [A-Za-z0-9_-] */
    const char *version;     /* required; a semantic version, "1.2.0" */
    const char *description; /* at most 255 bytes */
    const struct tidings_pair *metadata; /* at most 32, 4 KiB encoded. "host"
                                            and "pid" are added, if they are not
                                            there and have room */
    size_t metadata_len;
    const struct tidings_endpoint *endpoints; /* at most 64 */
    size_t endpoints_len;
    enum tidings_health health;        /* it begins with; default RUNNING */
    tidings_health_check health_check; /* NULL: as tidings_service_set_health()
                                          said last */
    void *health_arg;                  /* as an endpoint's arg */
    int health_ms;    /* how often it is asked; default 1000, at least 100. The
                         broker takes it for down when it has not said anything
                         for three times that, because its handlers hang; with
                         -1 the broker waits for nothing */
    unsigned workers; /* handlers run on so many threads of their own, 1..64;
                         default 0: on the bus's, one at a time. Not with
                         own_loop */
    struct tidings_breaker_bounds breaker; /* of each instance */
    struct tidings_breaker_bounds
        service_breaker; /* of all of them; failures is off by default */
    /** An operator wants the instance to drain (true), or has changed his mind:
     *  it gets nothing new. Called where handlers are. NULL: not called. */
    void (*on_drain)(void *arg, bool drain);
    void *on_drain_arg; /* as an endpoint's arg */
    int timeout_ms;     /* for the broker's answer; default 5000 */
};

/**
 * Register an instance of a service, and wait until the broker has it.
 *
 * It is renewed by itself on each new link. While the link is lost it is not
 * there, and what it had in flight is answered TIDINGS_ELOST.
 *
 * @param out      the handle; ended with tidings_service_stop(), or with the
 *                 bus. NULL: with the bus alone.
 * @param options  borrowed during the call.
 * @return TIDINGS_OK         registered.
 *         TIDINGS_EINVAL     an option; the detail names it.
 *         TIDINGS_ELIMIT     64 services on this bus, or as many instances at
 *                            the broker as it allows.
 *         TIDINGS_EUNREACH   no broker within timeout_ms; nothing registered.
 *         TIDINGS_ETIMEDOUT  connected, but no answer; nothing registered.
 *         TIDINGS_ENOTSUP    workers with own_loop.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED, TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err
tidings_serve(tidings_service **out, tidings_bus *bus,
              const struct tidings_service_options *options);

/** Say how the instance is, at once; a health check says it anew.
 *
 * @param text  why, one line of UTF-8, cut at 255 bytes; NULL: "".
 * @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ECLOSED, TIDINGS_EFORKED */
TIDINGS_API tidings_err tidings_service_set_health(tidings_service *service,
                                                   enum tidings_health health,
                                                   const char *text);

/**
 * End it in order: it says TIDINGS_STOPPING, gets nothing new, handles and
 * answers what has arrived, and is gone.
 *
 * @return TIDINGS_OK         all was answered, and nothing of the program's is
 *                            called any more: no handler, health_check or
 *                            on_drain runs.
 *         TIDINGS_ETIMEDOUT  not within timeout_ms: it is gone all the same,
 *                            and what no handler had begun with, or was to
 *                            answer later, is answered TIDINGS_ELOST. What runs
 *                            may still: a handler may still answer. None is
 *                            called anew; tidings_close() waits for those that
 *                            run.
 *         TIDINGS_EDEADLK    inside a handler of this bus.
 *         TIDINGS_ECLOSED, TIDINGS_EFORKED
 */
TIDINGS_API tidings_err tidings_service_stop(tidings_service *service,
                                             int timeout_ms);

/** What an instance has done since tidings_serve(). */
struct tidings_service_info {
    char id[33]; /* the broker's name for it */
    enum tidings_health health;
    bool draining;       /* an operator wants it to */
    uint64_t requests;   /* that arrived; at rest what follows adds up
                            to them */
    uint64_t answered;   /* with TIDINGS_OK */
    uint64_t errors;     /* with an error of the handler's, or for want of
                            memory for the answer */
    uint64_t expired;    /* not handled: nothing was left of the deadline */
    uint64_t late;       /* handled, but nobody waited any more: the deadline
                            had passed, or the link was lost */
    uint64_t lost;       /* not handled: it had ended, or the link was lost */
    uint64_t refused;    /* TIDINGS_EFULL: max_in_flight, 64 MiB that wait,
                            or there was no memory */
    uint64_t waiting;    /* for a handler */
    uint64_t running;    /* with one, or to be answered later */
    uint64_t handler_us; /* time that handlers took, added up */
    uint64_t handler_max_us; /* the longest */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ECLOSED, TIDINGS_EFORKED */
TIDINGS_API tidings_err tidings_service_info(struct tidings_service_info *out,
                                             tidings_service *service);

/* ======================================================================
 * Discovery
 * ====================================================================== */

/** An instance, as the registry has it. Strings are the list's. */
struct tidings_instance {
    const char *service;
    const char *id;
    const char *version;
    enum tidings_health health;
    bool draining;
    const char *text; /* why it is so */
    const struct tidings_pair *metadata;
    size_t metadata_len;
    const char *const *types; /* patterns of its endpoints */
    size_t types_len;
};

struct tidings_instances {
    const struct tidings_instance *list; /* by service, then by id */
    size_t len;
    bool stale; /* the link is lost, or something was missed: as it was last
                   known */
};

/**
 * Who there is.
 *
 * Answered from a copy of the registry that this bus keeps from the first call
 * on, and that the registry's own events keep true: an instance that is gone is
 * in no list once its event has come. The first call waits for the copy; later
 * ones wait only while it is stale.
 *
 * @param out   freed with tidings_instances_free().
 * @param name  of a service; NULL: all.
 * @param timeout_ms  0..86400000; 0: do not wait, it may be there already.
 * @return TIDINGS_OK         also when there is none, or stale.
 *         TIDINGS_EUNREACH, TIDINGS_ETIMEDOUT: there is no copy yet, and none
 *         came within timeout_ms.
 *         TIDINGS_ELIMIT     as many subscriptions on this bus as there may
 *                            be: it needs one.
 *         TIDINGS_EINVAL, TIDINGS_ENOMEM, TIDINGS_ECLOSED, TIDINGS_EFORKED
 */
TIDINGS_API tidings_err tidings_discover(struct tidings_instances **out,
                                         tidings_bus *bus, const char *name,
                                         int timeout_ms);

/** NULL does nothing. */
TIDINGS_API void tidings_instances_free(struct tidings_instances *list);

#ifdef __cplusplus
}
#endif
#endif
