/* A store in memory, for tests: the same face, without threads, clock or
 * chance. Nothing is answered until the test says so, and it can fail, fill up,
 * crash and be damaged on command.
 *
 *    struct td_model *m = td_model_new();
 *    struct td_store *store = td_model_open(m);
 *    ... the engine submits and reads ...
 *    td_model_commit(m, 1);          the next submission is committed
 *    td_model_serve(m, UINT32_MAX);  all reads are answered
 *    ... the engine takes answers ...
 *    td_model_crash(m, n);           the store is gone; the model stays
 *    store = td_model_open(m);       and is opened again
 *
 * Threads: one. */
#ifndef TD_STORE_MODEL_H
#define TD_STORE_MODEL_H

#include "broker/store/store.h"

struct td_model;

/* NULL without memory. */
struct td_model *td_model_new(void);
/* The model may be open; its store is gone then. NULL does nothing. */
void td_model_free(struct td_model *m);

/* One store at a time; NULL without memory. Its close() commits what was
 * submitted and syncs it. */
struct td_store *td_model_open(struct td_model *m);

/* ---- work ---- */

/* Submissions and reads that wait. */
uint32_t td_model_writes(const struct td_model *m);
uint32_t td_model_reads(const struct td_model *m);

/* Commits up to so many waiting submissions as one group, and answers them;
 * how many it was. */
uint32_t td_model_commit(struct td_model *m, uint32_t group);

/* Answers up to so many reads; how many it was. */
uint32_t td_model_serve(struct td_model *m, uint32_t reads);

/* From now on next() works off what waits by itself, in groups of so many; 0:
 * no more. */
void td_model_auto(struct td_model *m, uint32_t group);

/* ---- what goes wrong ---- */

/* The n-th commit from now on fails, the first being 1: with TIDINGS_EFULL,
 * TIDINGS_ENOMEM or TIDINGS_ELIMIT it alone; with TIDINGS_EIO the store is
 * failed from then on, until it is opened anew. 0: none does. */
void td_model_fail(struct td_model *m, uint32_t n, tidings_err err);

/* The n-th read from now on fails; 0: none does. */
void td_model_fail_read(struct td_model *m, uint32_t n, tidings_err err);

/* And so do all after those that were asked for last. */
void td_model_fail_on(struct td_model *m);
/* How many have failed so since the model was made. */
uint32_t td_model_failures(const struct td_model *m);

/* Keys and values together may be so many bytes; a commit that would end above
 * it fails with TIDINGS_EFULL. info().free_bytes is what is left but for the
 * reserve. 0: no limit. */
void td_model_limit(struct td_model *m, uint64_t bytes, uint64_t reserve);

/* The record is damaged until it is written anew; false: it is not there. */
bool td_model_damage(struct td_model *m, struct td_str key);

/* How many transactions, committed or only submitted, a crash may or may not
 * keep: those of the broker alone keep at least what was committed
 * (td_model_committed() of them), a power cut need not. */
uint32_t td_model_loose(const struct td_model *m);
uint32_t td_model_committed(const struct td_model *m);

/* The store is gone, without answers. The first keep of the loose transactions
 * are kept; above their number: all. */
void td_model_crash(struct td_model *m, uint32_t keep);

/* ---- looking ---- */

/* Records that are committed, and a hash over them in order: two models that
 * hold the same have the same. */
uint32_t td_model_records(const struct td_model *m);
uint64_t td_model_hash(const struct td_model *m);

#endif
