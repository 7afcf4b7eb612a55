/* Two publishers at full speed, each a process, and a subscriber of this
 * process, while brokers come and go. Asserts, so it is for the test's own
 * thread only. */
#ifndef TESTS_SYSTEM_LOAD_H
#define TESTS_SYSTEM_LOAD_H

#include "tests/system/system.h"

#define LOAD_PUBLISHERS 2

struct load {
    struct td_daemon broker;
    struct td_proc publishers[LOAD_PUBLISHERS];
    struct sys_peer peer; /* it watches load.> */
};

/** A test's setup and teardown: *state is a struct load, all zero. */
int load_setup(void **state);
int load_teardown(void **state);

/** Start the broker and the subscriber. */
void load_start_broker(struct load *l);

/** The same with the publishers, of load.a and load.b; their events flow. */
void load_start(struct load *l);

/** Some more events of each publisher come, all from this broker on, which is
 *  the epochs-th after the first. */
void load_expect_flow(struct load *l, uint64_t epochs);

/** In order on each link, whole, and no holes but those that were told. */
void load_check_order(struct load *l);

#endif
