/* How much of the disk is used and left, and the reserve for when it is full.
 *
 * Pages in use are counted by LMDB for its two trees; what lies between them
 * and the end of the file is free. The reserve is allocated behind the last
 * page, so that a file system that is full, by us or by others, still takes
 * what LMDB writes there. */
#include "broker/store/lmdb_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define STEP_BYTES (64u << 10) /* less is not worth a call */
#define FULL_BYTES (1u << 20)  /* a disk with less left is full */
#define LIST_PAGES 8u          /* of free pages, that a commit may change */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t more_than(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static int data_fd(struct td_lmdb *s)
{
    int fd = -1;

    mdb_env_get_fd(s->env, &fd);
    return fd;
}

/* Bytes that the file system still has for us. */
static uint64_t disk_free(int fd)
{
    struct statvfs st;

    if (fstatvfs(fd, &st) != 0)
        return 0;
    return (uint64_t)st.f_bavail * st.f_frsize;
}

bool td_lmdb_disk_is_full(struct td_lmdb *s)
{
    return disk_free(data_fd(s)) < FULL_BYTES;
}

/* Allocates up to a reserve and a half behind end (the log needs some of it),
 * and more to have it seldom; or as much as there is. */
static void allocate(struct td_lmdb *s, int fd, uint64_t end)
{
    uint64_t reserve = s->options.reserve_bytes;
    uint64_t want = least(end + 2 * reserve, s->options.max_bytes);
    uint64_t from = s->ahead > end ? s->ahead : end;

    if (s->ahead >= least(end + reserve + reserve / 2, s->options.max_bytes))
        return;
    want = least(want, from + disk_free(fd));
    for (; want >= from + STEP_BYTES; want = from + (want - from) / 2) {
        if (posix_fallocate(fd, (off_t)from, (off_t)(want - from)) == 0) {
            s->ahead = want;
            return;
        }
    }
}

static uint64_t tree_pages(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat st;

    if (mdb_stat(txn, dbi, &st) != 0)
        return 0;
    return st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
}

static uint64_t tree_depth(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat st;

    return mdb_stat(txn, dbi, &st) == 0 ? st.ms_depth : 0;
}

/* Pages of both trees, and the two meta pages. */
static uint64_t used_pages(struct td_lmdb *s)
{
    uint64_t pages = 2;

    if (mdb_txn_renew(s->look) != 0)
        return pages;
    pages += tree_pages(s->look, 0) + tree_pages(s->look, s->dbi);
    s->depth = tree_depth(s->look, s->dbi);
    mdb_txn_reset(s->look);
    return pages;
}

void td_lmdb_space(struct td_lmdb *s)
{
    int fd = data_fd(s);
    uint64_t used = used_pages(s) * s->page_bytes;
    uint64_t room;
    uint64_t end;
    MDB_envinfo info;
    struct stat st;

    mdb_env_info(s->env, &info);
    end = ((uint64_t)info.me_last_pgno + 1) * s->page_bytes;
    allocate(s, fd, end);
    room = (s->ahead > end ? s->ahead : end) + disk_free(fd);
    room = least(room, s->options.max_bytes);
    if (fstat(fd, &st) != 0)
        st.st_size = 0;
    s->room = more_than(room, used);
    s->tail = more_than(s->ahead, end);
    pthread_mutex_lock(&s->lock);
    s->info.used_bytes = used;
    s->info.file_bytes = (uint64_t)st.st_size;
    td_lmdb_space_left(s);
    pthread_mutex_unlock(&s->lock);
}

void td_lmdb_space_left(struct td_lmdb *s)
{
    uint64_t reserve = s->options.reserve_bytes;

    s->info.left_bytes = more_than(s->room, td_lmdb_log_bytes(s));
    s->info.free_bytes = more_than(s->info.left_bytes, reserve);
    s->info.reserve_bytes = reserve;
}

/* An operation may change a page of every level, split one of them and the
 * root, begin a page of its own, and free a value whose pages have to be listed
 * in one (of up to 512). */
uint64_t td_lmdb_space_for(const struct td_lmdb *s, uint64_t ops,
                           uint64_t bytes)
{
    uint64_t pages = LIST_PAGES + ops * (s->depth + 4);

    return pages * s->page_bytes + bytes;
}

/* What an opener before has allocated: a full disk gives it again. That was no
 * more than two reserves; a file that is longer was made so by damage. */
static uint64_t allocated(struct td_lmdb *s, int fd)
{
    MDB_envinfo info;
    struct stat st;
    uint64_t end;
    uint64_t size;

    mdb_env_info(s->env, &info);
    end = ((uint64_t)info.me_last_pgno + 1) * s->page_bytes;
    if (fstat(fd, &st) != 0)
        return 0;
    size = least((uint64_t)st.st_size, end + 2 * s->options.reserve_bytes);
    if (size <= end || posix_fallocate(fd, (off_t)end, (off_t)(size - end)))
        return 0;
    return size;
}

void td_lmdb_space_init(struct td_lmdb *s)
{
    int fd = data_fd(s);
    uint64_t small = s->options.max_bytes;
    struct statvfs st;
    MDB_stat tree;

    mdb_env_stat(s->env, &tree);
    s->page_bytes = tree.ms_psize;
    if (fstatvfs(fd, &st) == 0)
        small = least(small, (uint64_t)st.f_blocks * st.f_frsize);
    if (!s->options.reserve_bytes)
        s->options.reserve_bytes = least(TD_STORE_RESERVE, small / 8);
    s->ahead = allocated(s, fd);
    td_lmdb_space(s);
}
