/* Subscriptions that end while events come: none is called once its end has
 * returned. */
#ifndef TESTS_CONFORMANCE_OVER_H
#define TESTS_CONFORMANCE_OVER_H

#include "tests/conformance/conformance.h"

struct over {
    atomic_bool over; /* its end has returned */
    atomic_uint calls;
    atomic_uint late; /* of them */
};

/* A handler: arg is a struct over. */
tidings_err over_note(void *arg, const struct tidings_event *event);

/* D22: while another thread publishes, that many subscriptions come, are called
 * fewer than most times, and go. The bus that they were on is drained then. */
void over_race(tidings_bus *from, tidings_bus *to,
               const struct tidings_sub_options *o, unsigned races,
               unsigned most);

#endif
