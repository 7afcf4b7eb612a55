/* Answers to requests: all of a RESPONSE is judged before any of it is believed,
 * and each row finds whoever asked, or nobody any more. */
#include "client/session_internal.h"

#include "proto/limits.h"

static bool read_row(struct td_reader *list, struct td_response_row *row,
                     const char **why)
{
    *why = "RESPONSE with a malformed row";
    if (!td_response_read(list, row))
        return false;
    *why = "RESPONSE with a status beyond 999";
    if (row->status > TD_STATUS_MAX)
        return false;
    *why = "RESPONSE from an instance with too long an id";
    return row->instance.len <= TD_INSTANCE_BYTES_MAX;
}

/* The whole list, before any of it is believed. */
static const char *wrong_with(struct td_requests *q, struct td_str list,
                              size_t body_len)
{
    struct td_reader r = td_reader_of(list.data, list.len);
    struct td_response_row row;
    uint64_t left = body_len;
    uint32_t rows;
    const char *why;
    bool asked;

    if (!td_read_array(&r, &rows) || rows == 0 || rows > TD_ROWS_MAX)
        return "RESPONSE of no rows, or too many";
    while (rows-- > 0) {
        if (!read_row(&r, &row, &why))
            return why;
        if (row.bytes > left)
            return "RESPONSE with more bytes than its body";
        left -= row.bytes;
        if (!td_requests_find(q, row.number, &asked) && !asked)
            return "answered what was never asked";
    }
    return left > 0 ? "RESPONSE with fewer bytes than its body" : NULL;
}

/* Whose asker is called, or hears many: the answer waits until he has time. */
static bool is_kept(const struct td_request *r)
{
    return r->timed || td_request_is_many(r);
}

/* There is no room to keep it: the asker is told so, without the data. */
static void strip(struct td_response *response, bool many)
{
    static const char full[] =
        "it was answered, but its callbacks have not heard as many answers as "
        "a bus keeps: the data of this one had to go";

    response->code = TIDINGS_ELOST; /* it has been done */
    response->status = 0;
    response->text = td_str_of(full);
    response->data = (struct td_str){NULL, 0};
    if (many)
        return;
    response->instance = (struct td_str){NULL, 0};
    response->own = true; /* nothing of it is the message's */
}

static void take_answer(struct td_client *c, const struct td_response_row *row,
                        struct td_response *response, bool full)
{
    const struct td_client_port *port = &c->options.port;
    struct td_requests *q = &c->requests;
    bool unused;
    struct td_request *r = td_requests_find(q, row->number, &unused);
    bool stripped = full && r && is_kept(r) && response->data.len > 0;

    if (stripped)
        strip(response, td_request_is_many(r));
    if (!r)
        q->info.late++;
    else if (td_request_is_many(r) && response->left > 0)
        port->answered(port->ctx, r, response);
    else if (stripped || !td_request_again(c, r, response))
        td_request_end(c, r, response);
}

tidings_err td_client_on_response(struct td_client *c, const struct td_frame *f,
                                  const struct td_body *body)
{
    const struct td_str *list = &f->u.response.list;
    struct td_reader r = td_reader_of(list->data, list->len);
    const char *why = wrong_with(&c->requests, *list, body->len);
    const char *p = (const char *)body->data;
    bool full = c->requests.kept + body->len > TD_RESPONSES_BYTES;
    struct td_response_row row;
    uint32_t rows = 0;

    if (why)
        return td_client_breach(c, why);
    td_client_count_message(c, body->len);
    td_requests_at(&c->requests, c->now_ms);
    td_read_array(&r, &rows);
    while (rows-- > 0 && td_response_read(&r, &row)) {
        struct td_response response = {
            .code = (tidings_err)row.code,
            .status = row.code == TIDINGS_EREMOTE ? (int)row.status : 0,
            .text = row.text,
            .data = {p, row.bytes},
            .instance = row.instance,
            .left = row.left,
        };

        take_answer(c, &row, &response, full);
        p += row.bytes;
    }
    return TIDINGS_OK;
}
