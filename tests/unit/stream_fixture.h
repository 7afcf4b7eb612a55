/* The engine with a store that a test commands: broker/store/model.h; or with
 * another. */
#ifndef TESTS_UNIT_STREAM_FIXTURE_H
#define TESTS_UNIT_STREAM_FIXTURE_H

#include "tests/unit/engine_harness.h"

#include "broker/store/model.h"

#define MEMORY (TD_LEVEL_MEMORY << TD_PUBLISH_LEVEL_SHIFT)
#define OS     (TD_LEVEL_OS << TD_PUBLISH_LEVEL_SHIFT)
#define DISK   (TD_LEVEL_DISK << TD_PUBLISH_LEVEL_SHIFT)

struct streams {
    struct fixture *f;
    struct td_model *model; /* NULL: it has a store of another kind */
    struct td_store *store;
};

/* An engine over an empty store, that commits and answers by itself. */
int setup_streams(void **state);
int teardown_streams(void **state);

/* An engine over any store, which is then s->store; and without both. */
void begin_streams(struct streams *s, struct td_store *store);
void end_streams(struct streams *s);

#define TEST_STREAM(name)                                                      \
    cmocka_unit_test_setup_teardown(name, setup_streams, teardown_streams)

/* The broker is killed, and started anew: what was committed is there. */
void kill_broker(struct streams *s);
/* The machine is: what was synced is. */
void cut_power(struct streams *s);
/* The store works off nothing by itself any more: td_model_commit() does. */
void hold_store(struct streams *s);
void let_store(struct streams *s);
/* Turns, until nothing is to be done at this moment. */
void settle_down(struct streams *s);

/* A plain publish of one run of so many events, of 10 bytes each. */
void put(struct streams *s, const char *peer, const char *type, uint32_t count,
         uint64_t first, uint64_t flags);
/* The peer, which is called "=a/1" or so, comes for the producer's name "a", and
 * says this term; 0: it has none. */
void hello_term(struct streams *s, const char *peer, unsigned term);
/* It was told this one, and what is stored under the name. */
void check_welcome(struct streams *s, const char *peer, uint64_t term,
                   uint64_t stored);
/* The n-th row of all CONFIRM to the peer; false: there are fewer. */
bool confirm_to(struct streams *s, const char *peer, uint32_t nth,
                struct td_confirm *out);
/* The peer has subscription number on the stream; group NULL: it reads. more:
 * options in the notation of mp.h. */
void consume(struct streams *s, const char *peer, uint64_t number,
             const char *pattern, const char *stream, const char *group,
             const char *more);
/* The n-th span of all parts to the peer; false: there are fewer. */
bool span_to(struct streams *s, const char *peer, uint32_t nth,
             struct td_span *out);
/* The stream's sequences that the peer got, in order, are these; 0 ends them. */
void check_spans(struct streams *s, const char *peer, const uint64_t *expected);
#define GOT(s, peer, ...)                                                      \
    check_spans(s, peer, (const uint64_t[]){__VA_ARGS__, 0})
/* Settles tags of subscription 1. */
void settle(struct streams *s, const char *peer, enum td_verb verb,
            uint64_t first, uint64_t last);
/* How many rows of SETTLED came with that code. */
uint32_t settled_with(struct streams *s, const char *peer, tidings_err code);
/* The result of a CALL, valid until more is sent; it has no error. */
struct td_str call(struct streams *s, const char *peer, const char *name,
                   const char *options);
/* The same, of one that fails. */
tidings_err call_code(struct streams *s, const char *peer, const char *name,
                      const char *options);
/* The n-th map of a list in a result. */
struct td_str row_of(struct td_str result, const char *list, uint32_t nth);

#endif
