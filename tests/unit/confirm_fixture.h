/* Beside the session's fixture: events that are to be confirmed, and what those
 * who wait for them are told. */
#ifndef TESTS_UNIT_CONFIRM_FIXTURE_H
#define TESTS_UNIT_CONFIRM_FIXTURE_H

#include "tests/unit/session_fixture.h"

#define CALLS_MAX 64

/* What became of the events that somebody waited for, by what they gave. */
struct told {
    struct {
        uintptr_t who;
        tidings_err err;
        char stream[16];
        uint64_t sequence;
        enum tidings_level level;
        bool duplicate;
    } call[CALLS_MAX];
    unsigned calls;
    unsigned handed; /* to the port, whatever is in them */
};

extern struct told told;

int setup_confirms(void **state);
/* After start(), which has another port. */
void listen_for_confirms(struct fixture *f);

/* who: 0: nobody waits. */
void publish_as(struct fixture *f, const char *type, enum tidings_level level,
                uintptr_t who);
/* So many at level disk, of types a and b in turn, the first alone in its
 * batch, all of them sent; all of them wait if told, and who they are is their
 * sequence. */
void publish_many(struct fixture *f, unsigned n, bool wait);
void taken(struct fixture *f, unsigned sequence);
/* One row. */
tidings_err confirm(struct fixture *f, const char *row);

/* All up to it is taken and confirmed; and how many are not. */
uint64_t done(struct fixture *f);
uint64_t kept(struct fixture *f);

#undef TEST
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup_confirms, teardown)

#endif
