/* The client's session as a machine: a port that records, messages and time
 * by hand. Whole systems are in tests/sim. */
#ifndef TESTS_UNIT_SESSION_FIXTURE_H
#define TESTS_UNIT_SESSION_FIXTURE_H

#include "tests/support/td_test.h"

#include "client/session.h"
#include "client/session_service.h"
#include "proto/limits.h"

#define SENT_MAX     2048
#define STATUS_MAX   32
#define ANSWERED_MAX 64

struct sent {
    struct td_buf control;
    struct td_frame frame;
    bool body;
    char bytes[32]; /* of it, from its beginning */
};

struct fixture {
    struct td_client client;
    int64_t now;
    int64_t next;
    bool open;
    unsigned opens;
    tidings_err open_err;
    bool refuses; /* the link takes nothing */
    struct sent sent[SENT_MAX];
    uint32_t sent_len;
    struct {
        enum tidings_status_kind kind;
        tidings_err err;
        uint64_t count;
        char text[320];
    } status[STATUS_MAX];
    uint32_t status_len;
    struct {
        struct td_request *request;
        tidings_err code;
        int status;
        uint64_t left;
        char text[128];
        char instance[40];
        size_t len;
    } answered[ANSWERED_MAX];
    uint32_t answered_len;
    char gap_reason[40]; /* of the last gap */
    uint64_t gap_first;
    uint64_t gap_last;
    uint64_t lost;               /* the port was told of last */
    struct td_delivery delivery; /* the last of the last message … */
    unsigned deliveries;         /* … that had so many */
    struct td_handed handed;     /* the last of the last message … */
    unsigned tasks;              /* … that had so many */
    struct td_cservice *asked;   /* how it is, last … */
    unsigned beats;              /* … and how often */
    int drains;                  /* 1: asked to; -1: not any more; added up */
};

int setup(void **state);
int teardown(void **state);
/* A client that was never ticked, in memory that holds none. */
void start(struct fixture *f);
/* Everything sent and told so far. */
void forget(struct fixture *f);

/* ---- giving ---- */

void tick(struct fixture *f);
/* A message without a body, in the notation of tests/support/mp.h. */
tidings_err give(struct fixture *f, const char *text);
/* The same with a body of so many bytes that are no events; or an empty one. */
tidings_err give_bytes(struct fixture *f, const char *text, size_t len);
tidings_err give_body(struct fixture *f, const char *text);
/* DELIVER of one event of 6 bytes, or of so many. */
/* Events of a PUBLISH's batches. */
uint32_t events_of(struct td_str batches);
tidings_err deliver(struct fixture *f, unsigned subscription, unsigned tag);
tidings_err deliver_events(struct fixture *f, unsigned subscription,
                           unsigned tag, unsigned events);

/* The same with these bytes. */
tidings_err give_with(struct fixture *f, const char *text, const char *bytes);

#define WELCOME "[2 1 7 1 0 1000 1000000 {}]"

/* The same with a token, so that it can be resumed; resumed; and not. */
#define TOKEN   "\"token\" b(16)"
#define GREETED "[2 1 7 1 0 1000 1000000 {" TOKEN "}]"
#define RESUMED "[2 1 7 1 0 1000 1000000 {" TOKEN " \"resumed\" true}]"
#define ANEW    "[2 1 7 2 0 1000 1000000 {" TOKEN " \"resumed\" false}]"

/* What a HELLO says that lists nothing. */
#define NO_SUBS "{" TOKEN " \"subscriptions\" []}"

/* READY, with this WELCOME. */
void greet(struct fixture *f, const char *welcome);
void lose(struct fixture *f);
void bye(struct fixture *f, unsigned code);
/* HELLO is out again; what was sent and told before is forgotten. */
void reopen(struct fixture *f);
void resume(struct fixture *f);
tidings_err publish(struct fixture *f, size_t len);
struct td_csub *subscribe(struct fixture *f, size_t window_events);
struct td_csub *subscribe_with(struct fixture *f,
                               const struct tidings_sub_options *options);
/* REPLY to what was asked of it last. */
void answer(struct fixture *f, const struct td_csub *sub, unsigned code);
/* A subscription that the broker has. */
struct td_csub *subscribe_live(struct fixture *f, size_t window_events);

/* ---- getting ---- */

/* The nth frame sent of its kind; NULL, or a failure. */
const struct td_frame *find(struct fixture *f, enum td_op op, uint32_t nth);
const struct td_frame *frame(struct fixture *f, enum td_op op, uint32_t nth);
/* Whether the options of the HELLO sent last are these. */
bool said_hello(struct fixture *f, const char *options);
/* The only row of the nth CREDIT. */
struct td_credit credit(struct fixture *f, uint32_t nth);
bool was_told(const struct fixture *f, enum tidings_status_kind kind);
/* Of the last status of a kind. */
const char *text_of(const struct fixture *f, enum tidings_status_kind kind);
uint64_t count_of(const struct fixture *f, enum tidings_status_kind kind);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
