/* What the files on workers share. */
#ifndef TESTS_CONFORMANCE_WORKERS_H
#define TESTS_CONFORMANCE_WORKERS_H

#include "tests/conformance/conformance.h"

#define WORKERS 4

/* So many workers, in any order and in the order of keys. */
extern const struct tidings_sub_options workers_any_order;
extern const struct tidings_sub_options workers_key_order;

/* Waits until *n is at least so many. */
bool workers_reach(atomic_uint *n, unsigned enough);
/* An event with a partitionkey; its data is a number. */
tidings_err workers_publish(tidings_bus *bus, const char *type, const char *key,
                            uint64_t n);

struct slow {
    uint64_t slow; /* the event that waits */
    atomic_bool open;
    atomic_uint entered;
    atomic_uint calls;
};

/* A handler: arg is a struct slow. */
tidings_err workers_wait_if_slow(void *arg, const struct tidings_event *event);

#endif
