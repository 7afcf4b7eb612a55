/* What callers are told, as it leaves the broker: each answer has its cause. */
#include "tests/sim/services_world.h"

#include "proto/option.h"

#include <string.h>

static bool is_of_given(struct svc *w, const struct svc_request *q,
                        struct td_str id)
{
    for (uint32_t i = 0; i < q->given_len; i++) {
        if (td_bytes_equal(id, td_str_of(w->known[q->given[i]].id)))
            return true;
    }
    return q->given_len == SVC_GIVEN;
}

static bool is_some_lost(struct svc *w, const struct svc_request *q)
{
    for (uint32_t i = 0; i < q->given_len; i++) {
        if (svc_known_is_lost(w, &w->known[q->given[i]]))
            return true;
    }
    return q->given_len == SVC_GIVEN;
}

/* By the broker itself. */
static void check_own(struct svc *w, const struct svc_request *q,
                      const struct td_response_row *row)
{
    switch (row->code) {
    case TIDINGS_ENORESPONDER:
        svc_seen(w, SVC_SEEN_NORESPONDER);
        SVC_CHECK(w, !q->certain, "request %u has nobody, and somebody is fit",
                  q->serial);
        break;
    case TIDINGS_EBREAKER:
        svc_seen(w, SVC_SEEN_BROKEN);
        SVC_CHECK(w, q->broken && !q->open,
                  "request %u meets a breaker, and there is none that is open",
                  q->serial);
        break;
    case TIDINGS_EFULL:
        svc_seen(w, SVC_SEEN_FULL);
        SVC_CHECK(w, !q->open, "request %u finds no room, and there is some",
                  q->serial);
        break;
    case TIDINGS_ELOST:
        svc_seen(w, SVC_SEEN_LOST);
        SVC_CHECK(w, is_some_lost(w, q),
                  "request %u is lost, and nobody who has it is", q->serial);
        break;
    default:
        SVC_CHECK(w, row->code == TIDINGS_ETIMEDOUT,
                  "the broker says of request %u: %s", q->serial,
                  tidings_err_name((tidings_err)row->code));
    }
}

static void check_row(struct svc *w, const struct svc_request *q,
                      const struct td_response_row *row)
{
    if (row->instance.len == 0) {
        check_own(w, q, row);
        return;
    }
    SVC_CHECK(w, is_of_given(w, q, row->instance),
              "request %u is answered by who was not given it", q->serial);
    SVC_CHECK(w, row->code != TIDINGS_ELOST || is_some_lost(w, q),
              "an instance that is there says that it has ended");
}

static void responded(struct svc *w, struct svc_link *link,
                      const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.response.list.data, f->u.response.list.len);
    struct td_response_row row;
    uint32_t rows;

    if (!td_read_array(&list, &rows))
        return;
    while (td_response_read(&list, &row)) {
        struct svc_request *q = svc_request_of(w, link, row.number);

        if (q) /* its caller waits for it still */
            check_row(w, q, &row);
    }
}

/* What is left is never less than nothing, and never more than there was. */
static void handed(struct svc *w, const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.handle.list.data, f->u.handle.list.len);
    struct td_handle_row row;
    uint32_t rows;

    if (!td_read_array(&list, &rows))
        return;
    while (td_handle_read(&list, &row))
        SVC_CHECK(w, row.left_ms >= 1 && row.left_ms <= TD_TIMEOUT_MS_MAX,
                  "a HANDLE leaves %llu ms", (ull)row.left_ms);
}

void svc_said(struct svc *w, struct svc_link *link, const struct td_frame *f)
{
    if (f->op == TD_RESPONSE)
        responded(w, link, f);
    else if (f->op == TD_BYE && f->u.bye.code == TIDINGS_ENOMEM)
        link->hurt = link->hurt || w->config.cramped;
    else if (f->op == TD_HANDLE)
        handed(w, f);
}
