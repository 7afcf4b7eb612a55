/* A packer, and what it packs, decoded as the broker will. */
#ifndef TESTS_UNIT_PACKER_FIXTURE_H
#define TESTS_UNIT_PACKER_FIXTURE_H

#include "tests/support/td_test.h"

#include "client/packer.h"
#include "proto/frame.h"

extern const uint8_t producer[TD_PRODUCER_BYTES];
extern const uint8_t zeros[TD_DATA_BYTES_MAX];

struct fixture {
    struct td_packer packer;
    struct td_batches batches;
};

int setup(void **state);
int teardown(void **state);

/* An event of so many zeros. */
tidings_err pack(struct fixture *f, const char *type, uint32_t flags,
                 int64_t time_us, size_t len);
const struct td_batch *decode(struct fixture *f, const struct td_outgoing *out);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
