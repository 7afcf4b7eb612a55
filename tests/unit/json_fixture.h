/* What the tests of libtidings_json share. */
#ifndef TESTS_UNIT_JSON_FIXTURE_H
#define TESTS_UNIT_JSON_FIXTURE_H

#include "tests/support/td_test.h"

#include "tidings/json.h"

/* Bytes with their length, so that a row may hold a NUL. */
#define ROW(s) s, sizeof(s) - 1

#define HEAD "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/s\","        \
             "\"type\":\"t\""

/* count times text, and then as often the end; to be freed. */
char *repeated(const char *text, size_t count, const char *end);
/* depth objects, one in another; to be freed. */
char *nested_objects(size_t depth);

#endif
