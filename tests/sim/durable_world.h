/* What the parts of the simulation of durability share. */
#ifndef TESTS_SIM_DURABLE_WORLD_H
#define TESTS_SIM_DURABLE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/internal.h"
#include "broker/engine/pack.h"
#include "broker/store/model.h"
#include "client/session.h"
#include "proto/type.h"
#include "tests/sim/durable.h"
#include "tests/sim/durable_net.h"
#include "tests/sim/tell.h"
#include "tests/sim/random.h"

#define DUR_NEVER   INT64_MAX
#define DUR_CLIENTS 6u
#define DUR_LIVES   (DUR_CLIENTS * 32u)
#define DUR_NAMES   2u
#define DUR_STREAMS 3u
#define DUR_GROUPS  4u
#define DUR_COMING  2u /* subscriptions of a client that come and go */
#define DUR_SUBS    (DUR_COMING + DUR_GROUPS)
#define DUR_TYPES   6u
#define DUR_KEYS    10u /* 0: none */
#define DUR_IDS     60u /* 0: none */
#define DUR_CALLS   16u
#define DUR_DATA    200u /* bytes */
#define DUR_ATTRS   120u
#define DUR_LATERS  4u /* events for later, at once */

#define DUR_EPOCH_MS 1700000000000 /* virtual time begins in 2023 */

void dur_seen(struct dur *d, enum dur_seen what);
void dur_say(struct dur *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dur_fail(struct dur *d, const char *where, int line, const char *format,
              ...) __attribute__((format(printf, 4, 5)));
void dur_hash(struct dur *d, const void *data, size_t len);
/* Zeroed; a simulation does not go on without memory. */
/* Room for one more of so large elements. */

#define DUR_CHECK(d, cond, ...)                                                \
    do {                                                                       \
        if (!(cond))                                                           \
            dur_fail((d), __FILE__, __LINE__, __VA_ARGS__);                    \
    } while (0)

typedef unsigned long long ull;

/* ---- what may be different from seed to seed ---- */

struct dur_config {
    int64_t faulty_ms;
    int64_t fault_every_ms;
    unsigned kill, power, stop, link, silent, client, slow, full, broken,
        disk_full, read_fails, ailing; /* weights */
    int64_t delay_max_ms;
    int64_t turn_ms;
    int64_t store_ms; /* a commit takes up to so long */
    uint32_t group_max;
    unsigned commit_fails;  /* per mille of commits */
    uint32_t commit_every;  /* the n-th of them fails, 0: none does … */
    uint32_t read_every;    /* … and of reads */
    tidings_err commit_err; /* … with this … */
    tidings_err read_err;   /* … or this */
    unsigned load_fails;    /* per mille of starts */
    int64_t act_ms;
    uint32_t burst_max;
    unsigned keyed;
    unsigned ids;       /* per mille of events: chosen by who publishes */
    unsigned levels[4]; /* weights */
    unsigned naks, releases, terms, progresses, lates, parks; /* per mille */
    int64_t handler_ms;
    bool polite; /* what follows a key that failed is given back */
    uint64_t window;
    unsigned churn;
    unsigned pulls;   /* per mille of memberships */
    unsigned fetches; /* … of turns of those: a call of them begins or ends */
    unsigned expiries; /* … of events: they expire */
    unsigned empties;  /* … of events: tombstones */
    unsigned compact;  /* … of events: for a stream that is compacted */
    unsigned laters;   /* per mille of bursts: for later */
};

/* ---- what is true ---- */

struct dur_event {
    uint32_t producer; /* who published it */
    uint64_t sequence; /* … under this one */
    uint8_t type;
    uint8_t key;
    uint8_t id;
    uint8_t level;
    uint8_t promised; /* the level that was confirmed, to it or a repeat */
    uint8_t stream;
    uint8_t len; /* of its data */
    bool empty;  /* it has none */
    bool told;
    bool again;  /* a later life of its producer has published it once more */
    bool repeat; /* it was confirmed as a repeat of another */
    bool cut;    /* it was in the stream, and a crash has taken it from there */
    tidings_err err;
    uint64_t at;        /* its sequence in the stream; 0: none */
    int64_t at_ms;      /* since when */
    int64_t expires_ms; /* 0: never */
    /* of one that is published for later */
    int64_t due_ms;  /* it is not stored before; 0: at once */
    uint64_t number; /* … and in the schedule it had this number */
    bool waits;      /* it is there */
    bool uncertain;  /* somebody has asked that it be cancelled … */
    bool cancelled;  /* … and it is */
};

/* Where it lies until it is packed. */
struct dur_room {
    char data[DUR_DATA];
    char attrs[DUR_ATTRS];
};

struct dur_number {
    uint32_t event; /* 0: it was left out */
    bool told;
};

/* Who publishes: a life of a client. */
struct dur_producer {
    uint8_t id[TD_PRODUCER_BYTES];
    struct dur_name *name;  /* NULL: it has none */
    uint64_t term;          /* … under which it has the name; 0: not yet */
    uint64_t base;          /* its numbers begin above */
    struct dur_number *log; /* its n-th is n - 1 here */
    uint64_t len;
    uint64_t cap;
    uint64_t unsure; /* the broker does not know what of it is stored, up to
                        here */
};

/* A name that producers share. */
struct dur_name {
    char text[16];
    uint32_t *stored; /* number n is n - 1 here: the event; 0: none */
    uint64_t len;
    uint64_t cap;
    uint32_t holder; /* the producer that has it, … */
    uint64_t term;   /* … under this term; 0: nobody */
};

struct dur_place {
    uint32_t event; /* 0: retention was faster */
    uint64_t newer; /* the next one of its name; 0: none is there */
};

struct dur_stream {
    char name[16];
    uint32_t id;
    bool memory;
    uint64_t max_events;
    uint64_t ids[DUR_IDS]; /* the last event with each */
    bool keyed;
    bool compact;
    int64_t tombstone_ms;
    struct dur_place *at; /* sequence n is n - 1 here */
    uint64_t purging;     /* what is before this may be purged … */
    uint64_t purged;      /* … and this is, for good, … */
    int64_t purged_ms;    /* … since then */
    uint64_t newest[DUR_TYPES + DUR_KEYS]; /* of each name */
    uint64_t len;
    uint64_t cap;
    uint64_t last[DUR_LIVES][DUR_TYPES]; /* of each producer */
};

struct dur_letter {
    uint64_t number;
    uint64_t sequence;
};

/* What has become of an event in a group. */
struct dur_mark {
    bool acked;    /* a handler said so, … */
    bool termed;   /* … or so */
    bool accepted; /* and the broker has believed an ack */
    bool settled;  /* the broker counts it so */
    bool dead;
    bool redriven;
    uint64_t purged; /* the number of a dead letter that was; 0: none */
    bool old_ack;    /* believed by a broker that crashed */
    bool sent;       /* by this broker */
    uint8_t last;    /* which delivery the last was; at first the failures that
                       this broker has read */
    uint16_t total;  /* by all of them */
};

struct dur_group {
    char name[16];
    const char *pattern;
    uint32_t stream;
    enum td_share share;
    uint32_t max_in_flight;
    uint32_t ack_wait_ms;
    uint32_t max_deliver;
    uint32_t backoff_ms;
    uint32_t id; /* 0: not known yet */
    struct dur_mark *marks;
    uint64_t len;
    uint64_t cap;
    uint64_t low;    /* all below is settled, and looked at */
    uint64_t floor;  /* of the engine's set, when it was looked at … */
    uint64_t above;  /* … and how many were settled above it */
    uint64_t read;   /* … and of the stream */
    uint64_t sought; /* it was once sent here: those before it may be settled */
    uint64_t
        newest_to; /* … and may pass over what was not the last before this */
    int64_t since_ms; /* … when that was */
    bool seeking;     /* … and it is not known whether that is written, … */
    uint32_t returns; /* … as it was not, so often */
    enum td_outage_state outage; /* after the engine's last turn */
    uint32_t purges;             /* of its dead letters */
    bool looked_at;    /* since the broker started: what had been settled then
                         is no news any more */
    uint64_t lapsed;   /* settled by this broker, as they had expired … */
    uint64_t doubtful; /* … or perhaps for another reason */
    uint64_t told;     /* events, that it lost … */
    uint32_t told_id;  /* … since it had this id under this broker … */
    uint64_t told_before; /* … but for what it had lost or been told before */
};

/* ---- broker ---- */

struct dur_broker {
    struct td_engine *engine; /* NULL: down */
    struct td_store *store;
    bool loaded;
    uint64_t epoch;
    int64_t since_ms; /* when it started */
    int64_t restart_ms;
    int64_t wake_ms;
    int64_t busy_ms;
    int64_t store_ms; /* when the store does something */
    int64_t slow_until_ms;
    int64_t roomy_ms;  /* the disk has room again */
    int64_t well_ms;   /* not everything fails any more */
    uint32_t failures; /* of the model of the store, before it started */
    bool broken;       /* the store has failed */
    bool answered;     /* the next turn has something from it */
    bool sent;         /* this turn has, events that a link took */
    uint32_t idle_turns;
    int64_t idle_at_ms;
};

void dur_broker_start(struct dur *d);
enum dur_end { DUR_KILL, DUR_POWER, DUR_STOP };
void dur_broker_end(struct dur *d, enum dur_end how);
int64_t dur_broker_next_ms(const struct dur *d);
void dur_broker_turn(struct dur *d);
struct td_session *dur_broker_session(struct dur *d,
                                      const struct dur_link *link);

/* ---- its store ---- */

void dur_store_opened(struct dur *d);
void dur_store_closed(struct dur *d);
/* Since it was opened. */
bool dur_store_did_fail(const struct dur *d);
/* For a time no commit succeeds, or no read; and nothing fails any more. */
void dur_store_ail(struct dur *d);
void dur_store_heal(struct dur *d);
/* It commits and reads some of what waits, … */
void dur_store_turn(struct dur *d);
/* … and this says when it will, if something waits. */
void dur_store_schedule(struct dur *d);

/* ---- events: known by number, from 1 on ---- */

uint32_t dur_event_new(struct dur *d, const struct dur_event *event);
struct dur_event *dur_event_nth(struct dur *d, uint32_t number);
/* As it is published; borrows the room. */
struct td_packing dur_event_packing(struct dur *d, uint32_t number,
                                    struct dur_room *room);
/* The nth event of a run, met in a record or a delivery: *p is moved past it.
 * own: it has the broker's numbering. 0: it is not as it was published, and the
 * simulation has failed. */
uint32_t dur_event_met(struct dur *d, const struct td_batch *batch,
                       const struct td_run *run, uint32_t nth,
                       const uint8_t **p, bool *own);

/* ---- book ---- */

/* The store has written, or the memory has more: what is new is looked at. */
void dur_book_read(struct dur *d);
/* The same of a stream that is in memory alone. */
void dur_book_read_memory(struct dur *d, struct dur_stream *s);
/* After a crash: what is there is what has to be. */
void dur_book_crashed(struct dur *d, enum dur_end how);
void dur_book_final(struct dur *d);
struct dur_event *dur_event_at(struct dur *d, const struct dur_stream *s,
                               uint64_t sequence); /* or NULL */
/* The broker knows for certain whether that event is stored: not of a producer
 * that was refused too much; nor, after a commit that failed, what a stream in
 * memory took meanwhile. Then it may store it twice, or refuse it. */
bool dur_is_known(const struct dur *d, const struct dur_stream *s,
                  uint32_t producer, uint64_t sequence);
struct dur_stream *dur_stream_named(struct dur *d, struct td_str name);
/* Was it promised to survive this? */
bool dur_is_safe(const struct dur_event *event, enum dur_end how);
/* Records of a table of the store, of that id, from that number on. */
void dur_store_walk(struct dur *d, enum td_table table, uint32_t id,
                    uint64_t first,
                    void (*row)(struct dur *d, void *ctx, struct td_str key,
                                struct td_str value),
                    void *ctx);

/* ---- schedule ---- */

/* Some events are published for later. */
void dur_publish_later(struct dur_client *client);
/* The store has written: what waits is looked at. Then streams are read, and
 * then: what waits no more is stored, or cancelled. */
void dur_schedule_read(struct dur *d);
void dur_schedule_left(struct dur *d);
/* After a crash, the same. */
void dur_schedule_crashed(struct dur *d);
void dur_schedule_survived(struct dur *d, enum dur_end how);
void dur_schedule_told(struct dur *d, const struct td_confirmed *told,
                       uint64_t sequence, struct dur_event *event);
/* An operator cancels one; the broker hears it; and how that went is told. */
void dur_schedule_cancel(struct dur *d, msgpack_packer *pk);
void dur_schedule_asked(struct dur *d, struct td_str options);
void dur_schedule_cancelled(struct dur *d, tidings_err code);
void dur_schedule_final(struct dur *d);

/* ---- producers with names ---- */

/* A client starts, perhaps with a name. */
void dur_named_start(struct dur_client *client,
                     struct td_client_options *options);
/* It may have been greeted, or fenced. */
void dur_named_run(struct dur_client *client);
/* An event is stored, or waits, under its number; or is lost. */
void dur_named_stored(struct dur *d, const struct dur_event *event);
void dur_named_lost(struct dur *d, const struct dur_event *event);

/* ---- what is purged ---- */

/* An operator purges; the broker hears it; and how that went is told. */
void dur_purge_stream(struct dur *d, msgpack_packer *pk);
void dur_purge_stream_heard(struct dur *d, struct td_str options);
void dur_purge_stream_told(struct dur *d, tidings_err code);
void dur_purge_dead_heard(struct dur *d, struct td_str options);
void dur_purge_dead_told(struct dur *d, tidings_err code);
void dur_purge_crashed(struct dur *d);
/* Events of it may be gone before the book has seen them. */
bool dur_may_vanish(const struct dur_stream *s);
/* It is sent to whoever has been fed from since_ms on. */
void dur_purge_sent(struct dur *d, const struct dur_stream *s,
                    uint64_t sequence, int64_t since_ms);

/* ---- what retention takes ---- */

/* A GAP as it leaves the broker. */
void dur_lost_sent(struct dur *d, struct td_session *session,
                   const struct td_frame *f);
/* What a group has lost is told, or will be. */
void dur_lost_check(struct dur *d, struct dur_group *g,
                    const struct td_consumer *c);

/* ---- what expires ---- */

bool dur_has_expired(const struct dur *d, const struct dur_event *event);
/* A group has settled it; alone: there is no other reason. */
void dur_expiry_settled(struct dur *d, struct dur_group *g,
                        const struct dur_event *event, bool alone);
/* What the broker says of that. */
void dur_expiry_check(struct dur *d, const struct dur_group *g,
                      const struct td_consumer *c);
/* It is sent to whoever has been fed from since_ms on. */
void dur_expiry_sent(struct dur *d, const struct td_consumer *c,
                     const struct dur_event *event, uint64_t sequence,
                     int64_t since_ms);

/* ---- the newest of each name ---- */

struct dur_tags;

/* The stream has an event more. */
void dur_names_add(struct dur_stream *s, const struct dur_event *event,
                   uint64_t sequence);
void dur_names_anew(struct dur *d, struct dur_stream *s);
/* The next one of its name; 0: none is there. */
uint64_t dur_newer(const struct dur_stream *s, uint64_t sequence);
/* Compaction may have taken it. */
bool dur_may_be_gone(struct dur *d, const struct dur_stream *s,
                     uint64_t sequence);
/* What of the stream is not present may be gone; and old tombstones are, once
 * there was time for that, but for the newest record. */
void dur_names_check(struct dur *d, const struct dur_stream *s, uint64_t first,
                     uint64_t newest, const bool *present);
/* After a message that may have asked for the last of each name. */
void dur_names_subscribed(struct dur *d, struct dur_link *link,
                          const struct sim_message *m);
/* A reader is sent it: nothing that it is to have was left out. */
void dur_names_sent(struct dur *d, const struct td_consumer *c,
                    struct dur_tags *tags, uint64_t sequence, bool again);

/* ---- marks ---- */

struct dur_mark *dur_mark(struct dur_group *g, uint64_t sequence);
bool dur_wants(const struct dur_group *g, const struct dur_event *event);
/* A new life of the broker: only what is written counts. */
void dur_marks_crashed(struct dur *d);
/* The engine has settled more. */
void dur_marks_read(struct dur *d);
/* A SETTLE is about to reach the engine. */
void dur_marks_settle(struct dur *d, struct dur_link *link,
                      const struct sim_message *m);
/* The broker has been told to send a group elsewhere. */
void dur_marks_sought(struct dur *d, struct td_str options);
/* It is where it was before: that could not be written. False: it cannot be. */
bool dur_marks_returned(struct dur *d, struct dur_group *g,
                        const struct td_consumer *c);
/* The operator is told how its call went. */
void dur_marks_told(struct dur *d, tidings_err code);
struct td_consumer *dur_consumer(struct dur *d, const struct dur_group *g);
struct dur_group *dur_group_of(struct dur *d, const struct td_consumer *c);
void dur_marks_final(struct dur *d);

/* ---- sent, check ---- */

struct dur_tags { /* of a subscription at this broker */
    uint64_t session;
    uint64_t subscription;
    uint64_t last;
    /* of a reader */
    int64_t since_ms;   /* when it began */
    uint64_t newest_to; /* before this: the last of each name; 0: all */
    uint64_t position;  /* the sequence that it was sent last */
};

/* Of a subscription; there is one from then on. */
struct dur_tags *dur_tags_of(struct dur *d, uint64_t session,
                             uint64_t subscription);
void dur_sent(struct dur *d, struct dur_link *link, const void *control,
              size_t len, struct td_body *body);
void dur_check(struct dur *d);
/* What the group has to do yet; NULL: nothing. */
const char *dur_group_waits(struct dur *d, const struct dur_group *g);

/* ---- clients ---- */

struct dur_sub {
    struct td_csub *csub; /* NULL: free */
    uint32_t stream;
    uint32_t group;   /* DUR_GROUPS: a reader */
    uint64_t last;    /* sequence that a reader had */
    uint64_t skipped; /* was told that it misses, and has not missed yet … */
    uint64_t owed;    /* … or the other way round */
    bool newest;      /* it has asked for the last of each name */
    uint64_t epoch;   /* of the broker that it had it from */
    uint64_t session; /* incarnation */
    /* of one that pulls */
    bool pulls;
    uint64_t asked;     /* events, by a call that waits */
    int64_t fetched_ms; /* when nothing waited for a call */
    int64_t hold_ms;    /* the broker is to be told what is in hand … */
    int64_t held_ms;    /* … and was then, … */
    uint64_t held;      /* … of all up to this tag */
    uint64_t lost;      /* up to this tag it has taken away what waits; 0 */
    uint64_t connects;  /* when it looked last */
};

/* An event with its handler. */
struct dur_work {
    struct dur_work *prev;
    struct dur_work *next;
    uint32_t sub; /* number */
    uint64_t session;
    uint64_t tag;
    uint64_t sequence;
    uint32_t group;
    uint8_t key;
    bool waits;  /* to be fetched */
    bool lapsed; /* it came too late: nobody is to have it */
    int64_t due_ms;
};

struct dur_client {
    struct dur *d;
    uint32_t index;
    char name[16];
    struct td_client c;
    struct dur_link *link;
    uint32_t producer;
    bool up;
    bool publishes;
    struct dur_name *named; /* in its next life; NULL: not */
    int64_t restart_ms;
    int64_t wake_ms;
    int64_t act_ms;
    struct dur_sub subs[DUR_SUBS];
    struct dur_work *work;
    struct td_confirmed *confirmed;
};

void dur_client_start(struct dur *d, struct dur_client *client);
void dur_client_end(struct dur_client *client, bool clean);
int64_t dur_client_next_ms(const struct dur_client *client);
void dur_client_run(struct dur_client *client);
/* What it waits for; NULL: nothing. */
const char *dur_client_waits(struct dur_client *client);

void dur_publish(struct dur_client *client);
/* An event of its own, or one that was published before, is packed; false: there
 * is no room. */
bool dur_publish_one(struct dur_client *client, uint32_t number);
void dur_confirmed(struct dur_client *client);

struct dur_sub *dur_sub_of(struct dur_client *client,
                           const struct td_csub *csub);
void dur_subscribe(struct dur_client *client, uint32_t stream, uint32_t group);
void dur_member_act(struct dur_client *client);
/* A reader is to be told that it has missed something. */
bool dur_reader_waits(const struct dur_client *client);
/* A reader is told that it misses so many. */
void dur_skipped(struct dur_client *client, struct dur_sub *sub,
                 uint64_t events);
void dur_take(struct dur_client *client, const struct td_delivery *d);
void dur_handle(struct dur_client *client);
void dur_drop_work(struct dur_client *client);
int64_t dur_work_ms(const struct dur_client *client);
/* A handler begins with it. */
void dur_work_begin(struct dur_client *client, struct dur_work *w);

/* ---- members that pull ---- */

void dur_fetch(struct dur_client *client);
/* Now and then: somebody calls, or does not any more. */
void dur_fetch_act(struct dur_client *client);
/* The broker says that what waits was taken away, up to a tag. */
void dur_fetch_lost(struct dur_client *client, const struct td_csub *csub,
                    uint64_t last);
int64_t dur_fetch_ms(const struct dur_client *client);

/* ---- operator ---- */

struct dur_call {
    char name[24];
    struct td_buf options;
};

/* Declares streams and groups, then does this and that. */
void dur_operator_prepare(struct dur *d);
void dur_operator_act(struct dur_client *client);
/* After a message that may have been the operator's. */
void dur_operator_heard(struct dur *d, const struct sim_message *m);
void dur_operator_free(struct dur *d);

/* ---- all of it ---- */

struct dur {
    struct dur_config config;
    struct sim_result *result;
    struct sim_random random;
    bool verbose;
    bool swept; /* old tombstones had time to go */
    bool failed;
    bool ready;   /* streams and groups are declared */
    bool healing; /* nothing goes wrong any more */
    int64_t now_ms;
    int64_t fault_ms;
    struct td_model *model;
    struct dur_broker broker;
    struct dur_client clients[DUR_CLIENTS];
    uint32_t clients_len;
    struct dur_link *links;
    uint32_t links_made;
    struct dur_name names[DUR_NAMES];
    uint32_t names_len;
    struct dur_producer producers[DUR_LIVES];
    uint32_t producers_len;
    struct dur_stream streams[DUR_STREAMS];
    uint32_t streams_len;
    struct dur_group groups[DUR_GROUPS];
    uint32_t groups_len;
    uint64_t crashes;
    uint64_t failures; /* commits that failed */
    uint64_t cuts;     /* of the power */
    struct dur_tags *tags;
    uint64_t tags_len;
    uint64_t tags_cap;
    struct dur_call calls[DUR_CALLS];
    uint32_t calls_len;
    uint32_t calls_at;
    struct td_question question;
    bool asking;
    struct td_batches batches;
    struct td_buf attrs;      /* scratch */
    struct dur_event *events; /* number n is n - 1 here */
    uint64_t events_len;
    uint64_t events_cap;
    uint32_t *numbered; /* number n of the schedule is n - 1 here: the event; 0:
                           none is known */
    uint64_t numbered_len;
    uint64_t numbered_cap;
    uint32_t *waiting; /* events in the schedule, … */
    uint64_t waiting_len;
    uint64_t waiting_cap;
    uint32_t *waited; /* … and that were when it was read before */
    uint64_t waited_len;
    uint64_t waited_cap;
    struct dur_stream *purging; /* by an operator; NULL: none is */
    struct dur_group *purging_dead;
    struct dur_letter *letters; /* of that group, when it began */
    uint64_t letters_len;
    uint64_t letters_cap;
    uint64_t cancelling; /* the number that an operator cancels; 0: none */
};

extern const char *const dur_types[DUR_TYPES];

void dur_choose(struct dur *d);
void dur_fault(struct dur *d);

#endif
