/* msgpack in a notation that a table's row can hold and a failure can print.
 *
 *     [4 "user.created" -1 'bin' {"a" true "b" nil} 1.5]
 *
 * Integers, strings and containers get their shortest form. Besides:
 *     s(300)  b(16)   a str of 300 letters, a bin of 16 bytes, all 'a'
 *     7*20            the value 20 times
 *     <c1 dc 91*40>   bytes as they are, one 40 times; counts as one value
 */
#ifndef TESTS_SUPPORT_MP_H
#define TESTS_SUPPORT_MP_H

#include "proto/buf.h"
#include "proto/scan.h"

/* Append what text says; the test fails if it is no such notation. */
void td_mp(struct td_buf *b, const char *text);

/* The buffer's bytes. */
struct td_str td_mp_str(const struct td_buf *b);

#endif
