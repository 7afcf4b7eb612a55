/* A PostgreSQL server of a test's own: in a temporary folder, on a socket in it,
 * as a user who is not root. Dies with the test. */
#ifndef TESTS_SUPPORT_POSTGRES_H
#define TESTS_SUPPORT_POSTGRES_H

#include "tests/support/folder.h"
#include "tests/support/proc.h"

struct td_postgres {
    struct td_folder folder;
    struct td_proc server;
    char conninfo[TD_FOLDER_PATH_MAX + 80];
    char error[256]; /* why there is none */
};

/** Whether a server is installed. */
bool td_postgres_installed(void);

/** Make a database and start its server; false: the error says why. */
bool td_postgres_start(struct td_postgres *p);

/** End it as a crash would, and start it again. */
bool td_postgres_crash(struct td_postgres *p);

/** End it and remove its files; an empty struct is left alone. */
void td_postgres_end(struct td_postgres *p);

#endif
