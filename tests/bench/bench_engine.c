/* What requests cost in the broker's engine alone: REQUEST to HANDLE, ANSWER to
 * RESPONSE, without sockets and threads.
 *
 *     bench_engine [INSTANCES [ENDPOINTS]]
 *
 * Prints, for messages of 1, 16 and 256 rows, the nanoseconds of processor time
 * of one request there and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <msgpack.h>

#include "broker/engine/engine.h"
#include "proto/batch.h"
#include "proto/frame.h"

#define ROWS_MAX 256u
#define TOTAL    (1u << 20) /* requests of each size */

struct world {
    struct td_engine *engine;
    struct td_buf handle; /* the last HANDLEs, one after the other … */
    size_t ends[1024];    /* … and where each ends, and whose it is */
    char peers[1024];
    unsigned handles;
    uint64_t responses; /* messages */
};

/* Of the processor, whatever else runs on it. */
static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t clock_cost; /* which is taken off each time */

static void measure_clock(void)
{
    int64_t begun = now_ns();

    for (int i = 0; i < 100000; i++)
        clock_cost = now_ns();
    clock_cost = (clock_cost - begun) / 100000;
}

static bool take(void *ctx, struct td_str peer, const void *control, size_t len,
                 struct td_body *body)
{
    struct world *w = ctx;

    (void)body;
    if (((const uint8_t *)control)[1] == TD_RESPONSE)
        w->responses++;
    if (((const uint8_t *)control)[1] != TD_HANDLE)
        return true;
    td_buf_append(&w->handle, control, len);
    w->peers[w->handles] = peer.data[0];
    w->ends[w->handles++] = w->handle.len;
    return true;
}

static void give(struct world *w, char peer, const struct td_frame *f,
                 struct td_body *body)
{
    struct td_buf b = {0};

    td_frame_encode(&b, f);
    td_engine_message(w->engine, (struct td_str){&peer, 1}, body ? 2 : 1,
                      b.data, b.len, body, 1000);
    td_buf_fini(&b);
}

static void greet(struct world *w, char peer)
{
    char producer[TD_PRODUCER_BYTES];
    struct td_frame f = {.op = TD_HELLO};

    memset(producer, peer, sizeof(producer));
    f.u.hello.magic = td_str_of("tidings");
    f.u.hello.version_min = f.u.hello.version_max = 1;
    f.u.hello.producer = (struct td_str){producer, sizeof(producer)};
    f.u.hello.name = td_str_of("bench");
    f.u.hello.options = td_empty_map;
    give(w, peer, &f, NULL);
}

static void pack(msgpack_packer *pk, const char *text)
{
    msgpack_pack_str_with_body(pk, text, strlen(text));
}

static void serve(struct world *w, char peer, unsigned endpoints)
{
    struct td_frame f = {.op = TD_SERVE};
    struct td_buf options = {0};
    msgpack_packer pk;
    char type[32];

    msgpack_packer_init(&pk, &options, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    pack(&pk, "state");
    msgpack_pack_int(&pk, TD_HEALTH_RUNNING);
    pack(&pk, "endpoints");
    msgpack_pack_array(&pk, endpoints);
    for (unsigned i = 0; i < endpoints; i++) {
        snprintf(type, sizeof(type), "user.get.%u", i);
        msgpack_pack_map(&pk, 2);
        pack(&pk, "name");
        pack(&pk, "get");
        pack(&pk, "type");
        pack(&pk, type);
    }
    f.u.serve.request = f.u.serve.service = 1;
    f.u.serve.name = td_str_of("users");
    f.u.serve.version = td_str_of("1.0.0");
    f.u.serve.options =
        (struct td_str){(const char *)options.data, options.len};
    give(w, peer, &f, NULL);
    td_buf_fini(&options);
}

/* Encoded messages, so that only the engine is timed. */
struct message {
    struct td_buf control;
    struct td_body *body;
};

static struct message request_of(unsigned rows, uint64_t *number,
                                 unsigned endpoints)
{
    struct td_frame f = {.op = TD_REQUEST};
    struct td_str none = {NULL, 0};
    size_t bytes = td_event_size(0, 128, 0);
    static uint8_t data[128];
    struct message m = {0};
    struct td_buf list = {0};
    char type[32];
    uint8_t *to;

    m.body = td_body_new(bytes * rows, &to);
    td_list_begin(&list, rows);
    for (unsigned i = 0; i < rows; i++) {
        struct td_request_row row = {
            .number = ++*number, .left_ms = 5000, .bytes = bytes};

        snprintf(type, sizeof(type), "user.get.%u", i % endpoints);
        row.type = td_str_of(type);
        td_request_append(&list, &row);
        to = td_event_put(to, 0, data, sizeof(data), none);
    }
    f.u.request.source = td_str_of("/bench");
    f.u.request.list = (struct td_str){(const char *)list.data, list.len};
    td_frame_encode(&m.control, &f);
    td_buf_fini(&list);
    return m;
}

/* Of one HANDLE. */
static struct message answer_of(const uint8_t *control, size_t len)
{
    static uint8_t data[ROWS_MAX * 128];
    struct td_frame f = {.op = TD_ANSWER};
    struct td_frame handle;
    struct td_reader rows;
    struct message m = {0};
    struct td_buf list = {0};
    const char *why;
    uint32_t n = 0;

    if (td_frame_decode(&handle, control, len, false, &why))
        abort();
    rows = td_reader_of(handle.u.handle.list.data, handle.u.handle.list.len);
    td_read_array(&rows, &n);
    td_list_begin(&list, n);
    for (uint32_t i = 0; i < n; i++) {
        struct td_answer_row row = {.held_us = 10, .took_us = 5, .bytes = 128};
        struct td_handle_row h;

        td_handle_read(&rows, &h);
        row.task = h.task;
        row.text = td_str_of("");
        td_answer_append(&list, &row);
    }
    m.body = td_body_copy(data, n * 128);
    f.u.answer.list = (struct td_str){(const char *)list.data, list.len};
    td_frame_encode(&m.control, &f);
    td_buf_fini(&list);
    return m;
}

static int64_t give_timed(struct world *w, char peer, struct message *m)
{
    int64_t begun = now_ns();
    int64_t took;

    td_engine_message(w->engine, (struct td_str){&peer, 1}, 2, m->control.data,
                      m->control.len, m->body, 1000);
    took = now_ns() - begun - clock_cost;
    td_buf_fini(&m->control);
    td_body_unref(m->body);
    return took;
}

static int64_t flush(struct world *w)
{
    int64_t begun = now_ns();

    td_engine_flush(w->engine, 1000);
    return now_ns() - begun - clock_cost;
}

/* Both sides say that they have read what they were sent. */
static void credit(struct world *w, char peer, uint64_t messages)
{
    struct td_frame f = {.op = TD_CREDIT};
    uint8_t empty = 0x90;

    f.u.credit.messages = messages;
    f.u.credit.list = (struct td_str){(const char *)&empty, 1};
    give(w, peer, &f, NULL);
}

static void measure(unsigned rows, unsigned instances, unsigned endpoints)
{
    struct td_engine_options options = {.epoch = 1, .seed = 2};
    struct world w = {0};
    uint64_t read[256] = {0};
    uint64_t number = 0;
    int64_t there = 0;
    int64_t back = 0;

    options.port.send = take;
    options.port.ctx = &w;
    if (td_engine_new(&w.engine, &options, 1000))
        abort();
    greet(&w, 'c');
    for (unsigned i = 0; i < instances; i++) {
        greet(&w, (char)(128 + i));
        serve(&w, (char)(128 + i), endpoints);
    }
    for (unsigned done = 0; done < TOTAL; done += rows) {
        struct message m = request_of(rows, &number, endpoints);
        size_t at = 0;

        td_buf_reset(&w.handle);
        w.handles = 0;
        there += give_timed(&w, 'c', &m);
        there += flush(&w);
        for (unsigned i = 0; i < w.handles; i++) {
            unsigned peer = (uint8_t)w.peers[i];

            m = answer_of(w.handle.data + at, w.ends[i] - at);
            at = w.ends[i];
            back += give_timed(&w, w.peers[i], &m);
            credit(&w, w.peers[i], ++read[peer]);
        }
        back += flush(&w);
        credit(&w, 'c', w.responses);
    }
    printf("%4u rows: %5.0f ns there, %5.0f ns back\n", rows,
           (double)there / TOTAL, (double)back / TOTAL);
    td_engine_free(w.engine);
    td_buf_fini(&w.handle);
}

int main(int argc, char **argv)
{
    unsigned instances = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
    unsigned endpoints = argc > 2 ? (unsigned)atoi(argv[2]) : 4;

    if (instances < 1 || instances > 64 || endpoints < 1 || endpoints > 64) {
        fprintf(stderr, "usage: bench_engine [INSTANCES [ENDPOINTS]]: 1..64\n");
        return 2;
    }
    measure_clock();
    for (unsigned rows = 1; rows <= ROWS_MAX; rows *= 16)
        measure(rows, instances, endpoints);
    return 0;
}
