/* Callers and instances for tests of requests: message by message, over the
 * engine's harness. */
#ifndef TESTS_UNIT_SERVICE_FIXTURE_H
#define TESTS_UNIT_SERVICE_FIXTURE_H

#include "tests/unit/engine_harness.h"

/* Greets if need be, and serves "users" 1.0.0 as service 1, running, with one
 * endpoint "get" for user.get. options: more of an endpoint's, as "\"balance\"
 * \"random\"". */
void instance(struct fixture *f, const char *peer, const char *options);
/* The same with all options of the SERVE but id and state, which are the peer's
 * name and running. */
void instance_of(struct fixture *f, const char *peer, const char *name,
                 const char *version, const char *options);

/* One REQUEST of one row with so many bytes of data; options: in the notation of
 * mp.h, "nil" for none. */
void ask_with(struct fixture *f, const char *peer, uint64_t number,
              const char *type, uint64_t flags, uint64_t left_ms, uint32_t size,
              const char *options);
/* The same of user.get with 1,000 ms and 8 bytes. */
void ask(struct fixture *f, const char *peer, uint64_t number);

/* One ANSWER of one row with this data. */
void answer_with(struct fixture *f, const char *peer, uint64_t task,
                 uint64_t code, uint64_t status, uint64_t held_us,
                 const char *data);
/* The same with code 0. */
void answer(struct fixture *f, const char *peer, uint64_t task);
/* Answers all that were handed to it since the last forget(). */
uint32_t answer_all(struct fixture *f, const char *peer);

/* The n-th row of all HANDLEs to the peer; false: there are fewer. */
bool handled(struct fixture *f, const char *peer, uint32_t nth,
             struct td_handle_row *row);
uint32_t handled_count(struct fixture *f, const char *peer);
/* The n-th row of all RESPONSEs; *data: its bytes. */
bool responded(struct fixture *f, const char *peer, uint32_t nth,
               struct td_response_row *row, struct td_str *data);
uint32_t responded_count(struct fixture *f, const char *peer);
/* The code of the only response to that number; the test fails if there is
 * none, or another. */
tidings_err code_to(struct fixture *f, const char *peer, uint64_t number);

const struct td_request_counts *counts(struct fixture *f);
/* accepted is the sum of what became of it, and the engine's tables agree. */
void judge_requests(struct fixture *f);

#endif
