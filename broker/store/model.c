#include "broker/store/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "broker/store/model_inside.h"

/* ---- snapshots ---- */

void td_snapshot_unref(struct td_snapshot *s)
{
    if (!s || --s->refs > 0)
        return;
    td_records_fini(&s->map);
    free(s);
}

struct td_snapshot *td_snapshot_ref(struct td_snapshot *s)
{
    s->refs++;
    return s;
}

/* A state that goes on from another; NULL without memory. */
struct td_snapshot *td_snapshot_new(const struct td_snapshot *from)
{
    struct td_snapshot *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->refs = 1;
    if (from && !td_records_copy(&s->map, &from->map)) {
        free(s);
        return NULL;
    }
    return s;
}

void td_snapshot_become(struct td_snapshot **state, struct td_snapshot *next)
{
    td_snapshot_unref(*state);
    *state = next;
}
/* ---- what falls away ---- */

void td_model_loose_free(struct td_model *m)
{
    for (uint32_t i = 0; i < m->loose_len; i++)
        td_txn_fini(&m->loose[i]);
    m->loose_len = 0;
}

void td_model_gone(struct td_model *m)
{
    struct td_opened *o = m->open;

    if (!o)
        return;
    m->open = NULL;
    td_store_jobs_free(&o->submitted);
    td_store_jobs_free(&o->asked);
    td_store_jobs_free(&o->answers);
    free(o);
}

/* ---- the model ---- */

struct td_model *td_model_new(void)
{
    struct td_model *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->current = td_snapshot_new(NULL);
    if (!m->current) {
        free(m);
        return NULL;
    }
    m->synced = td_snapshot_ref(m->current);
    memcpy(m->info.id, "model of a store", sizeof(m->info.id));
    return m;
}

void td_model_free(struct td_model *m)
{
    if (!m)
        return;
    td_model_gone(m);
    td_model_loose_free(m);
    free(m->loose);
    td_snapshot_unref(m->synced);
    td_snapshot_unref(m->current);
    free(m);
}

struct td_store *td_model_open(struct td_model *m)
{
    struct td_opened *o = calloc(1, sizeof(*o));

    assert(!m->open);
    if (!o)
        return NULL;
    o->store.face = &td_model_face;
    o->model = m;
    m->open = o;
    m->info.unclean = m->was_open;
    m->was_open = true;
    return &o->store;
}

uint32_t td_model_writes(const struct td_model *m)
{
    return m->open ? td_store_jobs_length(&m->open->submitted) : 0;
}

uint32_t td_model_reads(const struct td_model *m)
{
    return m->open ? td_store_jobs_length(&m->open->asked) : 0;
}

void td_model_auto(struct td_model *m, uint32_t group)
{
    m->auto_group = group;
}

void td_model_fail(struct td_model *m, uint32_t n, tidings_err err)
{
    m->commits = (struct td_model_fault){n, err, false};
}

void td_model_fail_read(struct td_model *m, uint32_t n, tidings_err err)
{
    m->reads = (struct td_model_fault){n, err, false};
}

void td_model_fail_on(struct td_model *m)
{
    m->commits.for_good = m->reads.for_good = true;
}

uint32_t td_model_failures(const struct td_model *m)
{
    return m->failures;
}

void td_model_limit(struct td_model *m, uint64_t bytes, uint64_t reserve)
{
    m->limit = bytes;
    m->reserve = reserve;
}

bool td_model_damage(struct td_model *m, struct td_str key)
{
    struct td_kept_record *record = td_records_get(&m->current->map, key);

    if (record)
        record->damaged = true;
    return record != NULL;
}

uint32_t td_model_committed(const struct td_model *m)
{
    return m->loose_len;
}

uint32_t td_model_loose(const struct td_model *m)
{
    return m->loose_len + td_model_writes(m);
}

void td_model_crash(struct td_model *m, uint32_t keep)
{
    struct td_snapshot *state = td_snapshot_new(m->synced);
    bool kept = state != NULL;

    for (uint32_t i = 0; kept && i < m->loose_len && i < keep; i++)
        kept = td_records_apply(&state->map, &m->loose[i]);
    keep = keep > m->loose_len ? keep - m->loose_len : 0;
    /* after a failure nothing more was committed */
    if (m->open && !m->open->failed && !m->open->episode.err) {
        for (struct td_store_job *job = m->open->submitted.head;
             kept && job && keep > 0; job = job->next, keep--)
            kept = td_records_apply(&state->map, &job->txn);
    }
    assert(kept); /* a test does not crash it without memory */
    td_snapshot_become(&m->current, state);
    td_snapshot_become(&m->synced, td_snapshot_ref(state));
    td_model_loose_free(m);
    td_model_gone(m);
}

uint32_t td_model_records(const struct td_model *m)
{
    return m->current->map.len;
}

uint64_t td_model_hash(const struct td_model *m)
{
    XXH64_hash_t hash = 0;

    for (uint32_t i = 0; i < m->current->map.len; i++) {
        const struct td_kept_record *record = m->current->map.records[i];

        hash = XXH3_64bits_withSeed(record->key.data, record->key.len, hash);
        hash =
            XXH3_64bits_withSeed(record->value.data, record->value.len, hash);
    }
    return hash;
}
