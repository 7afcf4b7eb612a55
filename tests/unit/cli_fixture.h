/* What the tests of the command line's parts share: its standard streams in
 * other hands. Asserts come after the streams are back: cmocka writes there. */
#ifndef TESTS_UNIT_CLI_FIXTURE_H
#define TESTS_UNIT_CLI_FIXTURE_H

#include "tests/support/td_test.h"

#define SAID_MAX 4096

/* From here on standard error is kept, */
void said_begin(void);
/* up to here: what was said, valid until the next call. */
const char *said_end(void);

/* A descriptor stands in for standard input or output, and is closed; the
 * other one is kept. */
int stand_in(int fd, int other);
void stand_back(int fd, int kept);

#endif
