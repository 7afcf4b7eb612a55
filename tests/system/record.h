/* What a member of a group writes of each event: member.c. */
#ifndef TESTS_SYSTEM_RECORD_H
#define TESTS_SYSTEM_RECORD_H

#include <stdint.h>

struct member_record {
    uint64_t word[2]; /* the event's: its publisher's number, and its own */
    int64_t ms;       /* when, on the monotonic clock */
    uint64_t epoch;   /* of the broker that delivered it */
    uint32_t pid;
    uint32_t deliveries;
};

#endif
