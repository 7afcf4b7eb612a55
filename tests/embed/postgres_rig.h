/* What the tests of outbox and inbox in PostgreSQL share: a server that they
 * start, and a database and a broker with nothing in them for each test. */
#ifndef TESTS_EMBED_POSTGRES_RIG_H
#define TESTS_EMBED_POSTGRES_RIG_H

#include "tests/support/td_test.h"

#include <libpq-fe.h>
#include <stdatomic.h>

#include "tests/support/postgres.h"
#include "tidings/postgres.h"

#define WAIT_MS    20000
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

extern struct td_postgres server;

struct fixture {
    struct td_folder folder; /* the broker's */
    char url[TD_FOLDER_PATH_MAX + 48];
    PGconn *db;
    tidings_bus *bus;
    tidings_relay *relay;
    atomic_int told[4]; /* by kind */
    tidings_err answer; /* of a handler */
    int calls;
    int pid; /* of a backend that is stopped */
};

int setup(void **state);
int teardown(void **state);

/* Statements that have to succeed. */
void run(PGconn *db, const char *sql);
long number(PGconn *db, const char *sql);
PGconn *connect_db(void);

/* postgres_inbox.c: how many of its tests failed. */
int run_inbox_tests(void);

#endif
