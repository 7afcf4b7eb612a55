/* Requests and services: four peers that serve, ask, answer, say what they have
 * read and leave, as the input says, and now and then send what is none of it.
 * Each request is answered once, with a row for each instance if it asked many,
 * and in the end nothing is left.
 * Input: steps (services_steps.c), each a byte for who and what, and the bytes
 * that it takes. */
#include "tests/fuzz/services.h"

#include <string.h>

#define MEMORY 1000000 /* so that bounds are met */

struct world w;

/* ---- what the engine sends ---- */

static uint32_t rows_of(struct td_str list, struct td_reader *rows)
{
    uint32_t n;

    *rows = td_reader_of(list.data, list.len);
    FUZZ_CHECK(td_read_array(rows, &n) && n >= 1 && n <= TD_ROWS_MAX);
    return n;
}

static size_t take_handles(struct peer *peer, struct td_str list)
{
    struct td_reader rows;
    size_t bytes = 0;

    for (uint32_t n = rows_of(list, &rows); n > 0; n--) {
        struct td_handle_row row;

        FUZZ_CHECK(td_handle_read(&rows, &row));
        FUZZ_CHECK(row.left_ms >= 1 && row.left_ms <= LEFT_MS);
        peer->tasks[peer->tasks_len++ % TASKS] = row.task;
        bytes += row.bytes;
    }
    return bytes;
}

static size_t take_responses(struct peer *peer, struct td_str list)
{
    struct td_reader rows;
    size_t bytes = 0;

    for (uint32_t n = rows_of(list, &rows); n > 0; n--) {
        struct td_response_row row;

        FUZZ_CHECK(td_response_read(&rows, &row));
        FUZZ_CHECK(row.number < NUMBERS && peer->asked[row.number]);
        FUZZ_CHECK(row.left == 0 || peer->many[row.number]);
        peer->asked[row.number] -= row.left == 0;
        bytes += row.bytes;
    }
    return bytes;
}

static bool take_message(void *ctx, struct td_str name, const void *control,
                         size_t len, struct td_body *body)
{
    struct peer *peer = &w.peers[name.data[0] - 'a'];
    struct td_frame f;
    const char *why;
    size_t bytes = 0;

    (void)ctx;
    FUZZ_CHECK(!td_frame_decode(&f, control, len, false, &why));
    if (f.op == TD_WELCOME || f.op == TD_BYE)
        *peer = (struct peer){.here = f.op == TD_WELCOME};
    if (f.op == TD_HANDLE)
        bytes = take_handles(peer, f.u.handle.list);
    if (f.op == TD_RESPONSE)
        bytes = take_responses(peer, f.u.response.list);
    if (f.op != TD_HANDLE && f.op != TD_RESPONSE)
        return true;
    FUZZ_CHECK(body && body->len == bytes);
    peer->messages++;
    return true;
}

/* ---- judging ---- */

static void judge(void)
{
    const struct td_serving *sv = &w.engine->serving;
    const struct td_request_counts *c = &sv->count;
    size_t bytes = 0, out = 0;
    uint32_t tasks = 0;

    for (struct td_session *s = w.engine->sessions; s; s = s->hh.next) {
        bytes += s->bundles.bytes;
        out += s->bundles.out_bytes;
        tasks += s->serving.tasks;
    }
    FUZZ_CHECK(bytes == sv->bundling.bytes && out == sv->bundling.out_bytes);
    FUZZ_CHECK(tasks == sv->tasks.len);
    FUZZ_CHECK(c->accepted ==
               c->answered + c->errors + c->timeouts + c->lost + c->in_flight);
}

/* All deadlines pass, and all is read: nobody is owed anything. */
static void judge_end(void)
{
    w.now += LEFT_MS + 1;
    for (unsigned i = 0; i < 64; i++) {
        td_engine_flush(w.engine, w.now);
        for (unsigned p = 0; p < PEERS; p++)
            say_read(p);
    }
    td_engine_flush(w.engine, w.now);
    FUZZ_CHECK(w.engine->serving.tasks.len == 0);
    FUZZ_CHECK(w.engine->serving.askings.len == 0);
    FUZZ_CHECK(td_bundling_bytes(w.engine) == 0);
    for (unsigned p = 0; p < PEERS; p++) {
        for (unsigned n = 0; n < NUMBERS; n++)
            FUZZ_CHECK(!w.peers[p].here || !w.peers[p].asked[n]);
    }
    judge();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct td_engine_options options = {
        .epoch = 1, .seed = 2, .memory_bytes = MEMORY, .grace_ms = -1};

    options.port.send = take_message;
    w.now = 1000;
    w.p = data;
    w.end = data + len;
    memset(w.peers, 0, sizeof(w.peers));
    FUZZ_CHECK(!td_engine_new(&w.engine, &options, w.now));
    while (w.p < w.end) {
        step();
        judge();
    }
    judge_end();
    td_engine_free(w.engine);
    return 0;
}
