/* What the parts of the simulation of services share. */
#ifndef TESTS_SIM_SERVICES_WORLD_H
#define TESTS_SIM_SERVICES_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/internal.h"
#include "client/bus.h"
#include "client/session_service.h"
#include "tests/sim/random.h"
#include "tests/sim/services.h"
#include "tests/sim/services_net.h"
#include "tests/sim/tell.h"

#include <utlist.h>

struct svc;
struct svc_client;
struct svc_instance;

#define SVC_NEVER     INT64_MAX
#define SVC_CLIENTS   11u
#define SVC_SERVICES  3u
#define SVC_INSTANCES 3u /* of one process */
#define SVC_VERSIONS  3u
#define SVC_KEYS      4u
#define SVC_GIVEN     24u /* tasks of one request that are remembered */
#define SVC_GRACE_MS  3000

typedef unsigned long long ull;

/* ---- what may be different from seed to seed ---- */

/* Name, function of services_faults.c, weight where a seed has it at all. */
#define SVC_FAULT_MAP(X)                                                       \
    X(LOSE, lose, 4)                                                           \
    X(SILENT, silent, 2)                                                       \
    X(CRASH, crash, 4)                                                         \
    X(CLOSE, close_one, 2)                                                     \
    X(PAUSE, pause_one, 3)                                                     \
    X(BROKER_CRASH, broker_crash, 1)                                           \
    X(BROKER_STOP, broker_stop, 1)                                             \
    X(BROKER_PAUSE, broker_pause, 1)                                           \
    X(END, end_one, 3)                                                         \
    X(STOP, stop_one, 3)                                                       \
    X(HEALTH, health, 4)                                                       \
    X(MOOD, mood, 6)

enum svc_fault {
#define SVC_FAULT_ENUM(name, function, weight) SVC_FAULT_##name,
    SVC_FAULT_MAP(SVC_FAULT_ENUM)
#undef SVC_FAULT_ENUM
        SVC_FAULTS
};

struct svc_config {
    uint32_t services;
    uint32_t servers; /* clients from 1 on */
    uint32_t callers; /* and these after them */
    int64_t faulty_ms;
    int64_t every_ms; /* between two faults, on average; 0: none */
    unsigned weight[SVC_FAULTS];
    unsigned total;
    int64_t delay_max_ms;
    int64_t turn_ms; /* a broker's turn takes up to this long */
    int64_t act_ms;  /* between two acts of a caller, on average */
    uint32_t burst_max;
    int64_t work_ms;    /* a handler takes up to this long */
    unsigned fails;     /* per mille of requests: as a handler's outcome */
    unsigned many;      /* … of requests */
    unsigned several;   /* … to all services */
    unsigned picky;     /* … with options */
    unsigned again;     /* … that are idempotent */
    unsigned hasty;     /* … with a short deadline */
    unsigned large;     /* … with many bytes */
    unsigned operating; /* … of turns of the operator */
    bool calls_too;     /* those that serve also call */
    bool weighs;        /* the operator may weigh */
    bool forgets;       /* no session is ever resumed */
    bool cramped;       /* the broker keeps little for who is away */
    unsigned max_in_flight;
    int health_ms; /* -1: none */
    int failures;  /* of breakers */
    int rate_percent;
    int recovery_ms;
    enum tidings_balance balance;
};

void svc_choose(struct svc *w);
void svc_fault(struct svc *w);

/* ---- broker ---- */

struct svc_broker {
    struct td_engine *engine; /* NULL: down */
    uint64_t epoch;
    int64_t restart_ms;
    int64_t paused_until_ms;
    int64_t paused_ms; /* the last pause was over then */
    int64_t wake_ms;
    int64_t busy_ms;
    int64_t idle_at_ms;
    uint32_t idle_turns;
    bool replied;                       /* to what is handed over … */
    bool accepted;                      /* … with code 0 … */
    char id[TD_INSTANCE_BYTES_MAX + 1]; /* … and tells this id */
};

void svc_broker_start(struct svc *w);
void svc_broker_end(struct svc *w, bool clean);
int64_t svc_broker_next_ms(const struct svc *w);
void svc_broker_turn(struct svc *w);
/* NULL: it has none, or one that is away. */
struct td_session *svc_broker_session(struct svc *w,
                                      const struct svc_link *link);

/* ---- requests ---- */

struct svc_request {
    struct td_request r; /* first */
    struct svc_request *prev;
    struct svc_request *next; /* of its caller, while it is not over */
    struct svc_client *caller;
    uint32_t serial;  /* its place in svc.requests */
    uint32_t service; /* SVC_SERVICES: all */
    bool narrow;      /* of a type that not all its instances answer */
    bool ping;
    const char *wish_version;
    char wish_instance[TD_INSTANCE_BYTES_MAX + 1];
    bool wishes;  /* something of how it is chosen */
    uint32_t key; /* that chooses, from 1 on; 0: none does */
    bool over;
    int64_t made_ms;
    int64_t deadline_ms;
    uint32_t responses; /* of many */
    uint64_t left;
    /* the attempt that the broker has read last */
    uint64_t number;
    uint32_t sender; /* link */
    bool certain;    /* somebody was surely fit for it … */
    bool open;       /* … and nothing kept the broker from giving it to him */
    bool broken;     /* the breaker of somebody it may go to is not closed */
    uint32_t given[SVC_GIVEN]; /* to whom: places in svc.known … */
    uint64_t tasks[SVC_GIVEN]; /* … and under which numbers */
    uint32_t given_len;
    bool answered;       /* in time, by somebody who had it … */
    int64_t answered_ms; /* … then */
    bool told;           /* the last that there is to tell */
    /* at the instances */
    uint32_t handled[SVC_SERVICES];
    uint32_t handlers[SVC_GIVEN]; /* instances */
    uint32_t handlers_len;
};

/* One that a caller makes now, and its end. */
void svc_call(struct svc_client *client);
void svc_answered(void *ctx, struct td_request *r,
                  const struct td_response *response);
/* Its process is gone: nobody is told. */
void svc_calls_drop(struct svc_client *client);
/* Those that the session does not time: when the first is due, and what is. */
int64_t svc_calls_due_ms(const struct svc_client *client);
void svc_calls_look(struct svc_client *client);
/* Waits no more for one of them. */
void svc_call_withdraw(struct svc_client *client);

/* ---- instances ---- */

struct svc_task {
    struct svc_task *prev;
    struct svc_task *next;
    struct svc_request *of;
    uint64_t number;
    uint64_t link;
    int64_t came_ms;
    int64_t began_ms; /* -1: it waits */
    int64_t deadline_ms;
    int64_t done_ms;
    size_t len; /* of its data */
};

enum svc_mood { SVC_WELL, SVC_SLOW, SVC_FAILING, SVC_HANGING, SVC_MOODS };

/* An instance as its process has it. */
struct svc_instance {
    struct td_cservice *cs; /* NULL: free */
    struct svc_client *client;
    uint32_t uid;
    uint32_t service;
    bool wide; /* it answers more types */
    unsigned workers;
    unsigned running;
    unsigned room; /* that may wait */
    enum svc_mood mood;
    bool stopping;
    bool draining;                       /* as it was told */
    char was[TD_INSTANCE_BYTES_MAX + 1]; /* its id, on all links */
    struct svc_task *tasks;
};

void svc_serve(struct svc_client *client, struct svc_instance *i);
/* Wherever its registration stands; NULL: none was found. */
struct svc_instance *svc_instance_any(struct svc *w);
/* Ends it: at once, or when all it has is answered. */
void svc_instance_end(struct svc_instance *i);
void svc_instance_stop(struct svc_instance *i);
void svc_instance_drained(void *ctx, struct td_cservice *cs, bool drain);
/* A turn of all of a client's. */
void svc_serve_run(struct svc_client *client);
bool svc_serve_waits(const struct svc_client *client);

void svc_tasks_take(struct svc_client *client, struct td_deliveries *all);
void svc_tasks_run(struct svc_instance *i);
void svc_tasks_refuse(struct svc_instance *i);
void svc_tasks_drop(struct svc_instance *i);
int64_t svc_tasks_next_ms(const struct svc_instance *i);

/* ---- clients ---- */

struct svc_client {
    struct svc *w;
    uint32_t index;
    bool up;
    bool serves;
    bool calls;
    bool watches;
    bool operates;
    struct td_bus bus; /* nothing of it but its session, and its copy of the
                          registry */
    char name[16];
    struct svc_link *link;
    int64_t wake_ms;
    int64_t act_ms;
    int64_t restart_ms;
    int64_t paused_until_ms;
    int64_t lost_ms;   /* its last link was, or its process ended; -1: never */
    int64_t paused_ms; /* it stood still until then; -1: never */
    uint64_t epoch;
    bool was_true; /* its copy of the registry */
    bool told_stale;
    struct svc_instance instances[SVC_INSTANCES];
    struct td_answers answers;
    struct svc_request *requests; /* list of those that are not over */
    uint32_t requests_len;
};

void svc_client_start(struct svc *w, struct svc_client *client);
void svc_client_end(struct svc_client *client, bool clean);
int64_t svc_client_next_ms(const struct svc_client *client);
void svc_client_run(struct svc_client *client);
/* NULL: it is at rest; else what it waits for. */
const char *svc_client_waits(struct svc_client *client);

/* ---- operator ---- */

void svc_operate(struct svc_client *client);
void svc_operate_read(struct svc_client *client);
void svc_operate_drop(struct svc_client *client);
/* The copy of the registry. */
void svc_watch_start(struct svc_client *client);
void svc_watch_gap(struct svc_client *client);
void svc_watch(struct svc_client *client);
/* NULL: it is as the broker's. */
const char *svc_watch_waits(struct svc_client *client);

/* ---- what is true ---- */

/* An instance as the broker was told of it; one is never used again. */
struct svc_known {
    bool there;
    uint32_t uid;
    uint32_t service;
    bool wide;
    const char *version;
    char id[TD_INSTANCE_BYTES_MAX + 1];
    uint32_t link; /* number */
    uint64_t number;
    enum td_health state;
    int64_t said_ms;
    int64_t gone_ms;
    bool draining;
    bool silent; /* the broker takes it for down */
    enum td_breaker_state breaker;
    bool barred;    /* some breaker lets nothing through to it */
    uint64_t turns; /* requests in this round */
};

/* Around a message that is handed to the engine. */
void svc_known_heard(struct svc *w, struct svc_link *link,
                     const struct td_frame *f);
/* Those whose link is lost are not there any more. */
void svc_known_sweep(struct svc *w);
void svc_known_forget(struct svc *w); /* the broker ends */
struct svc_known *svc_known_find(struct svc *w, const char *id);
/* NULL: it is forgotten, so that nobody uses it any more. */
struct svc_link *svc_known_link(struct svc *w, const struct svc_known *k);
/* It has ended, or something happened to its link. */
bool svc_known_is_lost(struct svc *w, const struct svc_known *k);
bool svc_known_is_broken(struct svc *w, const struct svc_known *k);
/* The broker has nothing to say against giving it so many more. */
bool svc_known_is_open(struct svc *w, const struct svc_known *k, uint32_t more);

/* Before and after a REQUEST. */
void svc_given_before(struct svc *w, struct svc_link *link,
                      const struct td_frame *f, struct td_body *body);
void svc_given_after(struct svc *w, struct svc_link *link);
/* Before an ANSWER. */
void svc_answer_before(struct svc *w, struct svc_link *link,
                       const struct td_frame *f, struct td_body *body);
/* A frame that the broker sends. */
void svc_said(struct svc *w, struct svc_link *link, const struct td_frame *f);
/* The one that the broker was asked over this link under this number. */
struct svc_request *svc_request_of(struct svc *w, const struct svc_link *link,
                                   uint64_t number);

void svc_check(struct svc *w);
void svc_check_final(struct svc *w);

/* ---- all of it ---- */

struct svc_question {
    struct td_question q;
    struct td_buf options;
    bool asking;
};

struct svc {
    struct svc_config config;
    struct sim_result *result;
    struct sim_random random;
    bool verbose;
    bool failed;
    bool healing;
    int64_t now_ms;
    int64_t fault_ms;
    struct svc_broker broker;
    struct svc_client clients[SVC_CLIENTS];
    uint32_t clients_len;
    struct svc_link *links;
    uint32_t links_made;
    uint32_t uids;
    struct svc_request **requests; /* by serial, all that there ever were */
    uint32_t requests_len;
    uint64_t requests_cap;
    struct svc_known *known;
    uint32_t known_len;
    uint64_t known_cap;
    uint64_t task_last; /* the highest number of a task that was seen */
    uint64_t round[SVC_SERVICES]; /* who takes turns: a hash of them; 0: none */
    uint64_t fit[SVC_SERVICES]; /* who is surely fit: the same; 0: not known */
    struct {
        uint64_t fit;   /* when it was used last … */
        uint32_t known; /* … and by whom it was handled */
    } keys[SVC_SERVICES][SVC_KEYS + 1];
    bool weighed[SVC_SERVICES]; /* some version has, or had, a weight */
    uint32_t rows;              /* of the REQUEST that is handed over */
    struct svc_question question;
};

extern const char *const svc_names[SVC_SERVICES];
extern const char *const svc_versions[SVC_VERSIONS];

void svc_seen(struct svc *w, enum svc_seen what);
void svc_hash(struct svc *w, const void *data, size_t len);
void svc_say(struct svc *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void svc_fail(struct svc *w, const char *where, int line, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

static inline int64_t svc_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The first property that does not hold ends the run. */
#define SVC_CHECK(w, cond, ...)                                                \
    do {                                                                       \
        if (!(cond))                                                           \
            svc_fail((w), __FILE__, __LINE__, __VA_ARGS__);                    \
    } while (0)

#endif
