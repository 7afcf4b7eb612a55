/* Requests in a session's fixture. */
#ifndef TESTS_UNIT_REQUEST_FIXTURE_H
#define TESTS_UNIT_REQUEST_FIXTURE_H

#include "tests/unit/session_fixture.h"

#define MS 1000 /* of a request that does not say */

/* One that is sent once; one that may be sent so often. */
struct td_request plain(struct fixture *f, const char *type);
struct td_request again(struct fixture *f, unsigned attempts);
void ask(struct fixture *f, struct td_request *r);

/* RESPONSE, from "i-1": without data, with data, and the last without. */
tidings_err respond_with(struct fixture *f, const struct td_request *r,
                         unsigned code, unsigned status, unsigned left);
tidings_err respond_data(struct fixture *f, const struct td_request *r,
                         unsigned bytes, unsigned left);
void respond(struct fixture *f, const struct td_request *r, unsigned code,
             unsigned status);

uint32_t rows_of(const struct td_frame *frame);
/* The first row of the nth REQUEST. */
struct td_request_row row(struct fixture *f, uint32_t nth);

/* So much later. */
void at(struct fixture *f, int64_t ms);
/* On until it is sent again; fails when it never is. */
int64_t until_sent(struct fixture *f, const struct td_request *r);

/* What is in the test's own memory is not to outlive it. */
void drop(struct fixture *f);

#endif
