/* The model's commits and reads, when they are told to happen. */
#include "broker/store/model_inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- commits ---- */

static bool loose_room(struct td_model *m, uint32_t more)
{
    uint32_t cap = m->loose_cap ? m->loose_cap : 16;
    struct td_txn *loose;

    while (cap < m->loose_len + more)
        cap *= 2;
    if (cap == m->loose_cap)
        return true;
    loose = realloc(m->loose, cap * sizeof(*loose));
    if (!loose)
        return false;
    m->loose = loose;
    m->loose_cap = cap;
    return true;
}

/* The failure that the test has asked for, if its turn has come. */
static tidings_err due(struct td_model *m, struct td_model_fault *fault)
{
    if (fault->at == 0)
        return TIDINGS_OK;
    if (fault->at > 1) {
        fault->at--;
        return TIDINGS_OK;
    }
    if (!fault->for_good)
        fault->at = 0;
    m->failures++;
    return fault->err;
}

/* The state after a group; NULL without memory. */
static struct td_snapshot *after(const struct td_model *m,
                                 const struct td_store_jobs *group)
{
    struct td_snapshot *next = td_snapshot_new(m->current);

    for (struct td_store_job *job = group->head; job && next; job = job->next) {
        if (!td_records_apply(&next->map, &job->txn))
            td_snapshot_become(&next, NULL);
    }
    return next;
}

static tidings_err write_group(struct td_model *m, struct td_store_jobs *group,
                               enum td_level level)
{
    struct td_snapshot *next;
    tidings_err err = due(m, &m->commits);

    if (m->open->failed || err)
        return err ? err : TIDINGS_EIO;
    next = after(m, group);
    if (!next || !loose_room(m, td_store_jobs_length(group))) {
        td_snapshot_unref(next);
        return TIDINGS_ENOMEM;
    }
    if (m->limit && next->map.bytes > m->limit &&
        next->map.bytes > m->current->map.bytes) {
        td_snapshot_unref(next);
        return TIDINGS_EFULL;
    }
    td_snapshot_become(&m->current, next);
    if (level == TD_LEVEL_DISK) {
        td_snapshot_become(&m->synced, td_snapshot_ref(next));
        td_model_loose_free(m);
        return TIDINGS_OK;
    }
    for (struct td_store_job *job = group->head; job; job = job->next) {
        m->loose[m->loose_len++] = job->txn;
        memset(&job->txn, 0, sizeof(job->txn));
    }
    return TIDINGS_OK;
}

static void commit(struct td_model *m, struct td_store_jobs *group)
{
    struct td_opened *o = m->open;
    enum td_level level = td_store_jobs_level(group);
    tidings_err err = write_group(m, group, level);
    uint64_t count = td_store_jobs_settle(group, err, level);

    if (err) {
        td_store_episode_begin(&o->episode, group, err);
        o->failed = o->failed || err == TIDINGS_EIO;
    } else {
        m->info.commits++;
        m->info.transactions += count;
    }
    td_store_jobs_join(&o->answers, group);
}

uint32_t td_model_commit(struct td_model *m, uint32_t group)
{
    struct td_opened *o = m->open;
    struct td_store_jobs failed = {NULL, NULL};
    struct td_store_jobs jobs = {NULL, NULL};
    tidings_err err = o->episode.err;
    uint32_t count;

    td_store_episode_drain(&o->episode, &o->submitted, &failed);
    count = (uint32_t)td_store_jobs_settle(&failed, err, 0);
    td_store_jobs_join(&o->answers, &failed);
    while (o->submitted.head && td_store_jobs_length(&jobs) < group)
        td_store_jobs_push(&jobs, td_store_jobs_pop(&o->submitted));
    count += td_store_jobs_length(&jobs);
    if (jobs.head)
        commit(m, &jobs);
    return count;
}

/* ---- reads ---- */

static size_t size_of(const struct td_kept_record *record)
{
    return record->key.len + record->value.len;
}

/* Borrowed from the map, which may change: copied once all are there. */
static tidings_err gather(struct td_store_job *job,
                          const struct td_records *map, size_t *bytes)
{
    uint32_t begin = td_records_find(map, job->from);
    uint32_t end = job->to.len ? td_records_find(map, job->to) : map->len;

    while (begin < end) {
        const struct td_kept_record *from =
            map->records[job->backwards ? --end : begin++];
        size_t size = size_of(from);
        struct td_record *record;

        if (job->answer.records_len &&
            (job->answer.records_len >= job->records_max ||
             size > job->bytes_max || *bytes > job->bytes_max - size)) {
            job->answer.more = true;
            return TIDINGS_OK;
        }
        record = td_store_job_record(job);
        if (!record)
            return TIDINGS_ENOMEM;
        record->key = from->key;
        record->value = from->value;
        record->damaged = from->damaged;
        *bytes += size;
    }
    return TIDINGS_OK;
}

static tidings_err copy_all(struct td_model *m, struct td_store_answer *answer,
                            size_t bytes)
{
    uint8_t *at;

    answer->bytes = td_body_new(bytes, &at);
    if (!answer->bytes)
        return TIDINGS_ENOMEM;
    for (uint32_t i = 0; i < answer->records_len; i++) {
        struct td_record *record = &answer->records[i];

        memcpy(at, record->key.data, record->key.len);
        record->key.data = (const char *)at;
        at += record->key.len;
        memcpy(at, record->value.data, record->value.len);
        record->value.data = (const char *)at;
        at += record->value.len;
        if (record->damaged) {
            record->value.len = 0;
            m->info.damaged++;
        }
    }
    return TIDINGS_OK;
}

static void serve(struct td_model *m, struct td_store_job *job)
{
    struct td_store_answer *answer = &job->answer;
    size_t bytes = 0;

    answer->err = due(m, &m->reads);
    if (!answer->err)
        answer->err = gather(job, &m->current->map, &bytes);
    if (!answer->err && answer->records_len)
        answer->err = copy_all(m, answer, bytes);
    if (answer->err) {
        answer->records_len = 0;
        answer->more = false;
    }
    td_store_jobs_push(&m->open->answers, job);
}

uint32_t td_model_serve(struct td_model *m, uint32_t reads)
{
    struct td_store_job *job;
    uint32_t count = 0;

    while (count < reads && (job = td_store_jobs_pop(&m->open->asked))) {
        serve(m, job);
        count++;
    }
    return count;
}
