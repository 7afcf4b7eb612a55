/* Inside of the model: what its files share. */
#ifndef TD_STORE_MODEL_INSIDE_H
#define TD_STORE_MODEL_INSIDE_H

#include "broker/store/job.h"
#include "broker/store/model.h"
#include "broker/store/records.h"

/* A state of all records; never changed once it is committed. */
struct td_snapshot {
    uint32_t refs;
    struct td_records map;
};

/* A store that is open. */
struct td_opened {
    struct td_store store; /* first */
    struct td_model *model;
    struct td_store_jobs submitted;
    struct td_store_jobs asked;
    struct td_store_jobs answers;
    uint64_t submissions;
    struct td_store_episode episode;
    bool failed;
};

/* What the test has asked for. */
struct td_model_fault {
    uint32_t at; /* the next but so many, from 1 on; 0: none */
    tidings_err err;
    bool for_good; /* and all after it */
};

struct td_model {
    struct td_snapshot *synced;
    struct td_snapshot *current;
    struct td_txn *loose; /* committed since: from synced to current */
    uint32_t loose_len;
    uint32_t loose_cap;
    struct td_opened *open; /* NULL: it is not */
    struct td_store_info info;
    uint32_t auto_group;
    struct td_model_fault commits;
    struct td_model_fault reads;
    uint32_t failures; /* of either kind, so far */
    uint64_t limit;
    uint64_t reserve;
    bool was_open; /* and not closed */
};
/* model.c */
void td_snapshot_unref(struct td_snapshot *s);
struct td_snapshot *td_snapshot_ref(struct td_snapshot *s);
/* A state that goes on from another; NULL without memory. */
struct td_snapshot *td_snapshot_new(const struct td_snapshot *from);
/* The state is another from now on. */
void td_snapshot_become(struct td_snapshot **state, struct td_snapshot *next);
void td_model_loose_free(struct td_model *m);
/* The store is gone, its answers too. */
void td_model_gone(struct td_model *m);

/* model_face.c */
extern const struct td_store_face td_model_face;

#endif
