/* Questions: STATS, PING and CALL, asked on every new link until they are
 * answered. */
#include "client/session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static bool send_ping(struct td_client *c, const struct td_question *q)
{
    const struct td_frame f = {.op = TD_PING, .u.ping = {.token = q->number}};

    return td_client_send(c, &f, NULL);
}

static bool send_stats(struct td_client *c, const struct td_question *q)
{
    struct td_frame f = {.op = TD_STATS};

    td_client_options_begin(c, !!q->rows + !!q->from);
    if (q->rows)
        td_client_option_str(c, "rows", q->rows);
    if (q->from)
        td_client_option_uint(c, "from", q->from);
    f.u.stats.request = q->number;
    f.u.stats.options = td_client_scratch(c);
    return td_client_send_scratch(c, &f);
}

static bool send_call(struct td_client *c, const struct td_question *q)
{
    struct td_frame f = {.op = TD_CALL};

    f.u.call.request = q->number;
    f.u.call.name = td_str_of(q->name);
    f.u.call.options = q->options;
    return td_client_send(c, &f, NULL);
}

static void send_question(struct td_client *c, struct td_question *q)
{
    bool sent = q->op == TD_PING    ? send_ping(c, q)
                : q->op == TD_STATS ? send_stats(c, q)
                                    : send_call(c, q);

    q->sent = q->sent || sent;
}

void td_client_question(struct td_client *c, struct td_question *q,
                        enum td_op op)
{
    q->op = op;
    q->number = ++c->next_request;
    q->sent = q->done = false;
    q->code = TIDINGS_OK;
    q->text[0] = '\0';
    q->result = NULL;
    q->result_len = 0;
    DL_APPEND(c->questions, q);
    if (c->state == TD_CLIENT_READY)
        send_question(c, q);
}

void td_client_withdraw(struct td_client *c, struct td_question *q)
{
    DL_DELETE(c->questions, q);
}

/* Whether it may be asked twice: it only looks. */
static bool is_harmless(const struct td_question *q)
{
    static const char looks[] = ".list";
    size_t len = q->op == TD_CALL ? strlen(q->name) : 0;

    return q->op != TD_CALL ||
           (len >= strlen(looks) &&
            strcmp(q->name + len - strlen(looks), looks) == 0);
}

void td_client_questions_lost(struct td_client *c)
{
    struct td_question *q;

    DL_FOREACH(c->questions, q)
    {
        if (q->done || !q->sent || is_harmless(q))
            continue;
        q->done = true;
        q->code = TIDINGS_ETIMEDOUT;
        snprintf(q->text, sizeof(q->text),
                 "%s: the link was lost: it may have been done", q->name);
    }
}

void td_client_questions_ask(struct td_client *c)
{
    struct td_question *q;

    DL_FOREACH(c->questions, q)
    {
        if (!q->done)
            send_question(c, q);
    }
}

static struct td_question *find(struct td_client *c, enum td_op op,
                                uint64_t number)
{
    struct td_question *q;

    DL_FOREACH(c->questions, q)
    {
        if (q->op == op && q->number == number && !q->done)
            return q;
    }
    return NULL;
}

bool td_client_question_on_reply(struct td_client *c, const struct td_frame *f)
{
    struct td_question *q = find(c, TD_STATS, f->u.reply.request);

    if (!q)
        q = find(c, TD_CALL, f->u.reply.request);
    if (!q)
        return false;
    q->done = true;
    q->code = (tidings_err)f->u.reply.code;
    snprintf(q->text, sizeof(q->text), "%.*s", (int)f->u.reply.text.len,
             f->u.reply.text.data);
    q->result = malloc(f->u.reply.result.len);
    q->result_len = f->u.reply.result.len;
    if (q->result)
        memcpy(q->result, f->u.reply.result.data, q->result_len);
    else
        q->code = TIDINGS_ENOMEM;
    return true;
}

void td_client_on_pong(struct td_client *c, const struct td_frame *f)
{
    struct td_question *q = find(c, TD_PING, f->u.pong.token);
    struct td_csub *sub;

    if (q)
        q->done = true;
    if (f->u.pong.token <= c->pong || f->u.pong.token > c->next_request)
        return;
    c->pong = f->u.pong.token;
    DL_FOREACH(c->subs, sub)
    {
        td_settling_proved(&sub->settling, c->pong);
    }
}
