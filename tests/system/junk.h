/* Peers that send anything but what they should: bytes by chance, other
 * protocols, older greetings, and frames that are half right (FAULTS W01, W04,
 * W05, W08). The same seed gives the same peers. */
#ifndef TESTS_SYSTEM_JUNK_H
#define TESTS_SYSTEM_JUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/rawzmtp.h"

struct junk {
    uint64_t seed;
};

/** 0 .. sides - 1. */
unsigned junk_roll(struct junk *junk, unsigned sides);

/** Connect to url and say something bad; false: no connection. */
bool junk_peer(struct junk *junk, struct td_raw *raw, const char *url);

#endif
