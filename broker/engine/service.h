/* Services: who answers requests, and the requests that are on their way
 * (PROTOCOL.md 11).
 *
 *   REQUEST -> request.c -> choose.c -> task.c -> bundle.c -> HANDLE
 *   RESPONSE <- bundle.c <- task.c <- answer.c <- ANSWER, a lost link, a deadline
 *
 * A service is a name; an instance of it belongs to a session, for as long as
 * its link is there. Of what an instance answers, the endpoints of one pattern
 * and one group are a set: a type leads to sets, and of a group one endpoint is
 * chosen. A request that waits for its answer is an asking, and each instance
 * that it is in the hands of has a task of it. */
#ifndef TD_SERVICE_H
#define TD_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/bundle.h"
#include "broker/engine/hash.h"
#include "broker/engine/route.h"
#include "broker/engine/slots.h"
#include "broker/engine/trie.h"
#include "proto/balance.h"
#include "proto/breaker.h"
#include "proto/frame.h"
#include "proto/limits.h"

struct td_asking;
struct td_engine;
struct td_instance;
struct td_latency;
struct td_service;
struct td_session;

/* ---- the registry ---- */

/* A name that endpoints share work under. */
struct td_endpoint_group {
    UT_hash_handle hh; /* by name */
    bool hh_failed;
    uint64_t number; /* the younger, the higher */
    uint32_t sets;   /* of it */
    char name[];
};

/* The endpoints of one pattern in one group: what one of is chosen from. */
struct td_endpoint_set {
    struct td_trie_entry entry; /* first: what a type matches is cast to this */
    UT_hash_handle hh;          /* by key */
    bool hh_failed;
    struct td_candidate **members; /* of struct td_endpoint, oldest first */
    uint32_t members_len;
    uint32_t members_cap;
    enum td_balance_policy balance; /* as the youngest member says */
    struct td_endpoint_group *group;
    uint64_t number; /* the younger, the higher */
    char key[];      /* group, NUL, pattern */
};

/* What has come of the requests that an endpoint was handed. */
struct td_endpoint_counts {
    uint64_t requests;
    uint64_t answers; /* code 0 or EREMOTE: held_us is the sum of theirs */
    uint64_t errors;  /* EREMOTE */
    uint64_t timeouts;
    uint64_t lost;
    uint64_t refused; /* the instance's own EFULL */
    uint64_t held_us;
    uint64_t took_us;
    uint64_t took_max_us;
};

/* One endpoint of one instance. */
struct td_endpoint {
    struct td_candidate candidate; /* first: its set's members are cast to this;
                                      in_flight is in it */
    struct td_instance *instance;
    struct td_endpoint_set *set; /* NULL: its instance is no longer there */
    uint32_t number;             /* its place in the list, from 1 on */
    uint32_t max_in_flight;
    enum td_balance_policy balance;
    char name[TD_SERVICE_BYTES_MAX + 1];
    char *words; /* its own … */
    struct td_str group;
    struct td_str pattern;
    struct td_endpoint_counts count;
    char *last_error;           /* NULL: there was none */
    struct td_latency *latency; /* of took_us; NULL: nothing yet */
};

struct td_instance {
    UT_hash_handle hh; /* by id: those that are there */
    bool hh_failed;
    bool there; /* false: it has ended, and may answer what it has still */
    struct td_instance *service_prev; /* its service's, oldest first */
    struct td_instance *service_next;
    struct td_instance *session_prev; /* its session's, also those that ended */
    struct td_instance *session_next;
    struct td_session *session;
    struct td_service *service;
    uint64_t number; /* the session's, of the service */
    char id[TD_INSTANCE_BYTES_MAX + 1];
    char version[TD_VERSION_BYTES_MAX + 1];
    char description[TD_DESCRIPTION_BYTES_MAX + 1];
    struct td_buf metadata; /* an encoded map; empty: there is none */
    enum td_health state;
    char text[TD_HEALTH_TEXT_BYTES_MAX + 1];
    bool draining;      /* an operator wants it to */
    int64_t since_ms;   /* registered */
    int64_t beat_ms;    /* it said how it is, last */
    uint64_t health_ms; /* 0: no word is waited for */
    struct td_endpoint *endpoints;
    uint32_t endpoints_len;
    uint32_t in_flight;    /* tasks that it has, pings too */
    struct td_task *tasks; /* list of those */
    bool breaks;           /* it has a breaker */
    struct td_breaker breaker;
    struct td_breaker_limits limits; /* of that */
    uint64_t opened;                 /* how often it has */
    bool service_breaks;             /* what it asks for all of its service */
    struct td_breaker_limits service_limits;
    int64_t silent_ms; /* since when it has had requests, and has answered
                          nothing at all; TD_NEVER: it has, or had none */
    bool mourned;      /* its service's breaker knows that it has ended */
    uint64_t round;    /* of the choice that has looked at it last */
    uint32_t weight;   /* its place in its service's weights, below */
};

/* What a version gets of a service's requests. */
struct td_weight {
    struct td_weighted weighted;
    uint32_t percent;
    char version[TD_VERSION_BYTES_MAX + 1];
};

/* A name. It is there while it has instances, tasks of such, or weights. */
struct td_service {
    UT_hash_handle hh; /* by name */
    bool hh_failed;
    char name[TD_SERVICE_BYTES_MAX + 1];
    struct td_instance *instances; /* list of those that are there */
    uint32_t instances_len;
    uint32_t refs; /* instances that are there, or have tasks still */
    struct td_weight *weights; /* [0] is of all versions without a weight */
    uint32_t weights_len;      /* 0: there are no weights */
    bool breaks;
    struct td_breaker breaker;
    struct td_breaker_limits limits;
    uint64_t opened;
    uint64_t
        noresponder; /* requests refused, none of its instances being fit … */
    uint64_t full;   /* … or all of those having their most in flight */
};

/* ---- requests ---- */

/* A request in the hands of an instance. */
struct td_task {
    struct td_slot slot; /* first */
    uint64_t number;     /* of HANDLE and ANSWER */
    struct td_asking *asking;
    struct td_instance *instance;
    struct td_endpoint *endpoint; /* NULL: a ping */
    struct td_task *prev;         /* its instance's list */
    struct td_task *next;
    struct td_task *asking_prev; /* its asking's list */
    struct td_task *asking_next;
    uint64_t ticket;         /* of the instance's breaker; 0: none */
    uint64_t service_ticket; /* of the service's */
    int64_t begun_ms;
};

/* A request that is in somebody's hands. */
struct td_asking {
    struct td_slot slot;       /* first */
    struct td_session *caller; /* NULL: nobody waits any more */
    uint64_t number;           /* the caller's */
    uint64_t session;          /* the number of its session */
    struct td_asking *prev;    /* the caller's list */
    struct td_asking *next;
    struct td_asking *bucket; /* next with the same hash */
    struct td_task *tasks;    /* list of those that are out */
    uint32_t out;
    uint32_t at; /* in the heap of deadlines, from 1 on */
    int64_t deadline_ms;
    bool many;
    bool answered; /* one has come with code 0 … */
    bool ended;    /* … it is counted, and nothing of it is in flight */
};

/* Of requests, not of tasks; accepted is the sum of answered, errors,
 * timeouts, lost and of what is in flight. */
struct td_request_counts {
    uint64_t accepted;
    uint64_t answered;
    uint64_t errors; /* EREMOTE, and the instance's own EFULL */
    uint64_t timeouts;
    uint64_t lost;
    uint64_t noresponder; /* refused at once: from here on … */
    uint64_t full;
    uint64_t broken;
    uint64_t late;    /* … and answers that nobody waited for */
    uint64_t crowded; /* handed to the oldest of too many sets */
    uint64_t in_flight;
};

struct td_deadline {
    int64_t ms;
    struct td_asking *asking;
};

/* Who asked: a table by session and number. */
struct td_asked_table {
    struct td_asking **buckets;
    uint32_t len; /* a power of two, or 0 */
};

/* All of it. */
struct td_serving {
    struct td_service *services;   /* by name */
    struct td_instance *instances; /* by id */
    struct td_endpoint_group *groups;
    struct td_endpoint_set *sets; /* by group and pattern */
    uint64_t sets_made;           /* and groups */
    struct td_trie trie;          /* of sets */
    struct td_routes routes;      /* from a type to those */
    struct td_balance balance;
    uint64_t revision; /* changes of the registry */
    uint64_t rounds;   /* choices that looked at instances one by one */
    struct td_session *sessions; /* list of those that have instances */
    uint32_t instances_len;      /* also of those that have ended */
    uint32_t endpoints_len;      /* of those */
    struct td_request_counts count;
    struct td_slots tasks;
    struct td_slots askings;
    uint64_t tasks_made;
    struct td_deadline *heap; /* of askings, the earliest first, from 1 on */
    uint32_t heap_len;
    uint32_t heap_cap;
    struct td_asked_table asked;
    int64_t ask_ms;  /* when instances are asked whether they are there */
    int64_t beat_ms; /* when one is down that has said nothing since */
    struct td_bundling bundling;
    /* scratch */
    struct td_request_row rows[TD_ROWS_MAX];
    struct td_answer_row answers[TD_ROWS_MAX];
    struct td_candidate **found; /* of one choice */
    uint32_t found_cap;
};

/* What a session has of all this. */
struct td_session_serving {
    struct td_instance *instances; /* list, also of those that have ended */
    uint32_t instances_len;
    uint32_t endpoints_len;  /* of those */
    struct td_session *prev; /* list of those that have some */
    struct td_session *next;
    uint32_t tasks; /* in the hands of its instances */
    int64_t asked_ms;
    struct td_asking *askings; /* list of its requests */
    uint32_t askings_len;
    uint32_t asked; /* tasks of those */
};

/* service.c */
void td_serving_init(struct td_engine *e);
void td_serving_fini(struct td_engine *e);
struct td_service *td_service_find(struct td_engine *e, struct td_str name);
/* It is made if need be. NULL and *err: no memory, or there are too many. */
struct td_service *td_service_get(struct td_engine *e, struct td_str name,
                                  tidings_err *err);
/* Nothing, if somebody needs it. */
void td_service_drop(struct td_engine *e, struct td_service *service);
struct td_instance *td_instance_find(struct td_engine *e, struct td_str id);
/* The session's by number; NULL: it is not there. */
struct td_instance *td_instance_of(struct td_session *s, uint64_t number);
/* It is registered: in all tables, or in none. */
tidings_err td_instance_add(struct td_engine *e, struct td_instance *instance,
                            struct td_str name);
/* It is not there any more; what it has in flight it may still answer. */
void td_instance_remove(struct td_engine *e, struct td_instance *instance,
                        const char *reason);
/* One that has no tasks, and is in no table. NULL does nothing. */
void td_instance_free(struct td_engine *e, struct td_instance *instance);
/* The session's link is lost, or it ends: its instances go, what they had is
 * answered, and nobody waits for what it had asked. */
void td_serving_leave(struct td_engine *e, struct td_session *s);
/* It may be given requests, but for room and breakers. */
bool td_instance_is_fit(const struct td_instance *instance);

/* The endpoint that a candidate is of. */
static inline struct td_endpoint *td_endpoint_of(struct td_candidate *candidate)
{
    return (struct td_endpoint *)(void *)candidate;
}

/* sets.c */
void td_sets_init(struct td_serving *sv);
/* All its endpoints are found by their types; false: none is, no memory. */
bool td_sets_join(struct td_engine *e, struct td_instance *instance);
void td_sets_leave(struct td_engine *e, struct td_instance *instance);

/* weight.c: service.weight */
#define TD_NO_WEIGHT UINT32_MAX
/* percent: 0..100; TD_NO_WEIGHT: no more. EINVAL: all together would have
 * more than 100; ELIMIT: TD_WEIGHTS_MAX versions have one; ENOMEM. */
tidings_err td_weight_set(struct td_engine *e, struct td_service *service,
                          const char *version, uint32_t percent);
/* The place of a version in its service's weights; 0: it has none. */
uint32_t td_weight_of(const struct td_service *service, const char *version);

/* serve.c */
void td_serve(struct td_engine *e, struct td_session *s,
              const struct td_frame *f);
void td_serve_end(struct td_engine *e, struct td_session *s,
                  const struct td_frame *f);
void td_serve_health(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f);
/* At most max bytes, then a NUL; what would move a terminal's cursor is '?'. */
void td_text_keep(char *out, struct td_str text, size_t max);
/* Its state is another from now on; nothing if it is not. text is cut. */
void td_instance_set_state(struct td_engine *e, struct td_instance *instance,
                           enum td_health state, struct td_str text,
                           const char *reason);

/* In the order of enum td_balance_policy. */
extern const char *const td_balance_names[TD_BALANCE_POLICIES];
/* serve_options.c: an instance as a SERVE describes it, in no table yet.
 * NULL: *err and *why say why not. */
struct td_instance *td_serve_read(struct td_engine *e, const struct td_frame *f,
                                  tidings_err *err, const char **why);

/* service_tell.c: what is to be told and counted of changes */
enum td_service_change {
    TD_SERVICE_UP,     /* registered: it is in all tables */
    TD_SERVICE_HEALTH, /* its state has changed, or it drains */
    TD_SERVICE_DOWN    /* it is out of all tables, but for its session's */
};
/* reason: static, or the instance's own text. */
void td_service_changed(struct td_engine *e, struct td_instance *instance,
                        enum td_service_change change, const char *reason);
/* A breaker has changed its state; instance NULL: the service's. */
void td_breaker_changed(struct td_engine *e, struct td_service *service,
                        struct td_instance *instance);
/* An endpoint was handed a request … */
void td_task_begun(struct td_engine *e, struct td_endpoint *endpoint);
/* … and that is over: code 0, EREMOTE, EFULL or ETIMEDOUT are the instance's
 * (or the deadline has passed: held_us is 0), ELOST if it was lost. Not of
 * pings. */
void td_task_done(struct td_engine *e, struct td_endpoint *endpoint,
                  const struct td_answer_row *row);

#endif
