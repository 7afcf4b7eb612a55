#include "tests/unit/request_fixture.h"

#include <inttypes.h>

struct td_request plain(struct fixture *f, const char *type)
{
    return (struct td_request){.type = td_str_of(type),
                               .data = {"12345", 5},
                               .time_us = 7,
                               .timed = true,
                               .attempts_max = 1,
                               .deadline_ms = f->now + MS,
                               .timeout_ms = MS};
}

struct td_request again(struct fixture *f, unsigned attempts)
{
    struct td_request r = plain(f, "a.b");

    r.idempotent = true;
    r.attempts_max = attempts;
    return r;
}

void ask(struct fixture *f, struct td_request *r)
{
    assert_ok(td_client_request(&f->client, r, f->now));
}

tidings_err respond_with(struct fixture *f, const struct td_request *r,
                         unsigned code, unsigned status, unsigned left)
{
    char text[100];

    snprintf(text, sizeof(text),
             "[25 [[%" PRIu64 " %u %u 0 \"so\" %u \"i-1\"]]]", r->number, code,
             status, left);
    return give_body(f, text);
}

tidings_err respond_data(struct fixture *f, const struct td_request *r,
                         unsigned bytes, unsigned left)
{
    char text[100];

    snprintf(text, sizeof(text), "[25 [[%" PRIu64 " 0 0 %u \"\" %u \"i-1\"]]]",
             r->number, bytes, left);
    return give_bytes(f, text, bytes);
}

void respond(struct fixture *f, const struct td_request *r, unsigned code,
             unsigned status)
{
    assert_ok(respond_with(f, r, code, status, 0));
}

uint32_t rows_of(const struct td_frame *frame)
{
    struct td_reader r =
        td_reader_of(frame->u.request.list.data, frame->u.request.list.len);
    uint32_t rows = 0;

    assert_true(td_read_array(&r, &rows));
    return rows;
}

struct td_request_row row(struct fixture *f, uint32_t nth)
{
    const struct td_frame *sent = frame(f, TD_REQUEST, nth);
    struct td_reader r =
        td_reader_of(sent->u.request.list.data, sent->u.request.list.len);
    struct td_request_row out;
    uint32_t rows;

    assert_true(td_read_array(&r, &rows) && td_request_read(&r, &out));
    return out;
}

void at(struct fixture *f, int64_t ms)
{
    f->now += ms;
    tick(f);
}

int64_t until_sent(struct fixture *f, const struct td_request *r)
{
    int64_t from = f->now;

    forget(f);
    while (r->state != TD_REQUEST_SENT) {
        assert_int_not_equal(r->state, TD_REQUEST_DONE);
        assert_true(f->now - from < 2000);
        at(f, 1);
    }
    return f->now - from;
}

void drop(struct fixture *f)
{
    uint32_t from = 0;

    while (td_client_take_request(&f->client, &from))
        ;
}
