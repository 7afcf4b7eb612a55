/* A sorted map of counted records, for the model: copying one costs a pointer
 * each. */
#ifndef TD_STORE_RECORDS_H
#define TD_STORE_RECORDS_H

#include "broker/store/store.h"

struct td_kept_record {
    uint32_t refs;
    bool damaged;
    struct td_str key;
    struct td_str value;
    char bytes[];
};

/* Zeroed is empty. */
struct td_records {
    struct td_kept_record **records; /* by key */
    uint32_t len;
    uint32_t cap;
    uint64_t bytes; /* keys and values together */
};

void td_records_fini(struct td_records *map);

/* to becomes what from is; false without memory, to is as it was. */
bool td_records_copy(struct td_records *to, const struct td_records *from);

/* The first record at or behind a key. */
uint32_t td_records_find(const struct td_records *map, struct td_str key);

/* The record with a key; NULL: none. */
struct td_kept_record *td_records_get(const struct td_records *map,
                                      struct td_str key);

/* Applies a transaction; false without memory: some of it may be missing. */
bool td_records_apply(struct td_records *map, const struct td_txn *txn);

#endif
