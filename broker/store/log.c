#include "broker/store/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "broker/store/job.h"
#include "broker/store/lock.h"
#include "broker/store/log_inside.h"
#include "broker/store/record.h"

#define PATH_BYTES 4096

/* ---- the file ---- */

/* All of it, whatever the system takes at once; errno. */
static int write_all(int fd, const uint8_t *data, size_t len, size_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        data += n;
        offset += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* Zeros up to its full length; whoever made it may have been killed on the
 * way. Nothing is in it before that. */
static int fill(const struct td_store_log *log, const char *dir)
{
    struct stat st;
    int rc;

    if (fstat(log->fd, &st) != 0)
        return errno;
    if ((size_t)st.st_size >= TD_STORE_LOG_BYTES)
        return 0;
    rc = write_all(log->fd, log->bytes, TD_STORE_LOG_BYTES - (size_t)st.st_size,
                   (size_t)st.st_size);
    if (!rc && fsync(log->fd) != 0)
        rc = errno;
    if (!rc && !td_lock_sync_dir(dir))
        rc = errno;
    return rc;
}

static void path_of(char path[PATH_BYTES], const char *dir)
{
    snprintf(path, PATH_BYTES, "%s/log", dir);
}

static int open_file(struct td_store_log *log, const char *dir,
                     const uint8_t id[16], int flags)
{
    char path[PATH_BYTES];

    memset(log, 0, sizeof(*log));
    log->direct = -1;
    log->seed = XXH3_64bits(id, 16);
    path_of(path, dir);
    log->fd = open(path, flags | O_CLOEXEC, 0600);
    if (log->fd < 0)
        return errno;
    log->memory = calloc(1, TD_STORE_LOG_BYTES + TD_STORE_LOG_BLOCK);
    if (!log->memory)
        return ENOMEM;
    log->bytes = log->memory + (-(uintptr_t)log->memory % TD_STORE_LOG_BLOCK);
    return 0;
}

int td_store_log_open(struct td_store_log *log, const char *dir,
                      const uint8_t id[16])
{
    char path[PATH_BYTES];
    bool is_new;
    int rc;

    path_of(path, dir);
    is_new = access(path, F_OK) != 0 && errno == ENOENT;
    rc = open_file(log, dir, id, O_RDWR | O_CREAT);
    if (!rc)
        rc = fill(log, dir);
    /* Others need what it has; but one that was there may have entries. */
    if ((rc == ENOSPC || rc == EDQUOT) && is_new)
        unlink(path);
    if (!rc) /* what has to be synced is there at once that way */
        log->direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (!rc && getrandom(&log->lap, sizeof(log->lap), 0) != sizeof(log->lap))
        rc = EIO;
    if (rc)
        td_store_log_close(log);
    return rc;
}

int td_store_log_look(struct td_store_log *log, const char *dir,
                      const uint8_t id[16])
{
    int rc = open_file(log, dir, id, O_RDONLY);

    if (rc)
        td_store_log_close(log);
    return rc;
}

void td_store_log_close(struct td_store_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->direct >= 0)
        close(log->direct);
    free(log->memory);
    memset(log, 0, sizeof(*log));
    log->fd = -1;
    log->direct = -1;
    log->broken = true;
}

/* ---- an entry ---- */

static void store16(uint8_t *at, uint16_t n)
{
    at[0] = (uint8_t)n;
    at[1] = (uint8_t)(n >> 8);
}

static void store32(uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(n >> (8 * i));
}

static void store64(uint8_t *at, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(n >> (8 * i));
}

uint64_t td_store_log_sum(const struct td_store_log *log, const uint8_t *entry,
                          size_t bytes)
{
    return XXH3_64bits_withSeed(entry + 8, TD_STORE_LOG_HEAD_BYTES - 8 + bytes,
                                log->seed);
}

/* The head of an entry whose operations stand behind it. */
static void seal(const struct td_store_log *log, uint8_t *entry,
                 uint32_t number, size_t bytes)
{
    store32(entry + 8, TD_STORE_LOG_MAGIC);
    store32(entry + 12, (uint32_t)bytes);
    store64(entry + 16, log->base);
    store64(entry + 24, log->lap);
    store32(entry + 32, number);
    store32(entry + 36, log->synced);
    store32(entry + 40, log->base_synced);
    store32(entry + 44, 0);
    store64(entry, td_store_log_sum(log, entry, bytes));
}

/* Whole blocks: no part of one has to be read before it is written. What they
 * hold of entries before is the same as it was, so that a torn write does them
 * no harm. */
static int write_blocks(struct td_store_log *log, size_t from, size_t to,
                        bool direct)
{
    size_t begin = from - from % TD_STORE_LOG_BLOCK;
    size_t end = to + TD_STORE_LOG_BLOCK - 1;

    end -= end % TD_STORE_LOG_BLOCK;
    memset(log->bytes + to, 0, end - to);
    if (direct && pwrite(log->direct, log->bytes + begin, end - begin,
                         (off_t)begin) == (ssize_t)(end - begin))
        return 0;
    return write_all(log->fd, log->bytes + begin, end - begin, begin);
}

void td_store_log_restart(struct td_store_log *log, uint64_t base, bool synced)
{
    log->base = base;
    log->base_synced = synced;
    log->lap++;
    log->entries = 0;
    log->synced = 0;
    log->ops = 0;
    log->level = 0;
    log->len = TD_STORE_LOG_BLOCK;
    log->draft = log->len + TD_STORE_LOG_HEAD_BYTES;
    if (log->broken)
        return;
    seal(log, log->bytes, 0, 0);
    if (write_blocks(log, 0, TD_STORE_LOG_HEAD_BYTES, false) != 0)
        log->broken = true;
}

int td_store_log_sync(const struct td_store_log *log)
{
    return log->broken || fdatasync(log->fd) == 0 ? 0 : errno;
}

/* ---- operations ---- */

static size_t value_size(const struct td_store_op *op)
{
    switch (op->kind) {
    case TD_STORE_PUT:
        return TD_RECORD_HEAD_BYTES + op->value_len + op->len;
    case TD_STORE_DELETE_RANGE:
        return op->value_len;
    case TD_STORE_DELETE:
        break;
    }
    return 0;
}

size_t td_store_log_size(const struct td_txn *txn)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < txn->len; i++)
        bytes += TD_STORE_LOG_OP_BYTES + txn->ops[i].key_len +
                 value_size(&txn->ops[i]);
    return bytes;
}

bool td_store_log_fits(const struct td_store_log *log, size_t bytes)
{
    return bytes <= TD_STORE_LOG_BYTES - TD_STORE_LOG_HEAD_BYTES &&
           log->len <= TD_STORE_LOG_BYTES - TD_STORE_LOG_HEAD_BYTES - bytes;
}

static uint8_t *append(uint8_t *at, const void *data, size_t len)
{
    if (len)
        memcpy(at, data, len);
    return at + len;
}

static void add_op(struct td_store_log *log, const struct td_txn *txn,
                   const struct td_store_op *op)
{
    uint8_t *at = log->bytes + log->draft;
    struct td_str key = td_store_op_key(txn, op);
    struct td_str value = td_store_op_value(txn, op);
    size_t value_bytes = value_size(op);
    uint8_t *stored;

    at[0] = (uint8_t)op->kind;
    at[1] = 0;
    store16(at + 2, (uint16_t)key.len);
    store32(at + 4, (uint32_t)value_bytes);
    stored = append(at + TD_STORE_LOG_OP_BYTES, key.data, key.len);
    log->draft += TD_STORE_LOG_OP_BYTES + key.len + value_bytes;
    if (op->kind == TD_STORE_DELETE_RANGE)
        append(stored, value.data, value.len);
    if (op->kind != TD_STORE_PUT)
        return;
    at = append(stored + TD_RECORD_HEAD_BYTES, value.data, value.len);
    if (op->body)
        append(at, op->body->data + op->offset, op->len);
    td_record_seal(stored, key, value.len + op->len);
}

void td_store_log_add(struct td_store_log *log, const struct td_txn *txn)
{
    for (uint32_t i = 0; i < txn->len; i++)
        add_op(log, txn, &txn->ops[i]);
}

int td_store_log_commit(struct td_store_log *log, enum td_level level)
{
    uint8_t *entry = log->bytes + log->len;
    size_t bytes = log->draft - log->len - TD_STORE_LOG_HEAD_BYTES;
    size_t end = log->len + td_store_log_whole(bytes);
    int rc;

    memset(log->bytes + log->draft, 0, end - log->draft);
    seal(log, entry, log->entries + 1, bytes);
    rc = write_blocks(log, log->len, end,
                      level == TD_LEVEL_DISK && log->direct >= 0);
    if (!rc && level == TD_LEVEL_DISK && fdatasync(log->fd) != 0)
        rc = EIO; /* whatever it was: what is on the disk now nobody knows */
    if (rc) {
        log->draft = log->len + TD_STORE_LOG_HEAD_BYTES;
        return rc;
    }
    log->entries++;
    if (level == TD_LEVEL_DISK)
        log->synced = log->entries;
    if (level > log->level)
        log->level = level;
    log->len = end;
    log->draft = end + TD_STORE_LOG_HEAD_BYTES;
    return 0;
}
