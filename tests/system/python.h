/* Runs the Python clients of this folder. They need Debian's python3-zmq and
 * python3-msgpack; where these are missing the test counts as skipped. */
#ifndef TESTS_SYSTEM_PYTHON_H
#define TESTS_SYSTEM_PYTHON_H

#include "tests/support/proc.h"

/** Start a script of this folder; args end with NULL. Asserts. */
void python_start(struct td_proc *p, const char *script,
                  const char *const *args);

/** Whether the interpreter and both packages are there; for main(). */
bool python_is_there(void);

#define PYTHON_SKIPPED 77 /* exit code: CTest counts it as skipped */

#endif
