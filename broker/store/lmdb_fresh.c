/* What a read may have missed: what was committed before it began, and was in
 * the log alone. A read that missed something waits until LMDB has it, and is
 * done again; all others cost a look. */
#include "broker/store/lmdb_store.h"

struct td_lmdb_look td_lmdb_look(struct td_lmdb *s)
{
    struct td_lmdb_look look;

    pthread_mutex_lock(&s->lock);
    look.len = s->log_len;
    look.applies = s->applies;
    pthread_mutex_unlock(&s->lock);
    return look;
}

/* The end of a range; a key itself may belong to it. */
struct bound {
    struct td_str to; /* empty: the end of all */
    bool with_to;
};

static bool is_before(struct td_str key, const struct bound *bound)
{
    int order;

    if (bound->to.len == 0)
        return true;
    order = td_store_compare(key, bound->to);
    return bound->with_to ? order <= 0 : order < 0;
}

static bool touches(const struct td_store_log_op *op, struct td_str from,
                    const struct bound *bound)
{
    if (!is_before(op->key, bound))
        return false;
    if (op->kind != TD_STORE_DELETE_RANGE)
        return td_store_compare(op->key, from) >= 0;
    return op->value.len == 0 || td_store_compare(op->value, from) > 0;
}

bool td_lmdb_is_stale(struct td_lmdb *s, const struct td_lmdb_look *look,
                      struct td_str from, struct td_str to, bool with_to)
{
    struct bound bound = {to, with_to};
    struct td_store_log_at at = {0, 0};
    struct td_store_log_op op;
    bool stale;

    if (look->len == 0)
        return false;
    pthread_mutex_lock(&s->lock);
    stale = s->applies != look->applies;
    while (!stale && td_store_log_next(&s->log, look->len, &at, &op))
        stale = touches(&op, from, &bound);
    pthread_mutex_unlock(&s->lock);
    return stale;
}

tidings_err td_lmdb_wait_applied(struct td_lmdb *s,
                                 const struct td_lmdb_look *look)
{
    tidings_err err = TIDINGS_OK;
    uint64_t tries;

    pthread_mutex_lock(&s->lock);
    tries = s->tries;
    while (s->applies == look->applies && s->tries == tries &&
           !s->writer_gone) {
        s->apply_wanted = true;
        pthread_cond_signal(&s->submitted_cond);
        pthread_cond_wait(&s->applied_cond, &s->lock);
    }
    if (s->applies == look->applies) /* it is in the log, and stays there */
        err = s->tried ? s->tried : TIDINGS_EIO;
    pthread_mutex_unlock(&s->lock);
    return err;
}
