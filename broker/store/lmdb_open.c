/* Opening a folder: the lock, the file as it was left, its format, the
 * threads. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/store/trap.h"

#define MAX_BYTES       (64ull << 30) /* of the map, if nobody says */
#define MAX_BYTES_LEAST (1u << 20)
#define MAX_BYTES_STEP  (64u << 10) /* pages of any system */

/* ---- how it was left ---- */

/* The file holds all pages that its trees may point at. */
static tidings_err check_length(struct td_lmdb *s, char *why)
{
    MDB_envinfo info;
    MDB_stat tree;
    struct stat st;
    uint64_t need;
    int fd = -1;

    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &tree);
    mdb_env_get_fd(s->env, &fd);
    if (fstat(fd, &st) != 0)
        return td_lmdb_say(s, errno, why);
    need = (uint64_t)info.me_last_pgno + 1;
    if (need <= (uint64_t)st.st_size / tree.ms_psize)
        return TIDINGS_OK;
    snprintf(why, TD_STORE_WHY_BYTES,
             "%.100s/data.mdb is cut short: %" PRIu64 " bytes of %" PRIu64
             " are there; restore it from a copy",
             s->dir, (uint64_t)st.st_size, need * tree.ms_psize);
    return TIDINGS_EIO;
}

/* Whether it was closed by who had it last; then it is as it was left. A flip
 * in LMDB's meta pages can bring an older state back, whole in itself. */
static tidings_err check_mark(struct td_lmdb *s, bool *clean, char *why)
{
    uint64_t marked;
    uint64_t hash;
    MDB_envinfo info;
    enum td_lock_mark mark = td_lock_found(s->dir_lock, &marked, &hash);

    mdb_env_info(s->env, &info);
    *clean = mark == TD_LOCK_CLEAN ||
             (mark == TD_LOCK_NEW && info.me_last_txnid == 0);
    if (mark != TD_LOCK_CLEAN ||
        (info.me_last_txnid == marked && td_lmdb_meta_hash(s) == hash))
        return TIDINGS_OK;
    snprintf(why, TD_STORE_WHY_BYTES,
             "%.80s/data.mdb is not as it was closed (transaction %" PRIu64
             " of %" PRIu64 "): damaged, or another copy; to take it as it is, "
             "remove the files lock and log beside it",
             s->dir, (uint64_t)info.me_last_txnid, marked);
    return TIDINGS_EIO;
}

/* What an unclean stop left. What there was no time for is left to the
 * reader. */
static tidings_err check_unclean(struct td_lmdb *s, char *why)
{
    struct td_lmdb_walk walk;

    s->info.unclean = true;
    if (!td_lmdb_walk_apart(&walk, s->dir, NULL, TD_STORE_CHECK_MS)) {
        snprintf(why, TD_STORE_WHY_BYTES, "cannot check %.150s: %s", s->dir,
                 strerror(errno));
        return TIDINGS_EIO;
    }
    if (walk.damage.tree) {
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%.80s is damaged: %.100s; `tidings store verify` says more",
                 s->dir, walk.damage.first);
        return TIDINGS_EIO;
    }
    s->info.damaged = walk.damage.damaged;
    s->info.checking = !walk.done;
    memcpy(s->checked_key, walk.at[walk.now].key, walk.at[walk.now].len);
    s->checked_key[walk.at[walk.now].len] = '\0';
    s->checked = (struct td_str){s->checked_key, walk.at[walk.now].len + 1};
    return TIDINGS_OK;
}

bool td_lmdb_is_left(const char *dir, const struct td_lock *lock, char *why)
{
    uint64_t transaction;
    uint64_t hash;
    char path[PATH_MAX];
    struct stat st = {0};
    bool missing;

    if (td_lock_found(lock, &transaction, &hash) != TD_LOCK_CLEAN &&
        !td_lock_found_log(lock))
        return true;
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    missing = stat(path, &st) != 0;
    if (missing ? errno != ENOENT : st.st_size > 0)
        return true;
    snprintf(why, TD_STORE_WHY_BYTES,
             "%.80s/data.mdb is %s, and held what was kept: restore it from a "
             "copy, or, to begin anew, empty the folder",
             dir, missing ? "missing" : "empty");
    return false;
}

/* Opens LMDB; twice if what it finds has to be checked first. */
static tidings_err open_checked(struct td_lmdb *s, char *why)
{
    bool clean = false;
    tidings_err err;
    int rc;

    if (!td_lmdb_is_left(s->dir, s->dir_lock, why))
        return TIDINGS_EIO;
    rc = td_lmdb_env_open(s, 0);
    if (rc == MDB_INVALID)
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%.150s/data.mdb is damaged at its head, or no store", s->dir);
    if (rc)
        return rc == MDB_INVALID ? TIDINGS_EIO : td_lmdb_say(s, rc, why);
    err = check_length(s, why);
    if (!err)
        err = check_mark(s, &clean, why);
    if (err || clean)
        return err;
    td_lmdb_env_close(s);
    err = check_unclean(s, why);
    if (err)
        return err;
    rc = td_lmdb_env_open(s, 0);
    return rc ? td_lmdb_say(s, rc, why) : TIDINGS_OK;
}

/* ---- threads ---- */

/* Both, with no signals but those of a fault. */
static bool threads_start(struct td_lmdb *s)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE};
    sigset_t every;
    sigset_t before;
    bool started;

    sigfillset(&every);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&every, faults[i]);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    started = pthread_create(&s->writer, NULL, td_lmdb_write_loop, s) == 0;
    if (started &&
        pthread_create(&s->reader, NULL, td_lmdb_read_loop, s) != 0) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->submitted_cond);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->writer, NULL);
        started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* ---- open ---- */

static struct td_lmdb *store_new(const char *dir,
                                 const struct td_lmdb_options *options)
{
    struct td_lmdb *s = calloc(1, sizeof(*s));
    pthread_condattr_t steady;

    if (!s)
        return NULL;
    s->store.face = &td_lmdb_face;
    if (options)
        s->options = *options;
    s->options.max_bytes -= s->options.max_bytes % MAX_BYTES_STEP;
    if (!s->options.max_bytes)
        s->options.max_bytes = MAX_BYTES;
    if (s->options.max_bytes < MAX_BYTES_LEAST)
        s->options.max_bytes = MAX_BYTES_LEAST;
    s->log = (struct td_store_log){.fd = -1, .direct = -1, .broken = true};
    s->dir = strdup(dir);
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!s->dir || s->event_fd < 0) {
        if (s->event_fd >= 0)
            close(s->event_fd);
        free(s->dir);
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->applied_cond, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&s->submitted_cond, &steady);
    pthread_cond_init(&s->asked_cond, &steady);
    pthread_condattr_destroy(&steady);
    return s;
}

static int snapshot_new(MDB_env *env, MDB_txn **out)
{
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, out);

    if (!rc)
        mdb_txn_reset(*out);
    return rc;
}

/* What all that is open or half open has. */
void td_lmdb_free(struct td_lmdb *s)
{
    td_lock_release(s->dir_lock);
    s->dir_lock = NULL;
    td_store_log_close(&s->log);
    close(s->event_fd);
    if (s->abandoned) { /* LMDB is not called again: all of it stays */
        td_lmdb_abandon(s);
        return;
    }
    td_lmdb_env_close(s);
    pthread_cond_destroy(&s->submitted_cond);
    pthread_cond_destroy(&s->asked_cond);
    pthread_cond_destroy(&s->applied_cond);
    pthread_mutex_destroy(&s->lock);
    free(s->dir);
    free(s);
}

/* Everything between the lock and the threads. */
static tidings_err open_folder(struct td_lmdb *s, char *why)
{
    tidings_err err = open_checked(s, why);
    int rc;

    if (!err)
        err = td_lmdb_format(s, why);
    if (!err)
        err = td_lmdb_log_open(s, why);
    if (err)
        return err;
    rc = snapshot_new(s->env, &s->look);
    if (!rc)
        rc = snapshot_new(s->env, &s->snapshot);
    if (rc)
        return td_lmdb_say(s, rc, why);
    td_lmdb_space_init(s);
    if (td_lock_mark_open(s->dir_lock, !s->log.broken))
        return TIDINGS_OK;
    snprintf(why, TD_STORE_WHY_BYTES, "%.150s/lock: %s", s->dir,
             strerror(errno));
    return TIDINGS_EIO;
}

/* The same, where a damaged tree may lead astray. */
static tidings_err open_guarded(struct td_lmdb *s, char *why)
{
    tidings_err err;

    if (sigsetjmp(*td_trap_set(), 0)) {
        s->abandoned = true; /* in no state to be closed */
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%.150s is damaged; `tidings store verify` says more", s->dir);
        return TIDINGS_EIO;
    }
    err = open_folder(s, why);
    td_trap_clear();
    return err;
}

tidings_err td_lmdb_open(struct td_store **out, const char *dir,
                         const struct td_lmdb_options *options, char *why)
{
    struct td_lmdb *s = store_new(dir, options);
    tidings_err err = TIDINGS_ENOMEM;

    snprintf(why, TD_STORE_WHY_BYTES, "%s", tidings_err_text(err));
    if (!s)
        return err;
    if (s->options.guard && !td_trap_install()) {
        snprintf(why, TD_STORE_WHY_BYTES, "signals: %s", strerror(errno));
        err = TIDINGS_EIO;
        goto failed;
    }
    err = td_lock_take(&s->dir_lock, dir, true, why);
    if (!err)
        err = open_guarded(s, why);
    if (err)
        goto failed;
    if (!threads_start(s)) {
        snprintf(why, TD_STORE_WHY_BYTES, "cannot start a thread");
        err = TIDINGS_ENOMEM;
        goto failed;
    }
    *out = &s->store;
    return TIDINGS_OK;

failed:
    td_lmdb_free(s);
    return err;
}
