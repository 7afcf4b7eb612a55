/* What the parts of the simulation share. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/internal.h"
#include "broker/engine/pack.h"
#include "client/seen.h"
#include "client/session.h"
#include "tests/sim/model.h"
#include "tests/sim/pipe.h"
#include "tests/sim/random.h"
#include "tests/sim/sim.h"
#include "tests/sim/sizes.h"
#include "tests/sim/tell.h"

struct sim;

/* ---- what may be different from seed to seed ---- */

/* Name, function of faults.c, weight where a seed has it at all. */
#define SIM_FAULT_MAP(X)                                                       \
    X(BOTH, both, 4)                                                           \
    X(CLIENT_ONLY, client_only, 4)                                             \
    X(BROKER_ONLY, broker_only, 4)                                             \
    X(SILENT, silent, 3)                                                       \
    X(STALL, stall, 4)                                                         \
    X(CUT_OFF, cut_off, 2)                                                     \
    X(SHUT, shut, 3)                                                           \
    X(BROKER_CRASH, broker_crash, 1)                                           \
    X(BROKER_STOP, broker_stop, 1)                                             \
    X(BROKER_PAUSE, broker_pause, 2)                                           \
    X(CLIENT_CRASH, client_crash, 2)                                           \
    X(CLIENT_CLOSE, client_close, 2)                                           \
    X(CLIENT_PAUSE, client_pause, 4)                                           \
    X(CLOCK, clock, 3)

enum sim_fault {
#define SIM_FAULT_ENUM(name, function, weight) SIM_FAULT_##name,
    SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULTS
};

struct sim_faults {
    unsigned weight[SIM_FAULTS];
    unsigned total;
    int64_t every_ms; /* on average */
};

struct sim_config {
    uint32_t clients;
    uint32_t evils;
    bool raw_evil;     /* bare links with garbage */
    int64_t faulty_ms; /* how long faults and publishing go on */
    size_t memory_bytes;
    struct sim_faults faults;
    int64_t delay_min_ms;
    int64_t delay_max_ms;
    int64_t turn_ms;        /* a broker's turn takes up to this long */
    uint32_t turn_messages; /* and reads so many */
    /* publishing */
    int64_t act_ms; /* mean time between a client's acts */
    uint32_t burst_max;
    unsigned small_weight; /* of event sizes */
    unsigned medium_weight;
    unsigned large_weight;
    unsigned largest_weight;
    uint64_t unconfirmed_events;
    uint64_t unconfirmed_bytes;
    uint32_t types; /* how many are in use */
    /* subscribing */
    uint32_t subs_max;
    unsigned tiny_window; /* per mille of subscriptions */
    unsigned tiny_queue;
    unsigned wide;     /* per mille: patterns that match much */
    unsigned churn;    /* per mille of acts: subscribe, unsubscribe */
    unsigned refused;  /* per mille of subscriptions */
    unsigned drops;    /* … with a policy that drops */
    unsigned relapses; /* per mille of links that resume: lost soon */
    unsigned grouped;  /* … of a group */
    unsigned keyed;    /* per mille of events: with a partition key */
    struct {
        enum tidings_policy policy;
        enum tidings_group_policy share;
        uint64_t queue_events; /* 0: the default */
    } groups[SIM_GROUPS];
    unsigned advised;       /* … to the broker's own events */
    int64_t handler_us;     /* per event, at most */
    unsigned slow_handlers; /* per mille of clients */
    bool starved;           /* allocations fail now and then */
    bool absence;           /* a client stays away until it is forgotten */
    bool hoarder; /* a client with many subscriptions and tiny queues */
};

/* ---- starving: the engine and the clients, never the simulation ---- */

/* From here until sim_feed() an allocation may fail, if the seed says so. A
 * port feeds itself first, and hands what that returns to sim_starve_again. */
void sim_starve(struct sim *sim);
bool sim_feed(struct sim *sim);
void sim_starve_again(struct sim *sim, bool was_starving);

/* ---- choose.c, faults.c ---- */

void sim_choose(struct sim *sim); /* fills config */
void sim_client_make(struct sim *sim, uint32_t index);
/* One of the seed's faults happens. */
void sim_fault(struct sim *sim);

/* ---- content.c ---- */

/* One event as it was published; its producer's n-th is the n-th here. */
struct sim_event {
    int64_t time_us;
    uint32_t len;
    uint32_t pool_at;
    uint16_t type;
    uint16_t flags;
    uint8_t partition; /* its key; 0: none */
};

struct sim_producer {
    uint8_t id[TD_PRODUCER_BYTES];
    bool evil; /* nobody knows what it published */
    struct sim_event *log;
    uint64_t log_len;
    uint64_t log_cap;
    /* the model's: this broker's life, and all of them */
    uint64_t taken;
    uint64_t taken_ever;
    bool forgotten;  /* while a broker lived: it may see events twice */
    int64_t seen_ms; /* when it last had a session */
};

extern const char *const sim_types[SIM_TYPES];

struct sim_producer *sim_producer_add(struct sim *sim, bool evil);
/* Adds one nobody knows as an evil one. */
uint32_t sim_producer_index(struct sim *sim, struct td_str id);
/* Publishes one random event through the client. */
tidings_err sim_publish(struct sim *sim, struct td_client *c,
                        struct sim_producer *p);
/* Whether the event at *at is the producer's with this sequence; moves *at. */
bool sim_event_is(struct sim *sim, const struct sim_producer *p,
                  const struct td_batch *batch, const struct td_run *run,
                  uint64_t sequence, const uint8_t **at, const uint8_t *end);

/* ---- net.c ---- */

struct sim_link {
    struct sim_link *prev; /* among those that still matter */
    struct sim_link *next;
    uint32_t number;
    bool active;
    bool evil;
    struct sim_client *client; /* NULL: raw, or closed */
    struct sim_pipe up;
    struct sim_pipe down;
    int64_t shut_ms;        /* from here on the broker's sends fail */
    int64_t tell_client_ms; /* when it learns that the link is lost */
    int64_t tell_broker_ms;
    bool client_may_complain; /* something happened to it */
    bool broker_may_complain;
    size_t id_len;
    uint8_t id[255];
    /* what the client may send, as it has been told */
    uint64_t events_out;
    uint64_t bytes_out;
    uint64_t events_limit;
    uint64_t bytes_limit;
    /* what the model knows of its session */
    uint64_t session; /* 0: none */
    uint32_t producer;
    uint64_t messages_out;
    uint64_t messages_answered;
    uint32_t gaps_out;   /* since a PING that it answered, or a DELIVER … */
    uint32_t gaps_asked; /* … and of them, before the last PING … */
    uint64_t asked;      /* … which has this token */
    uint64_t events_in;
    uint64_t told_events_limit;
    uint64_t told_bytes_limit;
    int64_t heard_run_ms; /* on the clock of the broker's running time */
};

struct sim_link *sim_link_new(struct sim *sim, struct sim_client *client,
                              bool evil);
struct sim_link *sim_link_of(struct sim *sim, struct td_str peer);
void sim_link_free(struct sim_link *link);
/* Puts a message on its way, with a delay. */
void sim_send(struct sim *sim, struct sim_pipe *pipe, unsigned frames,
              const void *control, size_t len, struct td_body *body);
/* Loses what is under way, from a random message on. */
void sim_pipe_lose(struct sim *sim, struct sim_pipe *pipe);
/* The client's end is closed. */
void sim_link_close(struct sim *sim, struct sim_link *link, bool clean);
/* Forgets links that nothing can happen on any more. */
void sim_links_sweep(struct sim *sim);

/* ---- broker.c ---- */

struct sim_broker {
    struct td_engine *engine; /* NULL: down */
    uint64_t epoch;
    int64_t restart_ms;
    int64_t paused_until_ms;
    int64_t wake_ms;     /* as the last flush said */
    int64_t busy_ms;     /* a turn takes this long */
    int64_t run_ms;      /* running time, pauses left out … */
    int64_t run_at_ms;   /* … as of then */
    int64_t late_ms;     /* how late the present turn is */
    int64_t stop_by_ms;  /* draining until then; SIM_NEVER: not stopping */
    uint32_t idle_turns; /* at one time, without a message */
    int64_t idle_at_ms;
    const struct td_body *handed; /* the body of the PUBLISH at hand */
};

void sim_broker_start(struct sim *sim);
void sim_broker_crash(struct sim *sim);
/* It stands still until then; a time in the past: it goes on. */
void sim_broker_pause(struct sim *sim, int64_t until_ms);
int64_t sim_broker_next_ms(struct sim *sim);
void sim_broker_turn(struct sim *sim);
struct td_session *sim_broker_session(struct sim *sim,
                                      const struct sim_link *link);

/* ---- client.c, receive.c, act.c ---- */

/* A delivery that handlers are at work on. */
struct sim_work {
    struct sim_work *next;
    uint32_t sub; /* number */
    uint64_t session;
    uint64_t events;
    struct td_body *body;
    const uint8_t *p; /* the next event, in the body … */
    const uint8_t *end;
};

/* A subscription as its owner sees it. */
struct sim_sub {
    struct td_csub *csub; /* NULL: free */
    uint64_t session;     /* what follows is of this session */
    uint64_t received;
    uint64_t gaps;
    uint64_t last[SIM_PRODUCERS_MAX]; /* highest sequence of each producer */
    /* over all sessions: what is left out as seen, and what a handler gets */
    struct td_seen seen;
    uint64_t handled[SIM_PRODUCERS_MAX]; /* as last */
};

struct sim_client {
    struct sim *sim;
    uint32_t index;
    bool evil;
    bool up; /* the process runs */
    struct td_client c;
    char name[32];
    char source[32];
    uint32_t producer;
    struct sim_link *link;
    int64_t wake_ms;
    int64_t act_ms;
    int64_t restart_ms;
    int64_t paused_until_ms;
    int64_t cut_off_until_ms; /* cannot reach the broker */
    int64_t ran_ms;           /* when it last did anything */
    bool publishes;
    int64_t handler_us;
    int64_t handler_ms; /* when the handler is done with the next piece */
    struct sim_work *work;
    struct sim_work **work_tail;
    struct sim_sub subs[SIM_SUBS_MAX];
    uint64_t epoch;  /* seen last */
    uint64_t epochs; /* changes of it */
    uint64_t epochs_told;
    uint64_t anew_told; /* sessions that were not resumed */
    uint64_t missed;    /* GAP events received */
    struct td_question question;
    bool asking;
    uint64_t asked_in; /* session */
};

void sim_client_start(struct sim *sim, struct sim_client *client);
void sim_client_crash(struct sim_client *client, bool clean);
int64_t sim_client_next_ms(const struct sim_client *client);
void sim_client_run(struct sim_client *client);
/* The link was lost, and the client notices. */
void sim_client_lost(struct sim_client *client);
struct sim_sub *sim_sub_of(struct sim_client *client,
                           const struct td_csub *csub);
/* What is counted in a session begins anew in the next. */
void sim_sub_session(struct sim_client *client, struct sim_sub *sub);
/* Takes what has arrived; lets the handler go on; does what it likes. */
void sim_receive(struct sim_client *client);
void sim_handle(struct sim_client *client);
void sim_act(struct sim_client *client);
void sim_read_answer(struct sim_client *client);
void sim_drop_work(struct sim_client *client);
/* NULL: it has nothing to wait for; else what it still waits for. */
const char *sim_client_waits(struct sim_client *client);
void sim_client_final(struct sim_client *client);

/* ---- evil.c ---- */

/* Sends a client's message, perhaps not as it should be. */
void sim_evil_send(struct sim *sim, struct sim_link *link, const void *control,
                   size_t len, struct td_body *body);
/* A bare peer does something. */
void sim_evil_act(struct sim *sim);

/* ---- world.c ---- */

struct sim {
    struct sim_random random;
    struct sim_config config;
    struct sim_result *result;
    bool verbose;
    bool failed;
    bool healing; /* faults are over */
    bool starving;
    int64_t now_ms;
    int64_t wall_us; /* wall time minus now_ms */
    int64_t fault_ms;
    int64_t evil_ms;
    struct sim_link *links; /* active */
    struct sim_link *all_links[SIM_LINKS_MAX];
    uint32_t links_len;
    struct sim_link *raw; /* a bare hostile peer's */
    struct sim_producer *raw_producer;
    struct sim_broker broker;
    struct sim_model model;
    struct sim_client clients[SIM_CLIENTS_MAX + SIM_EVILS];
    uint32_t clients_len;
    struct sim_producer producers[SIM_PRODUCERS_MAX];
    uint32_t producers_len;
    const uint8_t *pool;
    struct td_body *spare;     /* a body that belongs to nothing */
    struct td_batches batches; /* scratch of clients */
};

void sim_seen(struct sim *sim, enum sim_seen what);
void sim_hash(struct sim *sim, const void *data, size_t len);
void sim_say(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *sim, const char *where, int line, const char *what,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The first property that does not hold ends the run. */
#define SIM_CHECK(sim, cond, ...)                                              \
    do {                                                                       \
        if (!(cond))                                                           \
            sim_fail((sim), __FILE__, __LINE__, #cond, __VA_ARGS__);           \
    } while (0)

#endif
