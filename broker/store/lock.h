/* Who has a data folder open: an flock on DIR/lock, which also says who, and
 * how it was closed last. A registry in the process besides, because LMDB must
 * not be opened twice in one, and because a child made by fork() must not keep
 * its parent's lock. */
#ifndef TD_STORE_LOCK_H
#define TD_STORE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "tidings/err.h"

struct td_lock;

/* What the holder before left. */
enum td_lock_mark {
    TD_LOCK_NEW,    /* there was none */
    TD_LOCK_CLEAN,  /* it closed the folder, at this transaction */
    TD_LOCK_UNCLEAN /* it did not */
};

/**
 * Lock a folder.
 *
 * @param make  the folder may be made; its parent must be there. false: it is
 *              only read, without the lock where that may not be written.
 * @param why   at least TD_STORE_WHY_BYTES: on failure what is wrong.
 * @return TIDINGS_OK; TIDINGS_EEXIST: it is in use, why says by whom;
 *         TIDINGS_ENOTFOUND; TIDINGS_EIO; TIDINGS_ENOMEM.
 */
tidings_err td_lock_take(struct td_lock **out, const char *dir, bool make,
                         char *why);

/* false: nobody is kept out; the folder may not be written. */
bool td_lock_is_held(const struct td_lock *lock);

/* hash: of the meta pages then. */
enum td_lock_mark td_lock_found(const struct td_lock *lock,
                                uint64_t *transaction, uint64_t *hash);

/* What the holder before said of its log, if it did not close the folder. */
bool td_lock_found_log(const struct td_lock *lock);

/* Says that this process has it open, and syncs that: from now on it counts as
 * unclean. log: what is confirmed may be in DIR/log alone. */
bool td_lock_mark_open(struct td_lock *lock, bool log);

/* Says that it was closed at this transaction, and syncs that. */
bool td_lock_mark_clean(struct td_lock *lock, uint64_t transaction,
                        uint64_t hash);

/* NULL does nothing. */
void td_lock_release(struct td_lock *lock);

/* Syncs a folder: names made or removed in it. */
bool td_lock_sync_dir(const char *dir);

#endif
