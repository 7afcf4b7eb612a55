/* Services as the bus has them: requests that arrive become tasks, which wait
 * for the dispatcher or for threads of the service's own, are handled, and are
 * answered by whoever has them.
 *
 * A task belongs to two: to whoever runs its handler, until that has returned,
 * and to the user, until it is answered. Its memory is used again when neither
 * has it any more; one that the user has still when the bus is closed is his
 * alone, and goes when he answers it.
 *
 * All with the bus's lock, unless it says otherwise. Answers have a lock of
 * their own, taken after the bus's, or alone: handlers that follow one another
 * quickly answer without the bus's, and what they said goes together. */
#ifndef TD_CLIENT_SERVICE_H
#define TD_CLIENT_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/session_service.h"
#include "client/view.h"
#include "tidings/service.h"

struct td_bus;
struct td_message;
struct td_bus_service;

enum td_said {
    TD_SAID_NOTHING,
    TD_SAID,      /* by the handler, or for it */
    TD_SAID_LOST, /* by the library: the service has ended */
};

/* tidings_task of the public header. */
struct tidings_task {
    struct tidings_task *next; /* waits; or is free */
    struct tidings_task *prev; /* with next: among those answered later */
    tidings_bus *bus;          /* outlives it, as a handle */
    struct td_bus_service *service;
    uint32_t endpoint; /* from 0 on */
    uint32_t held;     /* bytes that it counts for: of the message */
    atomic_int said; /* enum td_said: whoever changes it from NOTHING answers */
    bool ran;        /* its handler has returned */
    atomic_bool gone; /* the user has it no more */
    uint64_t number;  /* the broker's */
    uint64_t link;    /* that it came over */
    int64_t came_us;
    int64_t began_us;
    int64_t deadline_us;
    /* until its handler has returned */
    struct td_message *message; /* which holds the following */
    struct td_str type;
    struct td_str source;
    struct td_str event;
    uint64_t session; /* whose event it is … */
    uint64_t sequence;
    int64_t time_us;
};

/* Handlers run for so long before their answers are sent. */
#define TD_SECTION_US 1000

struct td_task_list {
    tidings_task *head;
    tidings_task **tail;
    size_t len;
};

void td_bus_task_list_init(struct td_task_list *list);
void td_bus_task_list_push(struct td_task_list *list, tidings_task *task);
/* Moves at most max from the head of one to the tail of the other. */
void td_bus_task_list_move(struct td_task_list *to, struct td_task_list *from,
                           size_t max);

struct td_bus_endpoint {
    tidings_task_handler handler;
    void *arg;
    atomic_uint open; /* its tasks that nobody has answered */
    uint32_t open_max;
};

/* Counted by handlers' threads as well. */
struct td_service_counts {
    atomic_ullong answered;
    atomic_ullong errors;
    atomic_ullong expired;
    atomic_ullong late;
    atomic_ullong lost;
    atomic_ullong handler_us;
    atomic_ullong handler_max_us;
};

struct td_crew;

struct td_bus_service {
    struct td_bus_service *prev;
    struct td_bus_service *next;
    struct td_bus *bus;
    uint32_t number;              /* of its handle */
    struct td_cservice *cservice; /* NULL: it is over */
    struct td_crew *crew;         /* NULL: it is the dispatcher's */
    tidings_health_check check;
    void *check_arg;
    void (*on_drain)(void *arg, bool drain);
    void *on_drain_arg;
    enum tidings_health health; /* as it was said last, but for … */
    char why[TD_HEALTH_TEXT_BYTES_MAX + 1];
    bool stopping;       /* … this */
    bool begun;          /* the broker has had it */
    const void *stopper; /* the call that ends it; NULL: none */
    /* jobs, that go ahead of tasks */
    bool beat;        /* how is it? */
    bool drains;      /* on_drain is to be told … */
    bool drain;       /* … this */
    bool in_job;      /* somebody is at one */
    atomic_bool over; /* no handler of it is to be called any more */
    uint64_t requests;
    uint64_t refused;    /* of those: there was no room, or no memory */
    uint64_t bytes;      /* of messages that are kept for them … */
    uint64_t message;    /* … the last of which is this */
    uint64_t waiting;    /* tasks that no handler has begun with */
    uint64_t running;    /* … and those that one is at */
    uint64_t open;       /* those in use */
    tidings_task *later; /* handled, and to be answered: list by prev, next */
    struct td_service_counts counts;
    uint32_t endpoints_len;
    struct td_bus_endpoint endpoints[];
};

/* Who calls handlers of tasks: one for each thread that does. */
struct td_runner {
    struct td_runner *outer; /* of the same thread */
    struct td_bus *bus;
    tidings_task *task;              /* whose handler runs … */
    const struct td_task_list *rest; /* … and those that come next */
    int64_t now_us;                  /* when the clock was read last */
    struct td_view view;
};

/* The services of a bus. */
struct td_services {
    struct td_bus_service *list;
    struct td_bus_service *over; /* some of whose tasks or threads are in use */
    uint32_t next_number;
    struct td_task_list tasks; /* that wait for the dispatcher */
    struct td_task_list free;
    struct td_runner runner;   /* the dispatcher's */
    _Atomic int64_t sent_us;   /* when answers were sent last */
    uint64_t messages;         /* with tasks that have arrived: a number */
    bool jobs;                 /* some service of the dispatcher's has one */
    pthread_mutex_t lock;      /* of these: */
    struct td_answers answers; /* not sent yet … */
    struct td_answers spare;   /* … with the bus's lock alone: being sent */
    int64_t since_us;          /* when the first of them came */
};

void td_bus_services_init(struct td_services *all);
/* No thread of the bus runs any more. */
void td_bus_services_fini(struct td_services *all);

/* ---- service.c ---- */

/* A request has arrived. */
void td_bus_service_take(struct td_bus *b, struct td_message *m,
                         const struct td_handed *handed, int64_t now_us);
/* Those that no handler has begun with: without threads of its own all of the
 * bus's. */
struct td_task_list *td_bus_service_waiting(const struct td_bus_service *s);
/* The session asks how it is, or says that it drains. */
void td_bus_service_beat(struct td_bus_service *s);
void td_bus_service_drain(struct td_bus_service *s, bool drain);
/* Says how it is by now. */
void td_bus_service_say(struct td_bus_service *s);
/* Whether it has a job that may be done now; and does it, letting the lock go
 * meanwhile. */
bool td_bus_service_has_job(const struct td_bus_service *s);
void td_bus_service_work(struct td_bus_service *s);
struct td_bus_service *td_bus_service_find(struct td_bus *b, uint32_t number);
/* They are taken to be handled, or put back. */
void td_bus_tasks_begin(const struct td_task_list *list);
void td_bus_tasks_put_back(struct td_task_list *list,
                           struct td_task_list *rest);

/* ---- service_stop.c ---- */

/* Tasks that somebody waits for an answer to. */
uint64_t td_bus_service_pending(struct td_bus_service *s, int64_t now_us);
/* What waits, or is to be answered later, is answered with TIDINGS_ELOST, and
 * no handler is called any more. */
void td_bus_service_drop(struct td_bus_service *s);
/* The same, and it is forgotten as soon as nobody is at it any more. */
void td_bus_service_end(struct td_bus_service *s);
/* Frees those that are over and that nobody is at, or, with the bus, all that
 * have threads, which are joined; the lock is let go meanwhile. */
void td_bus_services_reap(struct td_bus *b, bool all);
/* Ends one, or NULL: all, in order; false: not all was answered in time. They
 * are gone all the same. */
bool td_bus_services_stop(struct td_bus *b, struct td_bus_service *only,
                          int64_t deadline_ms);
/* Ends one that was never begun. */
void td_bus_service_undo(struct td_bus_service *s);

/* ---- task.c ---- */

/* Around what runs on this thread, without the lock too. */
void td_runner_enter(struct td_runner *r, struct td_bus *b);
void td_runner_leave(struct td_runner *r);
/* The one that is in this task's handler; NULL: this thread is not. */
struct td_runner *td_runner_of(const tidings_task *task);
/* Whether this thread is inside something that a service of the bus called. */
bool td_runner_is_here(const struct td_bus *b);

/* A free one; NULL: there is no memory. */
tidings_task *td_bus_task_new(struct td_bus *b);
/* Neither the handler nor the user has it. */
void td_bus_task_free(struct td_bus *b, tidings_task *task);
/* Handles some of the tasks, without the lock, for a millisecond at most;
 * those are in done, in order. */
size_t td_bus_tasks_run(struct td_runner *r, struct td_task_list *tasks,
                        struct td_task_list *done);
/* Their handlers have returned. */
void td_bus_tasks_done(struct td_runner *r, struct td_task_list *done);

/* ---- task_answer.c ---- */

/* What is said of a task. */
struct td_saying {
    tidings_err code;
    int status;
    const char *text; /* not NULL */
    const void *data;
    size_t len;
};

/* false: somebody has said it. */
bool td_task_claim(tidings_task *task, enum td_said by);
/* Whoever has claimed it says so, if somebody waits for it still. */
tidings_err td_task_say(struct td_bus *b, tidings_task *task,
                        const struct td_saying *what, int64_t now_us,
                        bool locked);
/* What becomes of one that is not handled: answered so. */
void td_bus_task_refuse(struct td_bus *b, tidings_task *task, tidings_err code,
                        const char *text);
/* The same of a request that could not become one. */
void td_bus_request_refuse(struct td_bus *b, uint64_t task, tidings_err code,
                           const char *text);
/* Memory that answers need at least: before the first service. */
tidings_err td_answers_begin(struct td_services *all);
/* Sends what was answered. */
void td_answers_send(struct td_bus *b);
bool td_answers_any(struct td_bus *b);
/* For the keeper: sends what waits for too long; when to look again. */
int64_t td_answers_keep(struct td_bus *b);

/* ---- run in the dispatcher ---- */

bool td_bus_services_have_work(const struct td_bus *b);
/* Does some of it, letting the lock go meanwhile; how many handlers it
 * called. */
size_t td_bus_services_dispatch(struct td_bus *b, size_t max);

/* ---- crew.c: a service's own threads ---- */

tidings_err td_crew_new(struct td_bus_service *s, unsigned workers);
/* So many tasks, or a job, have come. */
void td_crew_wake(struct td_crew *crew, size_t n);
void td_crew_push(struct td_crew *crew, tidings_task *task);
/* Those that wait. */
struct td_task_list *td_crew_tasks(struct td_crew *crew);
/* Its threads end, when they have returned from what they are at. */
void td_crew_end(struct td_crew *crew);
unsigned td_crew_busy(const struct td_crew *crew);
/* Joins and frees; the lock is let go meanwhile. */
void td_crew_free(struct td_crew *crew);

#endif
