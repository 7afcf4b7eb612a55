#include "client/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making one ---- */

static bool is_keyed(const struct td_run *run)
{
    return (run->flags & TD_RUN_KEY) != 0;
}

static uint32_t count_keyed(const struct td_batches *tables)
{
    uint32_t events = 0;

    for (uint32_t i = 0; i < tables->runs_len; i++)
        events += is_keyed(&tables->runs[i]) ? tables->runs[i].count : 0;
    return events;
}

/* One block: the job, its slips, its runs. */
static struct td_job *job_alloc(uint32_t runs, uint32_t slips)
{
    struct td_job *job;
    struct td_slip *s;

    job = malloc(sizeof(*job) + slips * sizeof(*s) +
                 runs * sizeof(struct td_job_run));
    if (!job)
        return NULL;
    memset(job, 0, sizeof(*job));
    s = (struct td_slip *)(job + 1);
    job->slips = s;
    job->runs = (struct td_job_run *)(s + slips);
    return job;
}

/* Leaves out what was given before. */
static void leave_out(struct td_job *job, struct td_job_run *to,
                      uint32_t duplicates)
{
    const uint8_t *p;

    if (duplicates == 0)
        return;
    p = td_events_skip(to->p, to->end, duplicates);
    if (!p || duplicates == to->count)
        p = to->end; /* of those that are not whole none can be read */
    job->duplicates += duplicates;
    job->duplicate_bytes += (uint64_t)(p - to->p);
    to->p = p;
    to->first += duplicates;
    to->tag += duplicates;
    to->count -= duplicates;
}

static void add_runs(struct td_job *job, struct td_bus_sub *sub,
                     const struct td_batches *tables, const uint8_t *p,
                     bool keyed)
{
    uint64_t tag = job->tag;

    for (uint32_t b = 0; b < tables->len; b++) {
        const struct td_batch *batch = &tables->batch[b];

        for (uint32_t r = 0; r < batch->runs_len; r++) {
            const struct td_run *run = &batch->runs[r];
            struct td_job_run *to = &job->runs[job->runs_len];

            *to = (struct td_job_run){.type = run->type,
                                      .flags = run->flags,
                                      .source = batch->source,
                                      .producer = batch->producer.data,
                                      .base_us = batch->base_us,
                                      .first = run->first,
                                      .tag = tag,
                                      .count = run->count,
                                      .keyed = keyed && is_keyed(run),
                                      .p = p,
                                      .end = p + run->bytes};
            p = to->end;
            tag += run->count;
            leave_out(job, to,
                      (uint32_t)td_bus_sub_seen(sub, batch->producer, run));
            job->left += to->count;
            job->runs_len += to->count > 0;
        }
    }
}

tidings_err td_job_new(struct td_job **out, struct td_bus_sub *sub,
                       struct td_message *message, const struct td_delivery *d,
                       bool keyed, struct td_batches *tables)
{
    struct td_job *job;
    const char *why;
    tidings_err err = td_batches_read(tables, d->batches, d->body.len, &why);

    if (err)
        return err;
    job = job_alloc(tables->runs_len, keyed ? count_keyed(tables) : 0);
    if (!job)
        return TIDINGS_ENOMEM;
    job->message = td_message_ref(message);
    job->tag = d->tag;
    job->spans = d->spans;
    add_runs(job, sub, tables, (const uint8_t *)d->body.data, keyed);
    *out = job;
    return TIDINGS_OK;
}

struct td_job *td_job_gap(const struct td_gap *gap)
{
    struct td_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->missed = gap->events;
    job->first = gap->first;
    job->last = gap->last;
    snprintf(job->reason, sizeof(job->reason), "%.*s", (int)gap->reason.len,
             gap->reason.data);
    return job;
}

void td_job_free(struct td_job *job)
{
    if (job && job->message)
        td_message_unref(job->message);
    free(job);
}

/* ---- taking it apart ---- */

/* The first events of a run. Those that are not whole stay with the one
 * before them: none of them can be read. */
static struct td_piece cut(struct td_job *job, struct td_job_run *run,
                           uint32_t max)
{
    struct td_piece piece = {job,        run,    run->first, run->tag,
                             run->count, run->p, run->end};
    const uint8_t *p =
        max < run->count ? td_events_skip(run->p, run->end, max) : NULL;

    if (p) {
        piece.count = max;
        piece.end = p;
    }
    run->p = piece.end;
    run->first += piece.count;
    run->tag += piece.count;
    run->count -= piece.count;
    return piece;
}

bool td_job_cut(struct td_job *job, uint32_t max, struct td_piece *out)
{
    while (job->run < job->runs_len &&
           (job->runs[job->run].keyed || job->runs[job->run].count == 0))
        job->run++;
    if (job->run == job->runs_len)
        return false;
    *out = cut(job, &job->runs[job->run], max);
    return true;
}

struct td_piece td_piece_split(struct td_piece *piece, uint32_t take)
{
    struct td_piece half = *piece;

    piece->count -= take;
    half.first += piece->count;
    half.tag += piece->count;
    half.count = take;
    half.p = td_events_skip(piece->p, piece->end, piece->count);
    if (!half.p)
        half.p = half.end; /* not whole, as in cut() */
    piece->end = half.p;
    return half;
}

/* ---- keys ---- */

/* FNV-1a; what has no key after all goes by its number. */
static uint64_t hash_of(const struct td_job_run *run)
{
    struct td_str key = {NULL, 0};
    uint64_t hash = 0xcbf29ce484222325u;
    const uint8_t *p = run->p;
    struct td_event event;

    if (!td_event_open(&event, &p, run->end) || event.attrs.len == 0 ||
        !td_map_str(event.attrs, "partitionkey", &key) || !key.data)
        return run->first;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (uint8_t)key.data[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static void deal_run(struct td_job *job, struct td_job_run *run,
                     struct td_slips *queues, uint32_t workers)
{
    while (run->count > 0) {
        struct td_slip *slip = &job->slips[job->slips_len++];
        struct td_slips *to = &queues[hash_of(run) % workers];

        slip->piece = cut(job, run, 1);
        slip->next = NULL;
        *to->tail = slip;
        to->tail = &slip->next;
    }
}

uint64_t td_job_deal(struct td_job *job, struct td_slips *queues,
                     uint32_t workers)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < job->runs_len; i++) {
        if (!job->runs[i].keyed)
            continue;
        events += job->runs[i].count;
        deal_run(job, &job->runs[i], queues, workers);
    }
    return events;
}
