#include "tests/unit/outbox_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/td_test.h"

#define TYPES 4

static const char too_large[TIDINGS_DATA_MAX + 1];

uint64_t model_random(struct model *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % below;
}

/* Whether something goes wrong here; each place is asked twice, before its
 * effect and after. */
static bool crashes(struct model_relay *r)
{
    if (!r->crashed && model_random(r->model, 1000) < r->model->faults / 2)
        r->crashed = true;
    return r->crashed;
}

static bool fails(struct model *m)
{
    return model_random(m, 1000) < m->faults;
}

static tidings_err failed(tidings_err err)
{
    tidings_set_detail("the model fails");
    return err;
}

/* ---- the database ---- */

static tidings_err db_open(void *ctx, struct tidings_outbox_claim *out)
{
    struct model_relay *r = ctx;
    struct model *m = r->model;

    if (crashes(r))
        return TIDINGS_EIO;
    for (int i = 0; m->locks && i < MODEL_RELAYS; i++) {
        if (&m->relay[i] != r && m->relay[i].db_term)
            return TIDINGS_EEXIST;
    }
    if (fails(m))
        return failed(TIDINGS_EIO);
    r->db_term = ++m->db_term;
    *out = m->claim;
    snprintf(out->producer, sizeof(out->producer), "outbox-model");
    return TIDINGS_OK;
}

static void db_close(void *ctx)
{
    struct model_relay *r = ctx;

    r->db_term = 0;
}

static tidings_err db_read(void *ctx, struct tidings_outbox_rows *rows,
                           size_t max_rows, size_t max_bytes)
{
    struct model_relay *r = ctx;
    struct model *m = r->model;
    size_t most = 1 + model_random(m, 30); /* so that there are several */
    tidings_err err;

    (void)max_bytes;
    assert_true(r->db_term > 0);
    if (crashes(r))
        return TIDINGS_EIO;
    if (fails(m))
        return failed(model_random(m, 2) ? TIDINGS_ETIMEDOUT : TIDINGS_EIO);
    for (int i = 0; i < m->rows && max_rows > 0 && most > 0; i++) {
        const struct model_row *row = &m->row[i];
        char id[16], key[16], type[16];
        struct tidings_attr attr = {.name = "partitionkey", .string = key};
        struct tidings_event event = {.type = type, .id = id, .attrs = &attr};

        if (!row->visible || row->removed || row->refused)
            continue;
        snprintf(id, sizeof(id), "%d", i);
        snprintf(key, sizeof(key), "k%d", row->key);
        snprintf(type, sizeof(type), "t%d", row->type);
        event.attrs_len = row->key > 0;
        event.data = too_large;
        event.data_len = row->large ? sizeof(too_large) : 0;
        err = row->bad ? tidings_outbox_add_bad(rows, i + 1, &event, "torn")
                       : tidings_outbox_add(rows, i + 1, &event);
        if (err) {
            assert_int_equal(err, TIDINGS_ENOMEM);
            return err;
        }
        most--;
    }
    return TIDINGS_OK;
}

static tidings_err db_step(void *ctx, const struct tidings_outbox_step *step)
{
    struct model_relay *r = ctx;
    struct model *m = r->model;

    assert_true(r->db_term > 0);
    if (crashes(r))
        return TIDINGS_EIO;
    if (r->db_term != m->db_term)
        return failed(TIDINGS_EFENCED);
    if (fails(m))
        return failed(model_random(m, 2) ? TIDINGS_ETIMEDOUT : TIDINGS_EIO);
    for (size_t i = 0; i < step->remove_len; i++)
        m->row[step->remove[i] - 1].removed = true;
    if (step->refuse) {
        assert_non_null(step->reason);
        m->row[step->refuse - 1].refused = true;
    }
    m->claim.first = step->claim->first;
    m->claim.len = step->claim->len;
    memcpy(m->claim.rows, step->claim->rows,
           step->claim->len * sizeof(step->claim->rows[0]));
    /* Done, and the connection is lost before it could say so. */
    return crashes(r) || fails(m) ? failed(TIDINGS_EIO) : TIDINGS_OK;
}

static tidings_err db_count(void *ctx, uint64_t *waiting, int64_t *oldest_us)
{
    (void)ctx;
    *waiting = 1;
    *oldest_us = 1;
    return TIDINGS_OK;
}

static const struct tidings_outbox_ops db_ops = {
    .open = db_open,
    .close = db_close,
    .read = db_read,
    .step = db_step,
    .count = db_count,
};

/* ---- the broker ---- */

static tidings_err bus_open(void *ctx, const char *producer, uint64_t *last)
{
    struct model_relay *r = ctx;
    struct model *m = r->model;

    assert_string_equal(producer, "outbox-model");
    if (crashes(r) || fails(m))
        return failed(TIDINGS_EUNREACH);
    if (r->bus_term && r->bus_term != m->bus_term)
        return failed(TIDINGS_EFENCED);
    if (!r->bus_term)
        r->bus_term = ++m->bus_term;
    *last = m->last;
    return crashes(r) ? TIDINGS_EUNREACH : TIDINGS_OK;
}

static void bus_close(void *ctx)
{
    struct model_relay *r = ctx;

    r->bus_term = 0;
}

static int row_of(const struct td_outbox_list *list, size_t i)
{
    return (int)list->number[i] - 1;
}

/* What the broker says of an atomic list. */
static tidings_err judge(struct model *m, const struct td_outbox_list *list,
                         struct td_answer *out)
{
    int stream = m->row[row_of(list, 0)].type % MODEL_STREAMS;

    for (size_t i = 0; i < list->len; i++) {
        if (m->row[row_of(list, i)].type % MODEL_STREAMS != stream)
            return TIDINGS_EINVAL;
        if (m->row[row_of(list, i)].poison)
            return TIDINGS_ENOSTREAM;
    }
    if (stream == m->full) {
        snprintf(out->stream, sizeof(out->stream), "s%d", stream);
        return TIDINGS_EFULL;
    }
    if (fails(m))
        return model_random(m, 2) ? TIDINGS_EFULL : TIDINGS_EIO;
    snprintf(out->stream, sizeof(out->stream), "s%d", stream);
    return TIDINGS_OK;
}

static tidings_err bus_publish(void *ctx, const struct td_outbox_list *list,
                               uint64_t first, struct td_answer *out)
{
    struct model_relay *r = ctx;
    struct model *m = r->model;
    tidings_err err;

    assert_true(r->bus_term > 0);
    assert_true(list->len > 0 && list->len <= TIDINGS_LIST_MAX);
    if (crashes(r))
        return TIDINGS_ECLOSED;
    if (r->bus_term != m->bus_term)
        return failed(TIDINGS_EFENCED);
    out->judged = true;
    err = judge(m, list, out);
    if (err)
        return err;
    assert_true(first > m->last);
    for (size_t i = 0; i < list->len; i++) {
        assert_int_equal(atoi(list->event[i].id), row_of(list, i));
        m->row[row_of(list, i)].stored++;
        m->log[m->log_len++ % (2 * MODEL_ROWS)] = row_of(list, i);
    }
    m->last = first + list->len - 1;
    return crashes(r) ? TIDINGS_ECLOSED : TIDINGS_OK;
}

static const struct td_broker_ops bus_ops = {
    .open = bus_open,
    .publish = bus_publish,
    .close = bus_close,
};

/* ---- both, and relays ---- */

void model_init(struct model *m, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    m->random = seed * 0x9e3779b97f4a7c15u + 1;
    m->full = -1;
    for (int i = 0; i < MODEL_RELAYS; i++)
        m->relay[i].model = m;
}

void model_kill(struct model *m, int which)
{
    struct model_relay *r = &m->relay[which];

    if (!r->turn)
        return;
    td_turn_fini(r->turn);
    free(r->turn);
    *r = (struct model_relay){.model = m};
}

void model_fini(struct model *m)
{
    for (int i = 0; i < MODEL_RELAYS; i++)
        model_kill(m, i);
}

void model_write_row(struct model *m, int key, int type, bool poison)
{
    if (m->rows < MODEL_ROWS)
        m->row[m->rows++] = (struct model_row){
            .key = key, .type = type, .poison = poison, .visible = true};
}

/* Transactions of one key follow one another: what is not seen yet is a key's
 * last. */
void model_write(struct model *m)
{
    uint64_t rows = 1 + model_random(m, 8);

    for (int i = 0; i < m->rows; i++)
        m->row[i].visible = m->row[i].visible || model_random(m, 2);
    while (rows-- > 0) {
        int key = (int)model_random(m, MODEL_KEYS);
        int type = (int)model_random(m, TYPES);
        bool late = key > 0 && model_random(m, 4) == 0;

        for (int i = 0; i < m->rows; i++) {
            if (m->row[i].key == key)
                m->row[i].visible = true;
        }
        model_write_row(m, key, type, model_random(m, 50) == 0);
        m->row[m->rows - 1].visible = !late;
        m->row[m->rows - 1].bad =
            m->row[m->rows - 1].poison && model_random(m, 2);
    }
}

static void on_status(void *arg, const struct tidings_relay_status *status)
{
    struct model *m = arg;

    assert_non_null(status->text);
    if (status->kind == TIDINGS_RELAY_REFUSED) {
        assert_true(m->row[status->row - 1].refused);
        m->told_refused++;
    }
}

int model_turn(struct model *m, int which, int64_t now_us)
{
    struct model_relay *r = &m->relay[which];
    int wait_ms;

    if (!r->turn) {
        r->turn = malloc(sizeof(*r->turn));
        assert_non_null(r->turn);
        td_turn_init(r->turn);
        r->turn->ops = db_ops;
        r->turn->broker_ops = bus_ops;
        r->turn->db = r->turn->broker = r;
        r->turn->on_status = on_status;
        r->turn->on_status_arg = m;
    }
    wait_ms = td_turn(r->turn, now_us);
    if (r->crashed)
        model_kill(m, which);
    return wait_ms;
}

/* ---- judging ---- */

bool model_all_done(const struct model *m)
{
    for (int i = 0; i < m->rows; i++) {
        if (!m->row[i].removed && !m->row[i].refused)
            return false;
    }
    return true;
}

static bool is_same_lane(const struct model_row *a, const struct model_row *b)
{
    return a->key == b->key && (a->key > 0 || a->type == b->type);
}

const char *model_wrong(const struct model *m)
{
    static char text[80];

    for (int i = 0; i < m->rows; i++) {
        const struct model_row *row = &m->row[i];

        if (row->stored == !row->poison && row->refused == row->poison)
            continue;
        snprintf(text, sizeof(text), "row %d: stored %d times, poison %d", i,
                 row->stored, row->poison);
        return text;
    }
    for (int i = 0; i < m->log_len; i++) {
        for (int j = i + 1; j < m->log_len; j++) {
            if (m->log[j] > m->log[i] ||
                !is_same_lane(&m->row[m->log[i]], &m->row[m->log[j]]))
                continue;
            snprintf(text, sizeof(text), "row %d after row %d", m->log[j],
                     m->log[i]);
            return text;
        }
    }
    return NULL;
}
