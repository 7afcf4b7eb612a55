/* A store under test: the one in a folder or the model, by the same calls.
 * On the test's own thread: what should not be fails the test. */
#ifndef TESTS_SUPPORT_STORE_RIG_H
#define TESTS_SUPPORT_STORE_RIG_H

#include "broker/store/lmdb.h"
#include "broker/store/model.h"
#include "broker/store/store.h"

#define RIG_DEADLINE_MS 30000 /* of an answer, on a slow machine */

struct td_rig {
    bool is_model;
    struct td_model *model;
    char dir[128]; /* of the other one, below a folder of the test's own */
    struct td_lmdb_options options;
    struct td_store *store; /* NULL: closed */
    uint64_t ticket;        /* the last one */
};

/* A folder of the test's own, below TMPDIR, in memory if it is not set; path
 * has 100 bytes. */
void td_rig_folder(char *path);
void td_rig_remove(const char *path); /* with all in it */

void td_rig_init(struct td_rig *rig, bool is_model);
void td_rig_fini(struct td_rig *rig);
void td_rig_open(struct td_rig *rig);
void td_rig_close(struct td_rig *rig);

struct td_str td_rig_str(const char *text);
void td_rig_put(struct td_txn *txn, const char *key, const char *value);

/* Submits and goes on; the ticket. */
uint64_t td_rig_submit(struct td_rig *rig, struct td_txn *txn,
                       enum td_level level);
/* The next answer, which must come. */
struct td_store_answer *td_rig_answer(struct td_rig *rig);
/* Submits, and waits for its answer. */
tidings_err td_rig_commit(struct td_rig *rig, struct td_txn *txn,
                          enum td_level level);
/* Reads, and waits; the caller frees it. */
struct td_store_answer *td_rig_read(struct td_rig *rig, struct td_str from,
                                    struct td_str to, bool backwards,
                                    uint32_t records, size_t bytes);
/* All keys and values as "key=value key=value"; "!" after a key: damaged. The
 * error's name if there is one. */
const char *td_rig_text(struct td_rig *rig, const char *from, const char *to,
                        bool backwards, uint32_t records, size_t bytes);
/* The value of a key, as text; "-": none, "!": damaged. */
const char *td_rig_get(struct td_rig *rig, const char *key);

#endif
