/* What is kept of a producer that has a name, beside what is stored of it: the
 * term of who holds the name, and hashes of its last events, by which an event
 * that comes again is told from another under the same sequence. Events whose
 * transaction fails leave again, and do not bring back those that they pushed
 * out: fewer are known then, and none wrongly. Pure. */
#ifndef TD_NAMING_H
#define TD_NAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/keyspace.h"
#include "proto/limits.h"

/* What was stored under a sequence. */
struct td_print {
    uint64_t sequence;
    uint64_t hash;
    uint64_t ticket; /* of the transaction that stores it; 0: it was read */
};

struct td_naming {
    char name[TD_PRODUCER_NAME_BYTES_MAX + 1];
    uint64_t
        term;     /* of who holds it: higher with each new holder, at least 1 */
    bool written; /* … and the store has it */
    uint64_t from; /* of all that is stored from here on there is a print */
    uint32_t len;
    struct td_print prints[TD_NAMED_HASHES]; /* rising */
};

/* How an event that comes again is to what was stored under its sequence. */
enum td_likeness {
    TD_ALIKE,
    TD_UNLIKE,
    TD_ABSENT,   /* nothing was */
    TD_FORGOTTEN /* perhaps something was, and nobody knows what */
};

/* Of an event as it lies in a body, prefix included: type, data and attributes,
 * not its time, which is another when a program publishes it anew. */
uint64_t td_print_hash(struct td_str type, const uint8_t *event, size_t len);

void td_naming_init(struct td_naming *n, struct td_str name);

/* An event is stored, with that transaction. */
void td_naming_add(struct td_naming *n, uint64_t sequence, uint64_t hash,
                   uint64_t ticket);
/* Up to here it is not to be known. */
void td_naming_pass(struct td_naming *n, uint64_t sequence);
/* What transactions behind that one were to store is not stored after all:
 * those prints go. */
void td_naming_trim(struct td_naming *n, uint64_t written);

enum td_likeness td_naming_compare(const struct td_naming *n, uint64_t sequence,
                                   uint64_t hash);

/* The last sequence that is stored; 0: none is. */
uint64_t td_naming_last(const struct td_naming *n,
                        const struct td_stored *stored);

/* A row of PRODUCER with a name; false: it is none, or nonsense. */
void td_naming_pack(struct td_buf *out, const struct td_naming *n,
                    const struct td_stored *stored);
bool td_naming_read(struct td_str value, struct td_naming *n,
                    struct td_stored *stored);

#endif
