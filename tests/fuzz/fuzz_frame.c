/* Control frames: what decodes, encodes to bytes that decode to the same.
 * Input: a byte whose lowest bit says whose frame it is, then the frame. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "proto/frame.h"
#include "proto/limits.h"

/* The rows of a CREDIT, read as the broker does. */
static void read_credit(struct td_str list)
{
    struct td_reader r = td_reader_of(list.data, list.len);
    struct td_credit row;
    uint32_t rows;

    FUZZ_CHECK(td_read_array(&r, &rows));
    while (rows-- > 0 && td_credit_read(&r, &row))
        FUZZ_CHECK(row.bytes_limit <= INT64_MAX);
    FUZZ_CHECK(r.p <= r.end);
}

static void read_options(struct td_str map)
{
    struct td_str str = {NULL, 0};
    uint64_t number = 0;

    td_map_uint(map, "events", &number);
    td_map_str(map, "policy", &str);
    FUZZ_CHECK(number <= INT64_MAX);
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
    if (frame.op == TD_CREDIT)
        read_credit(frame.u.credit.list);
    if (frame.op == TD_SUBSCRIBE)
        read_options(frame.u.subscribe.options);
    encode_again(&frame, from_client);
    return 0;
}
