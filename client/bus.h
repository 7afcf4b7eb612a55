/* A bus: the pure session, a link, the threads around them, and what waits to
 * be handed to handlers.
 *
 * One lock, that of the bus's slot, guards all of it but the batch that is
 * being packed, which has its own. At most one thread at a
 * time drives: it polls the link without the lock, reads it with it, and lets
 * the session do what is due. At most one dispatches: it calls handlers,
 * without the lock. The I/O thread does both in turn, so an event reaches its
 * handler without changing threads. Who asks alone, and waits for the answer,
 * drives by itself. While a handler runs, whoever waits for something drives,
 * until it has what it waits for, or nobody waits; and if nobody does, the
 * keeper drives often enough to keep the link alive. A publisher sends on its own thread. Workers
 * are threads of a subscription (workers.h). */
#ifndef TD_BUS_H
#define TD_BUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/discovery.h"
#include "client/link.h"
#include "client/notice.h"
#include "client/service.h"
#include "client/session.h"
#include "client/sub.h"
#include "tidings/tidings.h"

struct td_asked;
struct td_cursor;

#define TD_AWAY_MS 10 /* a handler that has kept the I/O thread for so long */

struct td_bus {
    pthread_mutex_t *lock;   /* of the slot */
    pthread_mutex_t *packer; /* of the slot: guards client.packer and
                                packing_over; taken after lock, or alone */
    pthread_cond_t changed;  /* anything that a call may wait for … */
    pthread_cond_t room;     /* … but this: there is room to publish */
    pthread_cond_t keeper;   /* the keeper waits for this alone */
    pthread_cond_t lender;   /* … and the I/O thread, while another drives */
    tidings_bus *handle;
    char *url;
    char name[TD_NAME_BYTES_MAX + 1];
    char source[TD_SOURCE_BYTES_MAX + 1];
    char producer[TD_PRODUCER_NAME_BYTES_MAX + 1]; /* its name; "": none */
    int publish_timeout_ms;
    int close_timeout_ms;
    enum tidings_level confirm; /* of what is published without a level */
    bool own_loop;
    void (*on_status)(void *arg, const struct tidings_status *status);
    void *on_status_arg;
    bool telling;     /* on_status is being called: one call at a time … */
    pthread_t teller; /* … by this thread */
    unsigned tell_waiting; /* threads that wait for their turn … */
    bool late_waits;       /* … and the keeper does */

    struct td_client client;
    const struct td_backend *backend;
    struct td_link *link;
    bool packing_over; /* the bus is being closed */
    bool sent;         /* something, since it was last looked at */

    int wake_fd;           /* ends a poll early */
    bool driving;          /* some thread polls or reads the link */
    bool polling;          /* … polls, without the lock … */
    bool poked;            /* … and will not for long … */
    int64_t poll_until_ms; /* … until then */
    bool driver_waits;     /* … and waits for a change meanwhile … */
    const struct td_asked *drives_for; /* … or for this answer */
    bool following;    /* the I/O thread waits: whoever drives goes on */
    bool lent;         /* whoever asks drives: see drive.c … */
    uint64_t borrowed; /* … and did, so often */
    struct td_asked
        *asking;      /* what threads wait for an answer to: oldest first */
    unsigned askers;  /* those threads */
    unsigned waiting; /* threads that wait for changed */
    unsigned room_waiting; /* … for room */
    unsigned users;        /* calls that wait */
    bool closing;          /* calls that wait give up */
    bool close_called;
    bool stop; /* threads end */
    pthread_t io_thread;
    pthread_t keeper_thread;
    _Atomic int64_t keeper_ms; /* when the keeper looks next */

    struct td_bus_sub *subs;
    bool has_durable;        /* some of them are, or were … */
    int64_t progress_ms;     /* … and their progress is to be told then */
    struct td_watch watch;   /* of the dispatcher */
    bool lost;               /* some of them have lost what waited */
    bool has_workers;        /* some subscription has, or had, workers */
    struct td_pool *retired; /* pools of subscriptions that are over */
    struct td_notices notices;
    struct td_confirmed *confirms; /* whose waiters are to be called */
    struct td_confirmed **confirms_tail;
    struct td_asked *replies; /* whose on_reply is to be called */
    struct td_asked **replies_tail;
    struct td_message *taking; /* the message that the session looks at … */
    bool taking_kept; /* … which counts among the answers not heard */
    struct td_services services;
    struct td_discovery discovery;
    uint64_t waiting_events;
    bool dispatched; /* since the keeper looked last */
    bool dispatching;
    pthread_t dispatcher;
    struct td_bus_sub *running; /* whose handler is being called */
    struct td_cursor *cursor;   /* the dispatcher's */
    uint64_t steps;             /* of its, that are over */
    int64_t settled_us;         /* when it had all sent that was settled … */
    int64_t settled_ms;         /* … and when tidings_settle() had */
    int dispatch_fd; /* own_loop: readable while something waits; or -1 */
    uint64_t delivered;
    uint64_t failed;
};

/* bus.c */
tidings_err td_bus_new(struct td_bus **out, const char *url,
                       const struct tidings_options *options);
/* Ends the threads and frees the bus. Called with the lock, by nobody but
 * tidings_close(); the lock is released and the handle is gone. */
void td_bus_free(struct td_bus *b);

/* clock.c: the only clocks of the client */
int64_t td_now_ms(void);
int64_t td_now_us(void);               /* monotonic */
void td_sleep_until_us(int64_t at_us); /* on that clock */
int64_t td_unix_us(void);
int64_t td_unix_coarse_us(void); /* a tick late at most, and cheap */

/* Signals are the host program's: none is handled on a thread of ours. */
bool td_thread_start(pthread_t *out, void *(*run)(void *), void *arg);

/* The rest is called with the lock held, unless it says otherwise. */

/* port.c: what the session asks for, and what it has for the bus. */
struct td_client_port td_bus_port(struct td_bus *b);
/* A message of the link; takes it over. */
void td_bus_take(struct td_bus *b, struct td_message *m, int64_t now_ms);

/* wait.c */
/* Waits until done() or the deadline, letting the lock go meanwhile; false:
 * the deadline passed, or the bus is being closed. */
bool td_bus_wait(struct td_bus *b, bool (*done)(struct td_bus *b, void *arg),
                 void *arg, int64_t deadline_ms);

/* The same for what a broker has to say: not when the bus is fenced. */
bool td_bus_wait_broker(struct td_bus *b,
                        bool (*done)(struct td_bus *b, void *arg), void *arg,
                        int64_t deadline_ms);

/* The same until there is an answer to this, which there is in time; false: the
 * bus is being closed, or the deadline passed. */
bool td_bus_wait_asked(struct td_bus *b, struct td_asked *a,
                       int64_t deadline_ms);

/* The bus is being closed: waits until no call waits any more. */
void td_bus_leave(struct td_bus *b);

/* The same for room to publish. */
bool td_bus_wait_room(struct td_bus *b, int64_t deadline_ms);

/* drive.c */
/* After calls into the session: the driver may have to look at the link, or
 * at the clock. */
void td_bus_touched(struct td_bus *b);

/* Something changed that others may wait for. */
void td_bus_changed(struct td_bus *b);

/* What has arrived is taken, unless somebody drives and so does it anyway. */
void td_bus_look(struct td_bus *b);

/* The driver is to take a turn: there is something to be sent. */
void td_bus_soon(struct td_bus *b);

/* threads.c */
/* The keeper is to look at this time, not later. Also without the lock: then
 * it may be taken. */
void td_bus_keep(struct td_bus *b, int64_t when_ms);
void td_bus_keep_unlocked(struct td_bus *b, int64_t when_ms);

/* I/O thread and keeper; stopped and joined with the lock let go. */
tidings_err td_bus_start(struct td_bus *b);
void td_bus_stop(struct td_bus *b);

/* tell.c */
/* Calls on_status, without the lock. It waits for its turn; if the
 * subscription ends meanwhile, it is not called at all. */
void td_tell(struct td_bus *b, struct td_bus_sub *sub,
             const struct tidings_status *status);
/* Looks for calls that are late, and tells of them as long as nobody else is
 * telling; returns when to look again. */
int64_t td_tell_late(struct td_bus *b);

/* progress.c */
/* Tells the broker what durable subscriptions have in hand, when that is due;
 * returns when to look again. */
int64_t td_tell_progress(struct td_bus *b);
bool td_progress_is_due(const struct td_bus *b);
/* It is due now: the link was lost, or there is another subscription. */
void td_progress_soon(struct td_bus *b);
/* The user said so of this delivery: who is at it is not late. */
void td_progress_said(struct td_bus *b, struct td_bus_sub *sub, uint64_t tag);
/* What the broker has taken away of what waits is not for handlers any more. */
void td_give_back_lost(struct td_bus *b);
/* Once a group was parked, what waits here goes back: no delivery is to meet
 * the outage. Not with a pool's lock. */
void td_give_back_parked(struct td_bus *b, struct td_bus_sub *sub);

/* Whether this thread is inside one of the bus's handlers, or on_status. */
bool td_in_handler(const struct td_bus *b);
bool td_is_dispatcher(const struct td_bus *b);
/* Inside on_status, which must not wait. */
bool td_is_teller(const struct td_bus *b);

/* dispatch.c */
/* Adds a notice; what is taken off for it is freed. */
void td_push_notice(struct td_bus *b, struct td_notice *n);
void td_notice_free(struct td_notice *n);
bool td_has_notices(const struct td_bus *b);
/* Calls handlers for at most max events; nobody else may be dispatching. */
size_t td_dispatch(struct td_bus *b, size_t max);
struct td_cursor *td_cursor_new(void);
void td_cursor_free(struct td_cursor *cursor);

/* Something waits for the dispatcher: an own loop is to look. */
void td_bus_waits(struct td_bus *b);

/* confirm.c */
void td_push_confirmed(struct td_bus *b, struct td_confirmed *confirmed);
/* Calls some, without the lock; false: there were none. */
bool td_call_confirms(struct td_bus *b);
/* The bus is closed, no thread of it runs: calls all that are left, without
 * the lock. */
void td_end_confirms(struct td_bus *b);

/* sub.c */
struct td_bus_sub *td_bus_sub_find(struct td_bus *b, uint32_t number);
tidings_sub *td_bus_sub_handle(struct td_bus *b, const struct td_bus_sub *sub);

#endif
