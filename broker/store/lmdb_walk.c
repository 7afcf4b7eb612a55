/* The walk of a folder, in a process of its own: LMDB trusts what it reads, so
 * a damaged page may crash it, or lead it astray without a word.
 *
 * First the shape: the list of free pages; all keys in order; no page used
 * twice, none used that is free; as many records and leaves as the tree says
 * it has. Checksums of values that lie in the leaves come with it. Then the
 * values that lie in pages of their own, and whether all pages add up. */
#include "broker/store/lmdb_store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/record.h"

#define PAGE_HEAD_BYTES     16u /* of LMDB's format 1; begins with its number */
#define PAGE_COUNT_AT       12u /* in that of a value: how many it has */
#define META_PAGES          2u
#define META_TRANSACTION_AT 144u /* in them: the number of theirs */

struct walk {
    struct td_lmdb_walk *out;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    int fd;
    size_t page_bytes;
    uint64_t pages; /* of the file */
    uint8_t *seen;  /* a bit for each */
    const char *map;
    uint64_t leaf_pages; /* that were seen */
    uint64_t overflow_pages;
    uint64_t free_pages;
    uint64_t leaf; /* the one of the last key */
    char last[512];
    size_t last_len;
};

/* ---- what is found ---- */

static void found(struct walk *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void found(struct walk *w, const char *format, ...)
{
    struct td_lmdb_damage *damage = &w->out->damage;
    va_list args;

    if (damage->first[0])
        return;
    va_start(args, format);
    vsnprintf(damage->first, sizeof(damage->first), format, args);
    va_end(args);
}

/* The tree is damaged, which is graver than a value. */
#define TORN(w, ...)                                                           \
    ((w)->out->damage.tree = true, (w)->out->damage.first[0] = '\0',           \
     found((w), __VA_ARGS__), false)

static void found_damaged(struct walk *w, struct td_str key)
{
    uint8_t len[2] = {(uint8_t)(key.len >> 8), (uint8_t)key.len};
    char text[3 * 16 + 4];
    size_t at = 0;

    for (size_t i = 0; i < key.len && i < 16; i++)
        at +=
            (size_t)snprintf(text + at, sizeof(text) - at, i ? " %02x" : "%02x",
                             (unsigned char)key.data[i]);
    snprintf(text + at, sizeof(text) - at, "%s", key.len > 16 ? " ..." : "");
    found(w, "the checksum of the record with key %s", text);
    w->out->damage.damaged++;
    if (w->fd < 0)
        return;
    if (write(w->fd, len, sizeof(len)) != sizeof(len) ||
        write(w->fd, key.data, key.len) != (ssize_t)key.len)
        _exit(2); /* nobody listens any more */
}

/* ---- pages ---- */

/* Marks pages as seen; false: one is there already, or beyond the end. */
static bool see(struct walk *w, uint64_t page, uint64_t count)
{
    if (page < META_PAGES || count > w->pages || page > w->pages - count)
        return false;
    for (; count > 0; page++, count--) {
        uint8_t bit = (uint8_t)(1u << (page % 8));

        if (w->seen[page / 8] & bit)
            return false;
        w->seen[page / 8] |= bit;
    }
    return true;
}

static const char *page_of(const struct walk *w, const void *at)
{
    return (const char *)((uintptr_t)at & ~(uintptr_t)(w->page_bytes - 1));
}

static uint64_t number_on(const char *page)
{
    uint64_t number;

    memcpy(&number, page, sizeof(number));
    return number;
}

/* A page's number by its place; the first one says where the map begins. */
static uint64_t number_of(struct walk *w, const char *page)
{
    if (!w->map)
        w->map = page - number_on(page) * w->page_bytes;
    return (uint64_t)(page - w->map) / w->page_bytes;
}

/* ---- shape ---- */

static bool free_list(struct walk *w, MDB_val v)
{
    uint64_t count;
    uint64_t page;

    if (v.mv_size < sizeof(count))
        return TORN(w, "a record of the free list is short");
    memcpy(&count, v.mv_data, sizeof(count));
    if (count >= v.mv_size / sizeof(count))
        return TORN(w, "a record of the free list has a wrong length");
    for (uint64_t i = 1; i <= count; i++) {
        memcpy(&page, (char *)v.mv_data + i * sizeof(page), sizeof(page));
        if (!see(w, page, 1))
            return TORN(w, "page %" PRIu64 " is free twice, or not there",
                        page);
    }
    w->free_pages += count;
    return true;
}

static bool free_lists(struct walk *w)
{
    MDB_cursor *cursor;
    MDB_val k;
    MDB_val v;
    bool sound = true;
    uint64_t last = 0;
    uint64_t id;
    int rc = mdb_cursor_open(w->txn, 0, &cursor);

    if (rc)
        return TORN(w, "the free list: %s", mdb_strerror(rc));
    while (sound && !(rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT))) {
        memcpy(&id, k.mv_data, sizeof(id));
        if (k.mv_size != sizeof(id) || id <= last)
            return TORN(w, "the free list is out of order");
        last = id;
        sound = free_list(w, v);
    }
    mdb_cursor_close(cursor);
    if (sound && rc != MDB_NOTFOUND)
        return TORN(w, "the free list: %s", mdb_strerror(rc));
    return sound;
}

static bool is_inline(const struct walk *w, MDB_val k, MDB_val v)
{
    return page_of(w, k.mv_data) == page_of(w, v.mv_data);
}

static bool key_in_order(struct walk *w, struct td_str key)
{
    struct td_str last = {w->last, w->last_len};

    if (key.len == 0 || key.len > sizeof(w->last) ||
        (last.len && td_store_compare(last, key) >= 0))
        return TORN(w, "keys are out of order behind record %" PRIu64,
                    w->out->damage.records);
    memcpy(w->last, key.data, key.len);
    w->last_len = key.len;
    return true;
}

static bool pages_once(struct walk *w, MDB_val k, MDB_val v)
{
    uint64_t page = number_of(w, page_of(w, k.mv_data));
    uint64_t count;

    if (page != w->leaf) {
        if (!see(w, page, 1))
            return TORN(w, "page %" PRIu64 " is used twice, or not there",
                        page);
        w->leaf = page;
        w->leaf_pages++;
        w->out->pages_read++;
    }
    if (is_inline(w, k, v))
        return true;
    page = number_of(w, page_of(w, v.mv_data));
    count = (PAGE_HEAD_BYTES + v.mv_size + w->page_bytes - 1) / w->page_bytes;
    if (!see(w, page, count))
        return TORN(w, "page %" PRIu64 " is used twice, or not there", page);
    return true;
}

static bool shape_of(struct walk *w, MDB_val k, MDB_val v)
{
    struct td_str key = {k.mv_data, k.mv_size};
    struct td_str stored = {v.mv_data, v.mv_size};

    if (!key_in_order(w, key) || !pages_once(w, k, v))
        return false;
    w->out->damage.records++;
    if (is_inline(w, k, v) && !td_record_check(key, stored))
        found_damaged(w, key);
    return true;
}

static bool keys_add_up(struct walk *w)
{
    MDB_stat tree;

    if (mdb_stat(w->txn, w->dbi, &tree))
        return TORN(w, "it says nothing of its size");
    if (tree.ms_entries != w->out->damage.records)
        return TORN(w, "%" PRIu64 " records of %zu are there",
                    w->out->damage.records, tree.ms_entries);
    if (tree.ms_leaf_pages != w->leaf_pages)
        return TORN(w, "%" PRIu64 " leaves of %zu are there", w->leaf_pages,
                    tree.ms_leaf_pages);
    return true;
}

/* No page is lost. */
static bool pages_add_up(struct walk *w)
{
    MDB_stat tree;
    MDB_stat list;
    uint64_t sum;

    if (mdb_stat(w->txn, w->dbi, &tree) || mdb_stat(w->txn, 0, &list))
        return TORN(w, "it says nothing of its size");
    if (tree.ms_overflow_pages != w->overflow_pages)
        return TORN(w, "%" PRIu64 " pages of values of %zu are there",
                    w->overflow_pages, tree.ms_overflow_pages);
    sum = META_PAGES + w->free_pages + w->leaf_pages + w->overflow_pages +
          tree.ms_branch_pages + list.ms_branch_pages + list.ms_leaf_pages +
          list.ms_overflow_pages;
    if (sum != w->pages)
        return TORN(w, "%" PRIu64 " pages of %" PRIu64 " are accounted for",
                    sum, w->pages);
    return true;
}

/* ---- values ---- */

/* A value's pages: LMDB keeps those of a longer one before it, so there may be
 * more than it needs; they have been seen as far as it does. */
static bool pages_of_value(struct walk *w, MDB_val v)
{
    const char *page = page_of(w, v.mv_data);
    uint64_t number = number_of(w, page);
    uint64_t need =
        (PAGE_HEAD_BYTES + v.mv_size + w->page_bytes - 1) / w->page_bytes;
    uint32_t count;

    memcpy(&count, page + PAGE_COUNT_AT, sizeof(count));
    if (number_on(page) != number || count < need ||
        (count > need && !see(w, number + need, count - need)))
        return TORN(w,
                    "page %" PRIu64 " says it is another, or has a wrong "
                    "length",
                    number);
    w->overflow_pages += count;
    w->out->pages_read += count;
    return true;
}

static bool value_of(struct walk *w, MDB_val k, MDB_val v)
{
    struct td_str key = {k.mv_data, k.mv_size};
    struct td_str stored = {v.mv_data, v.mv_size};
    struct td_lmdb_walk *out = w->out;
    unsigned next = !out->now;

    if (is_inline(w, k, v))
        return true;
    if (!pages_of_value(w, v))
        return false;
    if (!td_record_check(key, stored))
        found_damaged(w, key);
    memcpy(out->at[next].key, key.data, key.len);
    out->at[next].len = (uint32_t)key.len;
    atomic_signal_fence(memory_order_seq_cst); /* it may be killed here */
    out->now = next;
    return true;
}

static bool each(struct walk *w, bool (*visit)(struct walk *, MDB_val, MDB_val))
{
    MDB_cursor *cursor;
    MDB_val k;
    MDB_val v;
    bool sound = true;
    int rc = mdb_cursor_open(w->txn, w->dbi, &cursor);

    if (rc)
        return TORN(w, "the tree: %s", mdb_strerror(rc));
    while (sound && !(rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)))
        sound = visit(w, k, v);
    mdb_cursor_close(cursor);
    if (sound && rc != MDB_NOTFOUND)
        return TORN(w, "the tree: %s", mdb_strerror(rc));
    return sound;
}

/* ---- the walk ---- */

/* The meta pages are of the last two transactions, each in its place. Of a flip
 * in their numbers that makes the older one the newest this sees all but one
 * bit, which makes the last but one the next. */
static bool metas_follow(struct walk *w, int fd)
{
    uint64_t id[META_PAGES];

    for (size_t i = 0; i < META_PAGES; i++) {
        if (pread(fd, &id[i], sizeof(id[i]),
                  (off_t)(i * w->page_bytes + META_TRANSACTION_AT)) !=
            sizeof(id[i]))
            return TORN(w, "data.mdb has no meta pages");
    }
    if (id[0] == 0 && id[1] == 0) /* nothing was ever written */
        return true;
    if (id[0] % 2 == 0 && (id[1] == id[0] + 1 || id[1] + 1 == id[0]))
        return true;
    return TORN(w,
                "the meta pages are of transactions %" PRIu64 " and %" PRIu64,
                id[0], id[1]);
}

/* The folder as LMDB sees it. Nobody else has it open, and nothing is
 * written. */
static bool enter(struct walk *w, const char *dir)
{
    MDB_envinfo info;
    MDB_stat tree;
    off_t size;
    int fd = -1;
    int rc = mdb_env_create(&w->env);

    if (!rc)
        rc = mdb_env_open(w->env, dir, MDB_RDONLY | MDB_NOLOCK, 0600);
    if (!rc)
        rc = mdb_env_info(w->env, &info);
    if (rc)
        return TORN(w, "data.mdb: %s", mdb_strerror(rc));
    mdb_env_stat(w->env, &tree);
    mdb_env_get_fd(w->env, &fd);
    size = lseek(fd, 0, SEEK_END);
    w->page_bytes = tree.ms_psize;
    w->pages = (uint64_t)info.me_last_pgno + 1;
    w->out->transaction = info.me_last_txnid;
    if (w->pages > (uint64_t)size / w->page_bytes)
        return TORN(w, "data.mdb is cut short: %" PRIu64 " pages of %" PRIu64,
                    (uint64_t)size / w->page_bytes, w->pages);
    if (!metas_follow(w, fd))
        return false;
    w->seen = calloc(1, w->pages / 8 + 1);
    if (!w->seen)
        return TORN(w, "no memory to check it");
    rc = mdb_txn_begin(w->env, NULL, MDB_RDONLY, &w->txn);
    if (!rc)
        rc = mdb_dbi_open(w->txn, NULL, 0, &w->dbi);
    if (!rc)
        td_lmdb_format_id(w->txn, w->dbi, w->out->id);
    if (!rc && !mdb_stat(w->txn, w->dbi, &tree))
        w->out->pages = tree.ms_leaf_pages + tree.ms_overflow_pages;
    return rc == 0 || TORN(w, "data.mdb: %s", mdb_strerror(rc));
}

void td_lmdb_walk(struct td_lmdb_walk *walk, const char *dir, int fd)
{
    struct walk w = {.out = walk, .fd = fd};

    if (!enter(&w, dir) || !free_lists(&w) || !each(&w, shape_of) ||
        !keys_add_up(&w))
        return;
    if (each(&w, value_of) && pages_add_up(&w))
        walk->done = true;
}
