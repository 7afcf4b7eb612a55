/* LMDB's environment of a folder, and its codes as ours. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "broker/store/trap.h"

#define META_BYTES     152   /* of a meta page, that mean something */
#define READERS        8     /* of ours: two */
#define LOCK_MDB_BYTES 16384 /* header, and 64 bytes for each reader */

tidings_err td_lmdb_error(int rc)
{
    switch (rc) {
    case 0:
        return TIDINGS_OK;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case MDB_MAP_FULL:
        return TIDINGS_EFULL;
    case ENOMEM:
        return TIDINGS_ENOMEM;
    case MDB_TXN_FULL:
    case MDB_BAD_VALSIZE:
        return TIDINGS_ELIMIT;
    case MDB_VERSION_MISMATCH:
        return TIDINGS_EVERSION;
    default:
        return TIDINGS_EIO;
    }
}

tidings_err td_lmdb_say(const struct td_lmdb *s, int rc, char *why)
{
    snprintf(why, TD_STORE_WHY_BYTES, "%.150s/data.mdb: %s", s->dir,
             mdb_strerror(rc));
    return td_lmdb_error(rc);
}

static void on_assert(MDB_env *env, const char *text)
{
    (void)env;
    (void)text;
    td_trap_spring();
}

/* ---- LMDB ---- */

/* LMDB maps this file and writes to it: on a full disk that would be a fault,
 * if it had no room of its own. */
static int make_lock_mdb(const char *dir)
{
    char path[4096];
    int fd;
    int rc;

    snprintf(path, sizeof(path), "%s/lock.mdb", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    rc = posix_fallocate(fd, 0, LOCK_MDB_BYTES);
    close(fd);
    return rc;
}

int td_lmdb_env_open(struct td_lmdb *s, unsigned flags)
{
    int rc = make_lock_mdb(s->dir);

    if (!rc)
        rc = mdb_env_create(&s->env);
    if (rc)
        return rc;
    rc = mdb_env_set_assert(s->env, on_assert);
    if (!rc)
        rc = mdb_env_set_mapsize(s->env, s->options.max_bytes);
    if (!rc)
        rc = mdb_env_set_maxreaders(s->env, READERS);
    if (!rc)
        rc = mdb_env_open(s->env, s->dir, MDB_NOTLS | flags, 0600);
    return rc;
}

uint64_t td_lmdb_meta_hash(struct td_lmdb *s)
{
    char metas[2 * META_BYTES] = {0};
    MDB_stat tree;
    int fd = -1;

    mdb_env_stat(s->env, &tree);
    mdb_env_get_fd(s->env, &fd);
    for (int i = 0; i < 2; i++) {
        if (pread(fd, metas + i * META_BYTES, META_BYTES,
                  (off_t)i * tree.ms_psize) != META_BYTES)
            return 0;
    }
    return XXH3_64bits(metas, sizeof(metas));
}

void td_lmdb_env_close(struct td_lmdb *s)
{
    if (s->in_look)
        mdb_cursor_close(s->in_look);
    if (s->look)
        mdb_txn_abort(s->look);
    if (s->snapshot)
        mdb_txn_abort(s->snapshot);
    if (s->env)
        mdb_env_close(s->env);
    s->env = NULL;
    s->in_look = NULL;
    s->look = NULL;
    s->snapshot = NULL;
}

int td_lmdb_reopen(struct td_lmdb *s)
{
    int rc;

    td_lmdb_env_close(s);
    rc = td_lmdb_env_open(s, MDB_RDONLY);
    if (!rc)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->snapshot);
    if (!rc)
        rc = mdb_dbi_open(s->snapshot, NULL, 0, &s->dbi);
    if (rc)
        td_lmdb_env_close(s);
    else
        mdb_txn_reset(s->snapshot);
    return rc;
}

/* They stay, so that nobody takes them for lost. */
static pthread_mutex_t abandoned_lock = PTHREAD_MUTEX_INITIALIZER;
static struct td_lmdb *abandoned;

void td_lmdb_abandon(struct td_lmdb *s)
{
    pthread_mutex_lock(&abandoned_lock);
    s->next_abandoned = abandoned;
    abandoned = s;
    pthread_mutex_unlock(&abandoned_lock);
}
