/* The engine, message by message, through a port that records what it sends.
 * After every step a judge looks at its books (engine_judge.c). Whole systems
 * are in tests/sim; here are the single rules of PROTOCOL.md. */
#ifndef TESTS_UNIT_ENGINE_HARNESS_H
#define TESTS_UNIT_ENGINE_HARNESS_H

#include "tests/support/td_test.h"

#include "broker/engine/internal.h"

#define SENT_MAX 4096

/* A message that the engine sent. */
struct sent {
    char peer[8];
    struct td_buf control;
    struct td_frame frame;
    struct td_body *body;
};

struct fixture {
    struct td_engine *engine;
    int64_t now;
    int64_t next; /* as the last flush said */
    int64_t unix_ahead_ms; /* the wall's clock, of now */
    struct sent sent[SENT_MAX];
    uint32_t sent_len;
    bool refuses;     /* the port takes nothing … */
    const char *deaf; /* … or nothing for this peer */
    bool unjudged; /* tests of many steps, in which the judge takes too long */
    /* From its n-th call on the engine's m-th allocation fails; 0: never. */
    unsigned calls;
    unsigned starved_call;
    size_t starved_allocation;
    bool starved;
    uint8_t tokens; /* made so far */
    struct td_batches batches;
    struct td_part part;
    struct td_buf stats; /* the answer to the last STATS of the judge */
};

int setup(void **state);
/* Sessions can be resumed. */
int setup_resumable(void **state);
int teardown(void **state);

/* An engine with other options than setup's; port and epoch are set here. */
void start(struct fixture *f, struct td_engine_options options);
void restart(struct fixture *f, struct td_engine_options options);

/* Everything sent so far. */
void forget(struct fixture *f);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RESUMABLE(name)                                                   \
    cmocka_unit_test_setup_teardown(name, setup_resumable, teardown)

/* ---- giving ---- */

void message(struct fixture *f, const char *peer, unsigned frames,
             const struct td_buf *control, struct td_body *body);
/* A message without a body, in the notation of tests/support/mp.h. */
void give(struct fixture *f, const char *peer, const char *text);
/* The same, made as by printf. */
void givef(struct fixture *f, const char *peer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void gone(struct fixture *f, const char *peer);
void flush(struct fixture *f);
/* Time passes, and the engine is called whenever it asked to be. */
void pass(struct fixture *f, int64_t ms);

/* The producer of a peer is its name up to a '/', repeated; that of a peer
 * whose name begins with '=' has the name that follows. */
void producer_of(uint8_t out[TD_PRODUCER_BYTES], const char *peer);
void hello(struct fixture *f, const char *peer);
/* options: in the notation of mp.h. */
void hello_with(struct fixture *f, const char *peer, const char *options);

/* A run to be published. */
struct piece {
    const char *type;
    uint32_t count;
    uint32_t size; /* of each event's data */
    uint64_t first;
    const char *const *keys; /* NULL, or of each event, where NULL is none; one
                                that begins with { is all its attributes, in the
                                notation of mp.h */
};

/* One PUBLISH with one batch; its body, to be compared with and no more. */
struct td_body *publish(struct fixture *f, const char *peer, uint64_t flags,
                        const struct piece *pieces, uint32_t n);
/* The same with options, in the notation of mp.h. */
struct td_body *publish_if(struct fixture *f, const char *peer, uint64_t flags,
                           const struct piece *pieces, uint32_t n,
                           const char *options);
/* The same, each piece a batch of its own. */
struct td_body *publish_apart(struct fixture *f, const char *peer,
                              const struct piece *pieces, uint32_t n);
struct td_body *publish_one(struct fixture *f, const char *peer,
                            const char *type, uint32_t count, uint32_t size,
                            uint64_t first);

/* Two peers: "pub" publishes, "sub" has subscription 1 with this pattern. */
void begin(struct fixture *f, const char *pattern, const char *options);
/* Greets, and has subscription 1 with this pattern. */
void subscriber(struct fixture *f, const char *peer, const char *pattern,
                const char *options);

/* Options of a subscription: credit for all that a test sends. */
#define ROOM "\"events\" 100000 \"bytes\" 100000000"
#define WIDE "{" ROOM "}"

/* ---- away ---- */

/* The producer of "sub" greets as another peer, with the token that "sub",
 * the second session, was given. */
void come_back(struct fixture *f, const char *peer, const char *list);
bool resumed(struct fixture *f, const char *peer);
/* "sub" was sent 10 events in two messages, took 3, and is away; 5 wait. */
void begin_away(struct fixture *f);
/* The peer got from..to, in one row, and the tags meet them. */
void check_delivered(struct fixture *f, const char *peer, uint32_t from,
                     uint32_t to);

/* ---- getting ---- */

/* The n-th message of this operation to the peer, decoded; NULL: none. */
struct sent *find(struct fixture *f, const char *peer, enum td_op op,
                  uint32_t nth);
/* The same; the test fails if there is none. */
struct td_frame *frame(struct fixture *f, const char *peer, enum td_op op,
                       uint32_t nth);
/* Of all parts of DELIVERs to the peer the n-th: its batches, and itself. */
const struct td_batches *delivered(struct fixture *f, const char *peer,
                                   uint32_t nth);
/* The same of one DELIVER, f->part and f->batches; false: it has fewer. */
bool part_of(struct fixture *f, struct sent *s, uint32_t nth);
const struct td_part *part(struct fixture *f, const char *peer, uint32_t nth);
/* Events of all DELIVER to the peer, and how many messages those are. */
uint64_t events_to(struct fixture *f, const char *peer);
uint32_t messages_to(struct fixture *f, const char *peer);
/* Their sequences, in order; returns how many, at most max. */
uint32_t sequences_to(struct fixture *f, const char *peer, uint64_t *out,
                      uint32_t max);
/* Advisories of a type to a peer that has nothing else; *last is the data of
 * the last. */
uint32_t advised(struct fixture *f, const char *peer, const char *type,
                 struct td_str *last);
/* Of all GAP with this reason (NULL: any) to the peer. */
uint64_t missed_by(struct fixture *f, const char *peer, const char *reason);

void assert_bye(struct fixture *f, const char *row, const char *peer,
                tidings_err code);
/* The code of the last REPLY to the peer. */
tidings_err code_of_reply(struct fixture *f, const char *peer);
uint64_t sessions(struct fixture *f);
struct td_session *session_of(struct fixture *f, const char *peer);
struct td_sub *sub_of(struct fixture *f, const char *peer, uint64_t number);
/* The map's value of a key, which is there. */
uint64_t count(struct td_str map, const char *key);
struct td_str text_of(struct td_str map, const char *key);
struct td_str map_of(struct td_str map, const char *key);
bool is_text(struct td_str text, const char *is);

/* ---- the judge ---- */

/* Asks for STATS past all sessions; the answer's map is valid until the next
 * step. */
struct td_str stats(struct fixture *f, const char *rows, uint64_t from);
/* Calls visit with each row of a list, however many pages that takes; returns
 * how many rows there were. */
uint64_t each_row(struct fixture *f, const char *rows,
                  void (*visit)(void *ctx, struct td_str row), void *ctx);
/* The books balance, and the engine's tables are what they should be. */
void judge(struct fixture *f);

#endif
