/* What the tests of pieces and of queues are made of: items with numbered
 * events, and checks that a piece or a queue holds just those. */
#ifndef TESTS_UNIT_QUEUE_ITEMS_H
#define TESTS_UNIT_QUEUE_ITEMS_H

#include "tests/support/td_test.h"

#include "broker/engine/queue.h"

#define EVENT_BYTES 10u /* bin, array, dt, bin, four bytes of data */
#define ANY         UINT64_MAX
#define RUNS_ANY    UINT32_MAX

/** An item of runs with these counts; sequences begin at first, and the event
 *  numbered n holds n. NULL: there is no memory. */
struct td_item *item_of(size_t *held, uint32_t first, const uint32_t *counts,
                        uint32_t runs_len);

/** An item whose table says 3 events of 30 bytes, over these bytes. */
struct td_item *item_that_lies(size_t *held, const uint8_t *bytes);

/** The piece holds the events from first on, bytes and table alike. */
void check_piece(const struct td_piece *piece, uint32_t first);

/** The queue holds count events from first on, in order, and counts them. */
void check_queue(const struct td_queue *q, uint32_t first, uint32_t count);

#endif
