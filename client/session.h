/* The client's side of a session: greeting, credit, resending, resuming,
 * subscribing again. A state machine like the broker's engine: messages and
 * the time go in, messages and the next deadline come out. It opens no socket
 * and no thread, and reads no clock and no random source; tests drive it, and
 * the bus wraps it (bus.h).
 *
 *            open                 WELCOME
 *   DOWN ------------> GREETING ----------> READY
 *    ^                    |                   |
 *    +--------------------+-------------------+
 *      link lost, refused, BYE, too long silent
 *
 * That is the link. A session may outlive it: until a BYE or a breach of the
 * rules the client has a token to resume it with (PROTOCOL.md 3, "Resume").
 * One subscription in it:
 *
 *               SUBSCRIBE         REPLY           UNSUBSCRIBE        REPLY
 *   WANTED ------------> ASKED ----------> LIVE -------------> ENDING ---> ENDED
 *     ^  ^     link lost |  |              | ^                   ^    link lost
 *     |  +---------------+  | refused      | |                   |
 *     |                     v         lost | | WELCOME, resumed  | ended while
 *     |                  REFUSED           v |                   | being greeted
 *     +---------------------------------- AWAY ------------------+
 *        the session is over, or is new
 */
#ifndef TD_CLIENT_SESSION_H
#define TD_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/answers.h"
#include "client/publisher.h"
#include "client/request.h"
#include "client/settle.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "tidings/tidings.h"

#define TD_CLIENT_NEVER INT64_MAX

enum td_client_state {
    TD_CLIENT_DOWN,     /* waits for retry_ms, then opens a link */
    TD_CLIENT_GREETING, /* HELLO is on its way */
    TD_CLIENT_READY
};

enum td_csub_state {
    TD_CSUB_WANTED,  /* the broker is to be asked when there is a session */
    TD_CSUB_ASKED,   /* SUBSCRIBE is on its way */
    TD_CSUB_LIVE,    /* the broker has it */
    TD_CSUB_AWAY,    /* the link is lost; the broker may have it still */
    TD_CSUB_REFUSED, /* the broker said no: code and text say why */
    TD_CSUB_ENDING,  /* UNSUBSCRIBE is on its way, or will be */
    TD_CSUB_ENDED
};

/* One subscription; owned by the client, freed with td_client_unsubscribed. */
struct td_csub {
    /* first what each delivery touches */
    uint32_t number;
    enum td_csub_state state;
    struct td_csub *bucket_next; /* of the same bucket, by number */
    void *owner;                 /* the bus's side of it */
    /* totals of this session, however many links it has had */
    uint64_t received; /* events that have arrived */
    uint64_t missed;   /* events that it was told to have missed */
    uint64_t taken;    /* events that handlers are done with */
    uint64_t taken_bytes;
    uint64_t told; /* taken, as the broker knows it */
    uint64_t told_bytes;
    struct td_csub *dirty_prev;
    struct td_csub *dirty_next;
    uint64_t window_events; /* as asked for, like what follows below; or … */
    uint64_t window_min;    /* … between this and the default … */
    bool paced;             /* … it follows the handler: session_pace.c */
    bool idled;             /* since it was looked at, nothing waited */
    bool stuck;             /* it has as much as it gets */
    uint64_t paced_handled; /* of settling, when it was looked at last … */
    int64_t paced_ms;       /* … which was then */
    uint64_t window_bytes;
    bool weighed;    /* its group, live or of such a policy, deals by what its
                        members have not taken */
    bool streamed;   /* of what a stream keeps: deliveries have spans … */
    bool durable;    /* … and it is in a group, so that they are settled */
    bool settles;    /* has something to send of that: in the client's list by
                        settles_ */
    bool dirty;      /* taken != told: in the client's list by dirty_ */
    bool wants_rest; /* while ending: it is told what is left behind */
    bool renewing;   /* it has been live before: a refusal is news */
    struct td_csub *prev;
    struct td_csub *next;
    uint64_t request; /* SUBSCRIBE or UNSUBSCRIBE; ENDING: 0, not sent yet */
    tidings_err code;
    char text[128];
    uint64_t queue_events; /* 0: the broker's default, or the group's */
    uint64_t queue_bytes;  /* the same */
    enum tidings_policy policy;
    char group[TD_GROUP_BYTES_MAX + 1];        /* "": none */
    char stream[TD_STREAM_NAME_BYTES_MAX + 1]; /* "": live events */
    struct tidings_start start;
    bool pulls;     /* it has no credit but what td_client_want() says */
    uint64_t limit; /* … which is this, a total; or of one that is paced the
                          highest that was told */
    uint64_t position; /* of a reader: the sequence that comes next; 0: it has
                          not had any */
    struct td_settling settling;
    struct td_csub *settles_prev;
    struct td_csub *settles_next;
    uint64_t ack_wait_ms; /* of a durable group; 0: not told yet */
    uint64_t redelivered; /* events, that had been delivered before */
    uint64_t stale;       /* settlements that the broker did not believe */
    enum tidings_group_policy group_policy;
    size_t pattern_len;
    char pattern[];
};

#define TD_QUESTION_TEXT_MAX 511u /* bytes: what is longer is cut */

/* A question to the broker that is asked again on every new link until it is
 * answered or forgotten; owned by the asker. A CALL that changes something is
 * not: when its link is lost nobody knows whether it was done. */
struct td_question {
    /* of STATS, set by the asker */
    const char *rows; /* borrowed; NULL: the broker's default */
    uint64_t from;
    /* of CALL, the same */
    const char *name; /* borrowed */
    struct td_str options;
    /* set by td_client_question() */
    struct td_question *prev;
    struct td_question *next;
    enum td_op op; /* TD_PING, TD_STATS or TD_CALL */
    uint64_t number;
    bool sent; /* over some link */
    bool done;
    tidings_err code;
    char text[TD_QUESTION_TEXT_MAX + 1]; /* with the code; "": none */
    void *result;                        /* STATS, CALL: malloc'ed msgpack */
    size_t result_len;
};

/* Subscriptions are found by number: mostly one to a bucket. */
#define TD_SUB_BUCKETS 1024u

/* What a subscription missed. */
struct td_gap {
    uint64_t events;
    struct td_str reason; /* the frame's, as it came */
    uint64_t first;   /* they were among these sequences of its stream … */
    uint64_t last;    /* … 0: not known */
    const char *text; /* all of it, in words */
};

struct td_cservice; /* session_service.h */

/* What the session does to the world; none may call back into it. */
struct td_client_port {
    void *ctx;
    /* Begins to open a link; messages may be sent at once. */
    tidings_err (*open)(void *ctx);
    void (*close)(void *ctx);
    /* false: the link takes nothing, so it is lost. */
    bool (*send)(void *ctx, const void *control, size_t len,
                 struct td_body *body);
    /* Keeps other threads from the packer while the session closes its batch;
     * NULL: there are none. */
    void (*guard)(void *ctx, bool on);
    /* A subscription missed events; NULL: that is a status, as all else. */
    void (*gap)(void *ctx, struct td_csub *sub, const struct td_gap *gap);
    /* What is held of a subscription up to this tag was taken away in part:
     * td_client_give_back() is due, later. NULL: nothing is held. */
    void (*lost)(void *ctx, struct td_csub *sub, uint64_t last);
    /* Confirmed, and the waiters are to be called; takes it over, and says how
     * many were called by td_publisher_called(). NULL: no event has any. */
    void (*confirmed)(void *ctx, struct td_confirmed *confirmed);
    /* A request is over, and the asker's again; one of many with more to come
     * is not. NULL: there are none. */
    void (*answered)(void *ctx, struct td_request *r,
                     const struct td_response *response);
    void (*status)(void *ctx, enum tidings_status_kind kind, tidings_err err,
                   const char *text, struct td_csub *sub, uint64_t count);
    /* How is the service? td_client_health() is due, later. NULL: as it was
     * said last. */
    void (*beat)(void *ctx, struct td_cservice *service);
    /* An operator wants it to drain, or not any more; NULL: nobody asks. */
    void (*drain)(void *ctx, struct td_cservice *service, bool drain);
    /* Appends a list of the program's breakers, one value of msgpack: what a
     * ping is told of them. NULL: nothing is. */
    void (*breakers)(void *ctx, struct td_buf *out);
};

struct td_client_options {
    const char *name;          /* borrowed */
    const char *source;        /* borrowed */
    const char *producer_name; /* borrowed; "": it has none */
    uint8_t producer[TD_PRODUCER_BYTES];
    uint64_t unconfirmed_events;
    uint64_t unconfirmed_bytes;
    uint64_t seed; /* of the jitter */
    struct td_client_port port;
};

/* Events that were not stored. */
struct td_unstored {
    uint64_t events;
    tidings_err err; /* of the first … */
    char text[160];  /* … and in words */
};

struct td_client {
    struct td_client_options options;
    enum td_client_state state;
    bool closed;           /* no more links */
    bool broken;           /* the next tick closes the link */
    const char *broken_by; /* static text; NULL: a send failed */
    int64_t now_ms;        /* of the last tick or message */
    int64_t retry_ms;      /* DOWN: when to open */
    unsigned failures;     /* in a row, short links included */
    int64_t welcomed_ms;   /* when this link was greeted */
    int64_t greeted_by_ms; /* GREETING: deadline */
    int64_t heard_ms;
    int64_t sent_ms;
    int64_t pinged_ms;
    bool sent; /* something, since the last tick */
    uint64_t random;
    tidings_err last_err; /* why the link is down */
    char last_text[160];
    const char *breach; /* static: what the broker did; set with EPROTO */
    uint64_t epoch;
    uint64_t connects;    /* greetings */
    uint64_t incarnation; /* of those, that began a session and resumed none */
    bool resumable;       /* there is a session to resume */
    bool resuming;        /* the HELLO that is out asks for it */
    bool has_token;       /* proves whose the producer is, resumed or not */
    uint8_t token[TD_TOKEN_BYTES]; /* of the last WELCOME that had one */
    uint64_t resent;
    uint64_t missed;
    /* of a producer with a name */
    uint64_t term;   /* under which it is held; 0: not greeted yet */
    uint64_t stored; /* the last sequence that is, as far as it is known */
    bool numbered;   /* the first is known, so events may be packed … */
    bool fenced; /* … and no more: another has the name; both with guard() */
    /* publishing */
    struct td_packer packer; /* with guard(); all else without */
    struct td_publisher publisher;
    atomic_bool ready;  /* state is READY */
    atomic_ullong link; /* the link's number while that is so; else 0 */
    atomic_bool idle; /* and there is nothing to send nor to wait for: the next
                          event leaves at once */
    bool lean; /* there was no memory to close the batch: tick tries again */
    uint64_t events_out; /* totals since WELCOME */
    uint64_t bytes_out;
    uint64_t events_limit;
    uint64_t bytes_limit;
    int64_t sent_base_us; /* time of the first event of the batch sent last */
    uint64_t asked;       /* last sequence of the batch that asked for TAKEN; 0:
                       none is out, so the link counts as idle */
    uint64_t wanted;      /* somebody waits until all up to it is taken */
    uint64_t confirmed;   /* events that are stored, as was asked */
    uint64_t unstored;    /* events that are not, though it was asked */
    struct td_unstored unasked; /* of those, since it was last looked at, those
                                   that nobody is called for */
    /* subscribing */
    struct td_csub *subs;
    struct td_csub *buckets[TD_SUB_BUCKETS];
    struct td_csub *dirty;   /* list by dirty_ */
    struct td_csub *settles; /* list by settles_ */
    int64_t settle_ms;       /* when SETTLE is due, as credit_ms */
    uint32_t subs_len;
    uint32_t next_sub;
    uint64_t messages; /* DELIVER, HANDLE and RESPONSE, since WELCOME */
    uint64_t messages_told;
    size_t messages_bytes; /* of requests and answers since then */
    int64_t credit_ms; /* when CREDIT is due, TD_CLIENT_NEVER: nothing to say */
    struct td_requests requests;
    struct td_question *questions;
    uint64_t next_request; /* numbers of PING as well: they rise */
    uint64_t pong;         /* the highest of those that was answered */
    /* serving */
    struct td_cservice *services;
    int64_t beat_ms;           /* when the first of them is asked how it is */
    struct td_answers answers; /* the session's own */
    struct td_buf control;
    struct td_buf scratch;
    struct td_buf rows; /* of a SETTLE */
};

/* What a message turned out to hold for handlers: nothing, or deliveries that
 * td_client_next() hands out, or requests that td_client_next_task() does.
 * Borrows the message. */
struct td_deliveries {
    struct td_reader parts; /* those not handed out */
    uint32_t left;          /* how many … */
    uint32_t tasks_left;    /* … of either */
    struct td_str body;     /* theirs */
};

/* One of them. */
struct td_delivery {
    struct td_csub *sub;   /* NULL: none */
    struct td_str batches; /* in the control frame */
    struct td_str body;    /* the events of these batches */
    struct td_str spans;   /* of a stream: of all its events; else empty */
    uint64_t tag;
    uint64_t events; /* in the batches, by their table */
};

void td_client_init(struct td_client *c,
                    const struct td_client_options *options, int64_t now_ms);
/* Frees its subscriptions and what it holds; sends nothing. */
void td_client_fini(struct td_client *c);

/* Does what is due; returns when it wants to be called again. */
int64_t td_client_tick(struct td_client *c, int64_t now_ms);

/* One message of the link. Not TIDINGS_OK: the peer broke the protocol; the
 * session is over and the link closed. */
tidings_err td_client_message(struct td_client *c, const void *control,
                              size_t len, struct td_body *body, int64_t now_ms,
                              struct td_deliveries *out);

/* The next delivery of a message; out->sub is NULL when there are no more. Not
 * TIDINGS_OK: as td_client_message(). */
tidings_err td_client_next(struct td_client *c, struct td_deliveries *from,
                           struct td_delivery *out);

/* The link is lost; with TIDINGS_EPROTO because the broker broke the rules, so
 * that its session is not to be resumed. */
void td_client_lost(struct td_client *c, tidings_err err, const char *text,
                    int64_t now_ms);

/* A delivery could not be kept for want of memory: it counts as not received,
 * and the link as lost, so that resuming the session brings it again. */
void td_client_lost_delivery(struct td_client *c, const struct td_delivery *d);

/* The broker broke the rules, found by whoever is not to touch the link: the
 * next tick closes it. why is static. */
void td_client_break(struct td_client *c, const char *why);

/* Says goodbye and closes the link; never opens another. */
void td_client_close(struct td_client *c);

bool td_client_is_named(const struct td_client *c);

/* ---- publishing: packing needs the guard, the rest the session ---- */

/* Packs an event, and closes the batch if it is full. TIDINGS_EFULL: there is no room, try again when
 * td_client_has_room(), after td_client_pump(); TIDINGS_ENOMEM. */
tidings_err td_client_pack(struct td_client *c, const struct td_packing *event);

enum td_pump {
    TD_PUMP_NOT,
    TD_PUMP_SOON, /* batches are closed; an answer that is due takes them along,
                     so it need not be now */
    TD_PUMP_NOW   /* the link is idle, or many are closed */
};

/* The same for a batch of its own; TIDINGS_ELIMIT: it is too large. */
tidings_err td_client_pack_apart(struct td_client *c,
                                 const struct td_packing *events, size_t len,
                                 const struct td_apart *apart);

/* Whether the event may have that sequence: it is above the last one, or all
 * before it is confirmed. Needs the guard. */
bool td_client_may_number(const struct td_client *c, uint64_t sequence);

/* Whether td_client_pump() has something to do. Needs the guard. */
enum td_pump td_client_wants_pump(const struct td_client *c);

/* Sends what may be sent: closed batches within credit, and the open one if
 * the link is idle. Takes the guard itself. */
void td_client_pump(struct td_client *c);

/* Whether there is room for more, with some to spare. Needs the guard. */
bool td_client_has_room(const struct td_client *c);

/* Events packed and not taken, or not confirmed though it was asked. Needs the
 * guard. */
uint64_t td_client_unconfirmed(const struct td_client *c);

/* All in one, where no other thread packs. */
tidings_err td_client_publish(struct td_client *c,
                              const struct td_packing *event);

/* Somebody waits until everything up to this sequence is taken: sends it,
 * within credit, and asks the broker to say so, unless it has been asked. Who
 * else waits is next when that is taken; so it is called again and again. */
void td_client_ask(struct td_client *c, uint64_t sequence);

/* Somebody waits for room: asks for what was sent, unless an answer is out. */
void td_client_ask_room(struct td_client *c);

/* ---- subscribing ---- */

/* TIDINGS_EINVAL (a policy, or the group's name), TIDINGS_ELIMIT or
 * TIDINGS_ENOMEM: nothing was made. */
tidings_err td_client_subscribe(struct td_client *c, struct td_csub **out,
                                const char *pattern,
                                const struct tidings_sub_options *options);

/* Asks the broker to end it; at once ENDED when the broker does not have it, or
 * finds out when it is greeted. */
void td_client_unsubscribe(struct td_client *c, struct td_csub *sub);

/* Forgets and frees it. */
void td_client_forget(struct td_client *c, struct td_csub *sub);

/* The handlers are done with events of a delivery. incarnation is the client's
 * at the time it arrived: what is of a session that is over is ignored, what
 * is of one that is away is told when it is resumed. */
void td_client_handled(struct td_client *c, struct td_csub *sub,
                       uint64_t incarnation, uint64_t events, uint64_t bytes);

/* Of one that pulls: so many events are to come now, and no more. Said again in
 * each new session. */
void td_client_want(struct td_client *c, struct td_csub *sub, uint64_t events);

/* ---- settling: of durable subscriptions ---- */

/* Settles deliveries that arrived in this incarnation. Ranges may hold some
 * that are settled. TIDINGS_EEXIST: all of them are; TIDINGS_ENOTFOUND: they
 * were not delivered in this session; TIDINGS_ENOMEM: the session ends. */
tidings_err td_client_settle(struct td_client *c, struct td_csub *sub,
                             uint64_t incarnation, const struct td_settle *how);
/* Their handlers have returned, and somebody will settle them. */
void td_client_settle_later(struct td_client *c, struct td_csub *sub,
                            uint64_t incarnation, uint64_t first,
                            uint64_t last);
/* Somebody is at work on this delivery. */
void td_client_progress(struct td_client *c, struct td_csub *sub, uint64_t tag);
/* To be called three times in ack_wait: all that waits here is held, and what
 * was begun with since has all of ack_wait. at: where handlers are. */
void td_client_hold(struct td_client *c, struct td_csub *sub,
                    const struct td_at *at, unsigned at_len);
/* All up to a tag goes back that nobody has begun with, and nobody will. The
 * session may be away. */
void td_client_give_back(struct td_client *c, struct td_csub *sub,
                         uint64_t last, const struct td_at *at,
                         unsigned at_len);
/* The smallest window that follows that many handlers. */
uint64_t td_client_window_min(unsigned workers);
/* Handlers have got on: the window follows them. */
void td_client_pace(struct td_client *c, struct td_csub *sub, int64_t now_ms);
/* No more is to come, or it may again: a handler that others wait for is late. */
void td_client_stick(struct td_client *c, struct td_csub *sub, bool stuck);
/* Sends what is settled; false: there was nothing. It is sent by itself within
 * a millisecond, or when half a window has come together. */
bool td_client_send_settled(struct td_client *c);
/* When the session has something to send at the latest. */
int64_t td_client_due_ms(const struct td_client *c);

/* ---- questions ---- */

/* What it takes as arguments is set before, NULL and 0 for the defaults. */
void td_client_question(struct td_client *c, struct td_question *q,
                        enum td_op op);
void td_client_withdraw(struct td_client *c, struct td_question *q);

/* ---- requests ---- */

/* Sent at once when no answer is out, else with others: at the latest by the
 * next tick. It stays where it is until port->answered(). TIDINGS_EFULL,
 * TIDINGS_EFENCED, TIDINGS_ENOMEM: the session does not have it. */
tidings_err td_client_request(struct td_client *c, struct td_request *r,
                              int64_t now_ms);
/* Sends all that wait to be. */
void td_client_send_requests(struct td_client *c, int64_t now_ms);
/* For the asker of one that is not timed: at due_ms, or later. Then
 * td_client_send_requests() is due as well. */
void td_client_request_due(struct td_client *c, struct td_request *r,
                           int64_t now_ms);
/* The asker does not wait any more; it is not called. Does nothing if it is
 * done. */
void td_client_withdraw_request(struct td_client *c, struct td_request *r);
/* The same for all that there are, one after the other; NULL: there are no
 * more. *from: 0 for the first, then as it was left. */
struct td_request *td_client_take_request(struct td_client *c, uint32_t *from);

#endif
