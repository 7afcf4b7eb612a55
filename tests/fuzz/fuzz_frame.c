/* Control frames: what decodes, encodes to bytes that decode to the same.
 * Input: a byte whose lowest bit says whose frame it is, then the frame. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/stream.h"

/* Each reads one row as a peer does, and checks what the reader promises. */
static bool read_credit(struct td_reader *list)
{
    struct td_credit row;

    if (!td_credit_read(list, &row))
        return false;
    FUZZ_CHECK(row.bytes_limit <= INT64_MAX);
    return true;
}

static bool read_span(struct td_reader *list)
{
    struct td_span row;

    if (!td_span_read(list, &row))
        return false;
    FUZZ_CHECK(row.count >= 1 && row.deliveries >= 1);
    return true;
}

static bool read_confirm(struct td_reader *list)
{
    struct td_confirm row;

    if (!td_confirm_read(list, &row))
        return false;
    FUZZ_CHECK(row.count >= 1 && row.code <= INT32_MAX);
    return true;
}

static bool read_settle(struct td_reader *list)
{
    struct td_settle row;

    if (!td_settle_read(list, &row))
        return false;
    FUZZ_CHECK(row.verb >= TD_ACK && row.verb < TD_VERBS_END);
    FUZZ_CHECK(row.first >= 1 && row.last >= row.first);
    FUZZ_CHECK(row.reason.len <= TD_REASON_BYTES_MAX);
    return true;
}

static bool read_settled(struct td_reader *list)
{
    struct td_settled row;

    if (!td_settled_read(list, &row))
        return false;
    FUZZ_CHECK(row.last >= row.first && row.code <= INT32_MAX);
    return true;
}

static bool read_request(struct td_reader *list)
{
    struct td_request_row row;

    if (!td_request_read(list, &row))
        return false;
    FUZZ_CHECK(row.left_ms >= 1 && row.left_ms <= TD_TIMEOUT_MS_MAX);
    FUZZ_CHECK((row.flags & ~TD_REQUEST_FLAGS_ALL) == 0);
    return true;
}

static bool read_handle(struct td_reader *list)
{
    struct td_handle_row row;

    return td_handle_read(list, &row);
}

static bool read_answer(struct td_reader *list)
{
    struct td_answer_row row;

    if (!td_answer_read(list, &row))
        return false;
    FUZZ_CHECK(row.code <= INT32_MAX && row.status <= TD_STATUS_MAX);
    FUZZ_CHECK(row.text.len <= TD_ANSWER_TEXT_BYTES_MAX);
    return true;
}

static bool read_response(struct td_reader *list)
{
    struct td_response_row row;

    return td_response_read(list, &row);
}

static void read_list(struct td_str list, bool (*read)(struct td_reader *list))
{
    struct td_reader r = td_reader_of(list.data, list.len);
    uint32_t rows;

    FUZZ_CHECK(td_read_array(&r, &rows));
    while (rows-- > 0 && read(&r))
        FUZZ_CHECK(r.p <= r.end);
}

static bool read_part(struct td_reader *list)
{
    struct td_part part;

    if (!td_part_read(list, &part))
        return false;
    if (part.spans.len > 0)
        read_list(part.spans, read_span);
    return true;
}

static void read_rows(const struct td_frame *frame)
{
    if (frame->op == TD_CREDIT)
        read_list(frame->u.credit.list, read_credit);
    if (frame->op == TD_DELIVER)
        read_list(frame->u.deliver.parts, read_part);
    if (frame->op == TD_CONFIRM)
        read_list(frame->u.confirm.list, read_confirm);
    if (frame->op == TD_SETTLE)
        read_list(frame->u.settle.list, read_settle);
    if (frame->op == TD_SETTLED)
        read_list(frame->u.settled.list, read_settled);
    if (frame->op == TD_REQUEST)
        read_list(frame->u.request.list, read_request);
    if (frame->op == TD_HANDLE)
        read_list(frame->u.handle.list, read_handle);
    if (frame->op == TD_ANSWER)
        read_list(frame->u.answer.list, read_answer);
    if (frame->op == TD_RESPONSE)
        read_list(frame->u.response.list, read_response);
}

/* What is read as a stream's options packs to what reads the same. */
static void read_stream(struct td_str map)
{
    struct td_stream_options o;
    struct td_stream_options again;
    struct td_buf b = {0};

    if (td_stream_options_read(&o, map))
        return;
    td_stream_options_pack(&b, &o);
    FUZZ_CHECK(!b.failed);
    map.data = (const char *)b.data;
    map.len = b.len;
    FUZZ_CHECK(!td_stream_options_read(&again, map));
    FUZZ_CHECK(td_stream_options_equal(&o, &again));
    td_buf_fini(&b);
}

/* The same of a group's. */
static void read_group(struct td_str map)
{
    struct td_durable_options o;
    struct td_durable_options again;
    struct td_buf b = {0};

    if (td_durable_options_read(&o, map, NULL) || o.group.len == 0)
        return;
    td_durable_options_pack(&b, &o);
    FUZZ_CHECK(!b.failed);
    map.data = (const char *)b.data;
    map.len = b.len;
    FUZZ_CHECK(!td_durable_options_read(&again, map, NULL));
    FUZZ_CHECK(!td_durable_options_differ(&o, &again, ~0u));
    FUZZ_CHECK(again.start.time_ms == o.start.time_ms);
    td_buf_fini(&b);
}

static void read_options(struct td_str map)
{
    struct td_str str = {NULL, 0};
    uint64_t number = 0;

    td_map_uint(map, "events", &number);
    td_map_str(map, "policy", &str);
    FUZZ_CHECK(number <= INT64_MAX);
    read_stream(map);
    read_group(map);
}

static void encode_again(const struct td_frame *frame, bool from_client)
{
    struct td_buf once = {0};
    struct td_buf twice = {0};
    struct td_frame again;
    const char *why;

    td_frame_encode(&once, frame);
    FUZZ_CHECK(!once.failed);
    FUZZ_CHECK(td_frame_decode(&again, once.data, once.len, from_client,
                               &why) == TIDINGS_OK);
    FUZZ_CHECK(again.op == frame->op);
    td_frame_encode(&twice, &again);
    FUZZ_CHECK(twice.len == once.len);
    FUZZ_CHECK(memcmp(twice.data, once.data, once.len) == 0);
    td_buf_fini(&once);
    td_buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct td_frame frame;
    const char *why = NULL;
    bool from_client;

    if (len < 2)
        return 0;
    from_client = data[0] & 1;
    if (td_frame_decode(&frame, data + 1, len - 1, from_client, &why)) {
        FUZZ_CHECK(why);
        return 0;
    }
    read_rows(&frame);
    if (frame.op == TD_SUBSCRIBE)
        read_options(frame.u.subscribe.options);
    if (frame.op == TD_CALL)
        read_options(frame.u.call.options);
    encode_again(&frame, from_client);
    return 0;
}
