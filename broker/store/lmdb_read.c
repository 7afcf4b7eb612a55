/* The reader: records copied out of short read transactions, checked in their
 * copy, so that what is handed out is what was checked. In between, and only
 * then, it goes on with the check that an unclean stop has left to it. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broker/store/record.h"
#include "broker/store/trap.h"

#define READER_NICE 10
#define SLICE_BYTES (256u << 10) /* checked at once … */
#define SLICE_NS    2000000      /* … and then so long nothing: 128 MB/s */

static struct td_str str_of(MDB_val val)
{
    return (struct td_str){val.mv_data, val.mv_size};
}

/* ---- one read ---- */

/* What a read has open, out of reach of a jump. */
struct reading {
    struct td_lmdb *s;
    struct td_store_job *job;
    MDB_cursor *cursor;
    size_t bytes; /* of keys and values, as who asked counts them */
    size_t copy_bytes;
    char behind[TD_STORE_KEY_BYTES_MAX]; /* the first key that was left out … */
    size_t behind_len;                   /* … for want of room */
};

/* The first record of a range. */
static int seek(MDB_cursor *cursor, const struct td_store_job *job, MDB_val *k,
                MDB_val *v)
{
    struct td_str at = job->backwards ? job->to : job->from;
    int rc;

    *k = (MDB_val){.mv_size = at.len, .mv_data = (void *)at.data};
    if (!job->backwards)
        return mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (at.len == 0)
        return mdb_cursor_get(cursor, k, v, MDB_LAST);
    rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, k, v, MDB_LAST);
    return rc ? rc : mdb_cursor_get(cursor, k, v, MDB_PREV);
}

static bool within(const struct td_store_job *job, struct td_str key)
{
    if (job->backwards)
        return td_store_compare(key, job->from) >= 0;
    return job->to.len == 0 || td_store_compare(key, job->to) < 0;
}

/* Keys of a sound tree come in order. */
static bool follows(const struct td_store_job *job, struct td_str key)
{
    const struct td_store_answer *answer = &job->answer;
    int order;

    if (key.len == 0 || key.len > TD_STORE_KEY_BYTES_MAX)
        return false;
    if (answer->records_len == 0)
        return job->backwards
                   ? job->to.len == 0 || td_store_compare(key, job->to) < 0
                   : td_store_compare(key, job->from) >= 0;
    order = td_store_compare(key, answer->records[answer->records_len - 1].key);
    return job->backwards ? order < 0 : order > 0;
}

/* Records of the range, still in LMDB's map. A key that was damaged does not say
 * where the range ends: it is passed over, and since the search may have ended
 * at it too early, so is what lies before the range. */
static tidings_err gather(struct reading *r)
{
    struct td_store_job *job = r->job;
    MDB_cursor_op step = job->backwards ? MDB_PREV : MDB_NEXT;
    bool astray = false;
    MDB_val k;
    MDB_val v;
    int rc = seek(r->cursor, job, &k, &v);

    for (; !rc; rc = mdb_cursor_get(r->cursor, &k, &v, step)) {
        struct td_str key = str_of(k);
        size_t size = k.mv_size + v.mv_size;
        size_t copy_bytes = size;
        struct td_record *record;

        if (v.mv_size >= TD_RECORD_HEAD_BYTES)
            size -= TD_RECORD_HEAD_BYTES;
        if (!follows(job, key)) {
            if (astray && job->answer.records_len == 0)
                continue;
            return TIDINGS_EIO;
        }
        if (!within(job, key)) {
            if (td_record_check(key, str_of(v)))
                return TIDINGS_OK;
            astray = true;
            continue;
        }
        if (job->answer.records_len &&
            (job->answer.records_len >= job->records_max ||
             size > job->bytes_max || r->bytes > job->bytes_max - size)) {
            job->answer.more = true;
            memcpy(r->behind, key.data, key.len);
            r->behind_len = key.len;
            return TIDINGS_OK;
        }
        record = td_store_job_record(job);
        if (!record)
            return TIDINGS_ENOMEM;
        record->key = key;
        record->value = str_of(v);
        r->bytes += size;
        r->copy_bytes += copy_bytes;
    }
    return rc == MDB_NOTFOUND ? TIDINGS_OK : td_lmdb_error(rc);
}

/* Copies a record, and moves *at behind the copy. */
static void copy(struct td_record *record, uint8_t **at)
{
    struct td_str stored = {NULL, record->value.len};

    memcpy(*at, record->key.data, record->key.len);
    record->key.data = (const char *)*at;
    *at += record->key.len;
    memcpy(*at, record->value.data, stored.len);
    stored.data = (const char *)*at;
    *at += stored.len;
    record->damaged = !td_record_check(record->key, stored);
    record->value = (struct td_str){stored.data, 0};
    if (!record->damaged) {
        record->value.data += TD_RECORD_HEAD_BYTES;
        record->value.len = stored.len - TD_RECORD_HEAD_BYTES;
    }
}

static tidings_err copy_all(struct reading *r)
{
    struct td_store_answer *answer = &r->job->answer;
    uint8_t *at;

    answer->bytes = td_body_new(r->copy_bytes, &at);
    if (!answer->bytes)
        return TIDINGS_ENOMEM;
    for (uint32_t i = 0; i < answer->records_len; i++)
        copy(&answer->records[i], &at);
    return TIDINGS_OK;
}

static bool has_failed(struct td_lmdb *s)
{
    bool failed;

    pthread_mutex_lock(&s->lock);
    failed = s->info.failed && !s->abandoned;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

static tidings_err read_all(struct reading *r)
{
    struct td_lmdb *s = r->s;
    tidings_err err;
    int rc = s->snapshot ? mdb_txn_renew(s->snapshot) : MDB_PANIC;

    if (rc == MDB_PANIC && has_failed(s)) { /* the writer is done with it */
        rc = td_lmdb_reopen(s);
        if (!rc)
            rc = mdb_txn_renew(s->snapshot);
    }
    if (rc)
        return td_lmdb_error(rc);
    rc = mdb_cursor_open(s->snapshot, s->dbi, &r->cursor);
    err = rc ? td_lmdb_error(rc) : gather(r);
    if (!err && r->job->answer.records_len)
        err = copy_all(r);
    return err;
}

/* The file was cut short, or its tree is damaged: what is written would be lost,
 * or do more damage. */
static void tear(struct td_lmdb *s)
{
    pthread_mutex_lock(&s->lock);
    s->torn = true;
    pthread_mutex_unlock(&s->lock);
}

/* A read, whatever it meets; and its transaction is over. */
static tidings_err read_guarded(struct reading *r)
{
    tidings_err err;

    if (sigsetjmp(*td_trap_set(), 0)) {
        err = TIDINGS_EIO;
    } else {
        err = read_all(r);
        td_trap_clear();
    }
    if (err == TIDINGS_EIO)
        tear(r->s);
    if (r->cursor)
        mdb_cursor_close(r->cursor);
    if (r->s->snapshot)
        mdb_txn_reset(r->s->snapshot);
    return err;
}

static uint64_t count_damaged(const struct td_store_answer *answer)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < answer->records_len; i++)
        count += answer->records[i].damaged;
    return count;
}

/* Whether the log alone had some of what was read, and of that which follows
 * it. */
static bool is_stale(const struct reading *r, const struct td_lmdb_look *look)
{
    const struct td_store_job *job = r->job;
    struct td_str behind = {r->behind, r->behind_len};

    if (!job->answer.more)
        return td_lmdb_is_stale(r->s, look, job->from, job->to, false);
    if (job->backwards)
        return td_lmdb_is_stale(r->s, look, behind, job->to, false);
    return td_lmdb_is_stale(r->s, look, job->from, behind, true);
}

/* All that was committed before. */
static tidings_err read_fresh(struct td_lmdb *s, struct td_store_job *job)
{
    struct td_lmdb_look look = td_lmdb_look(s);
    struct td_store_answer *answer = &job->answer;
    struct reading r = {.s = s, .job = job};
    tidings_err err = read_guarded(&r);

    if (err || !is_stale(&r, &look))
        return err;
    td_body_unref(answer->bytes);
    answer->bytes = NULL;
    answer->records_len = 0;
    answer->more = false;
    err = td_lmdb_wait_applied(s, &look);
    if (err)
        return err;
    r = (struct reading){.s = s, .job = job};
    return read_guarded(&r);
}

static void serve(struct td_lmdb *s, struct td_store_job *job)
{
    struct td_store_jobs one = {NULL, NULL};
    struct td_store_answer *answer = &job->answer;

    answer->err = read_fresh(s, job);
    if (answer->err) { /* records may point into the map */
        answer->records_len = 0;
        answer->more = false;
    }
    pthread_mutex_lock(&s->lock);
    s->info.damaged += count_damaged(answer);
    pthread_mutex_unlock(&s->lock);
    td_store_jobs_push(&one, job);
    td_lmdb_answer(s, &one);
}

/* ---- the check ---- */

/* Checks the next values. A value that cannot be read at all counts too, and
 * ends the check: who reads there is told. */
static void check_slice(struct td_lmdb *s)
{
    struct td_store_job *job =
        td_store_job_read(s->checked, (struct td_str){NULL, 0}, false,
                          UINT32_MAX, SLICE_BYTES, 0);
    struct reading r = {.s = s, .job = job};
    struct td_store_answer *answer;
    tidings_err err = TIDINGS_ENOMEM;
    bool done = true;

    if (!job)
        return; /* later */
    answer = &job->answer;
    err = read_guarded(&r);
    if (!err && answer->more) { /* on behind the last one */
        struct td_str last = answer->records[answer->records_len - 1].key;

        memcpy(s->checked_key, last.data, last.len);
        s->checked_key[last.len] = '\0';
        s->checked = (struct td_str){s->checked_key, last.len + 1};
        done = false;
    }
    pthread_mutex_lock(&s->lock);
    if (err == TIDINGS_EIO)
        s->info.damaged++;
    else if (!err)
        s->info.damaged += count_damaged(answer);
    s->info.checking = !done || err == TIDINGS_ENOMEM;
    pthread_mutex_unlock(&s->lock);
    td_store_answer_free(answer);
}

/* ---- the thread ---- */

static void pause_check(struct td_lmdb *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&s->asked_cond, &s->lock, &until);
}

/* Where cores are short, what is live goes before what was kept: Linux has a
 * priority for each thread. Without it the reader is only less polite. */
static void yield_to_live(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), READER_NICE);
}

void *td_lmdb_read_loop(void *arg)
{
    struct td_lmdb *s = arg;

    prctl(PR_SET_NAME, "tidings-reader");
    yield_to_live();
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct td_store_job *job = td_store_jobs_pop(&s->asked);

        if (!job && !s->info.checking) {
            pthread_cond_wait(&s->asked_cond, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        if (job)
            serve(s, job);
        else
            check_slice(s);
        pthread_mutex_lock(&s->lock);
        if (!job && !s->asked.head && !s->stop)
            pause_check(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
