/* Services at the engine: what is given and asked in the tests of the
 * registry. */
#ifndef TESTS_UNIT_REGISTRY_FIXTURE_H
#define TESTS_UNIT_REGISTRY_FIXTURE_H

#include "tests/unit/engine_harness.h"

/* "state" 2, and an endpoint "get" of user.get. */
#define USERS                                                                  \
    "\"state\" 2 \"endpoints\" [{\"name\" \"get\" \"type\" \"user.get\"}]"

/* Registers service 1 of a peer that has greeted; options as in mp.h, without
 * their braces. */
void serve(struct fixture *f, const char *peer, const char *name,
           const char *version, const char *options);

/* A CALL of a peer that has greeted: its result, valid until the next. The test
 * fails unless its code is this. */
struct td_str call(struct fixture *f, const char *peer, tidings_err code,
                   const char *name, const char *options);

/* A list of a map: how many it has, and one of them, which is there. */
uint32_t length_of(struct td_str map, const char *key);
struct td_str row_of(struct td_str map, const char *key, uint32_t nth);
bool flag_of(struct td_str map, const char *key);

#endif
