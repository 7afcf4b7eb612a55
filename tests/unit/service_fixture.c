#include "tests/unit/service_fixture.h"

#include "broker/engine/task.h"
#include "proto/batch.h"
#include "tests/support/mp.h"

#include <string.h>

/* ---- instances ---- */

void instance_of(struct fixture *f, const char *peer, const char *name,
                 const char *version, const char *options)
{
    if (!session_of(f, peer))
        hello(f, peer);
    givef(f, peer, "[19 1 1 \"%s\" \"%s\" {\"id\" \"%s\" \"state\" 2 %s}]",
          name, version, peer, options);
    assert_int_equal(code_of_reply(f, peer), TIDINGS_OK);
}

void instance(struct fixture *f, const char *peer, const char *options)
{
    char all[512];

    snprintf(all, sizeof(all),
             "\"endpoints\" [{\"name\" \"get\" \"type\" \"user.get\" %s}]",
             options);
    instance_of(f, peer, "users", "1.0.0", all);
}

/* ---- asking ---- */

void ask_with(struct fixture *f, const char *peer, uint64_t number,
              const char *type, uint64_t flags, uint64_t left_ms, uint32_t size,
              const char *options)
{
    static uint8_t data[TD_DATA_BYTES_MAX];
    struct td_str none = {NULL, 0};
    size_t bytes = td_event_size(0, size, 0);
    struct td_buf b = {0};
    struct td_body *body;
    char text[1024];
    uint8_t *to;

    body = td_body_new(bytes, &to);
    assert_non_null(body);
    td_event_put(to, 0, data, size, none);
    snprintf(text, sizeof(text),
             "[22 \"/caller\" 5 [[%llu \"%s\" %llu %llu %zu %s]]]",
             (unsigned long long)number, type, (unsigned long long)flags,
             (unsigned long long)left_ms, bytes, options);
    td_mp(&b, text);
    message(f, peer, 2, &b, body);
    td_body_unref(body);
    td_buf_fini(&b);
}

void ask(struct fixture *f, const char *peer, uint64_t number)
{
    ask_with(f, peer, number, "user.get", 0, 1000, 8, "nil");
}

/* ---- answering ---- */

void answer_with(struct fixture *f, const char *peer, uint64_t task,
                 uint64_t code, uint64_t status, uint64_t held_us,
                 const char *data)
{
    struct td_answer_row row = {
        .task = task,
        .code = code,
        .status = status,
        .held_us = held_us,
        .took_us = held_us / 2,
        .bytes = strlen(data),
        .text = td_str_of(code ? "it failed" : ""),
    };
    struct td_frame frame = {.op = TD_ANSWER};
    struct td_body *body = td_body_copy(data, strlen(data));
    struct td_buf list = {0};
    struct td_buf b = {0};

    assert_non_null(body);
    td_list_begin(&list, 1);
    td_answer_append(&list, &row);
    frame.u.answer.list = (struct td_str){(const char *)list.data, list.len};
    td_frame_encode(&b, &frame);
    message(f, peer, 2, &b, body);
    td_body_unref(body);
    td_buf_fini(&list);
    td_buf_fini(&b);
}

void answer(struct fixture *f, const char *peer, uint64_t task)
{
    answer_with(f, peer, task, TIDINGS_OK, 0, 100, "pong");
}

uint32_t answer_all(struct fixture *f, const char *peer)
{
    struct td_handle_row row;
    uint32_t n = 0;

    while (handled(f, peer, n, &row)) {
        answer(f, peer, row.task);
        n++;
    }
    return n;
}

/* ---- what came ---- */

bool handled(struct fixture *f, const char *peer, uint32_t nth,
             struct td_handle_row *row)
{
    struct sent *s;

    for (uint32_t i = 0; (s = find(f, peer, TD_HANDLE, i)); i++) {
        struct td_str raw = s->frame.u.handle.list;
        struct td_reader list = td_reader_of(raw.data, raw.len);
        size_t bytes = 0;
        uint32_t n;

        assert_true(td_read_array(&list, &n) && n > 0);
        for (uint32_t k = 0; k < n; k++) {
            assert_true(td_handle_read(&list, row));
            bytes += row->bytes;
            if (nth-- == 0)
                return true;
        }
        assert_int_equal(bytes, s->body->len);
    }
    return false;
}

uint32_t handled_count(struct fixture *f, const char *peer)
{
    struct td_handle_row row;
    uint32_t n = 0;

    while (handled(f, peer, n, &row))
        n++;
    return n;
}

bool responded(struct fixture *f, const char *peer, uint32_t nth,
               struct td_response_row *row, struct td_str *data)
{
    struct sent *s;

    for (uint32_t i = 0; (s = find(f, peer, TD_RESPONSE, i)); i++) {
        struct td_str raw = s->frame.u.response.list;
        struct td_reader list = td_reader_of(raw.data, raw.len);
        size_t bytes = 0;
        uint32_t n;

        assert_true(td_read_array(&list, &n) && n > 0);
        for (uint32_t k = 0; k < n; k++) {
            assert_true(td_response_read(&list, row));
            *data = (struct td_str){(const char *)s->body->data + bytes,
                                    row->bytes};
            bytes += row->bytes;
            assert_true(bytes <= s->body->len);
            if (nth-- == 0)
                return true;
        }
        assert_int_equal(bytes, s->body->len);
    }
    return false;
}

uint32_t responded_count(struct fixture *f, const char *peer)
{
    struct td_response_row row;
    struct td_str data;
    uint32_t n = 0;

    while (responded(f, peer, n, &row, &data))
        n++;
    return n;
}

tidings_err code_to(struct fixture *f, const char *peer, uint64_t number)
{
    struct td_response_row row;
    struct td_str data;
    tidings_err code = TIDINGS_OK;
    uint32_t found = 0;

    for (uint32_t i = 0; responded(f, peer, i, &row, &data); i++) {
        if (row.number != number)
            continue;
        code = (tidings_err)row.code;
        found++;
    }
    assert_int_equal(found, 1);
    return code;
}

/* ---- the judge ---- */

const struct td_request_counts *counts(struct fixture *f)
{
    return &f->engine->serving.count;
}

/* What all sessions have in hand. */
static void judge_sessions(struct fixture *f)
{
    const struct td_serving *sv = &f->engine->serving;
    const struct td_asking *asking;
    struct td_session *s;
    uint64_t tasks = 0;
    size_t bytes = 0;
    size_t out = 0;
    uint64_t asked;

    for (s = f->engine->sessions; s; s = s->hh.next) {
        const struct td_instance *i;
        const struct td_task *task;

        DL_FOREACH2(s->serving.instances, i, session_next)
        {
            uint32_t n = 0;

            DL_FOREACH(i->tasks, task)
            {
                assert_ptr_equal(task->instance, i);
                n++;
            }
            assert_int_equal(n, i->in_flight);
            assert_true(i->there || n > 0);
            for (uint32_t k = 0; k < i->endpoints_len; k++)
                assert_true(i->endpoints[k].candidate.in_flight <=
                            i->endpoints[k].max_in_flight);
            tasks += n;
        }
        bytes += s->bundles.bytes;
        out += s->bundles.out_bytes;
        assert_true(s->bundles.out_late_bytes <= s->bundles.out_bytes);
        asked = 0;
        DL_FOREACH(s->serving.askings, asking)
        {
            asked += asking->out;
        }
        assert_int_equal(s->serving.asked, asked);
    }
    assert_int_equal(tasks, sv->tasks.len);
    assert_int_equal(bytes, sv->bundling.bytes);
    assert_int_equal(out, sv->bundling.out_bytes);
}

void judge_requests(struct fixture *f)
{
    const struct td_serving *sv = &f->engine->serving;
    const struct td_request_counts *c = &sv->count;

    assert_int_equal(c->accepted, c->answered + c->errors + c->timeouts +
                                      c->lost + c->in_flight);
    assert_true(c->in_flight <= sv->askings.len);
    assert_int_equal(sv->heap_len, sv->askings.len);
    judge_sessions(f);
}
