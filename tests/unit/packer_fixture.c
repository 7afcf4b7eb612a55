#include "tests/unit/packer_fixture.h"

#include <stdlib.h>

const uint8_t producer[TD_PRODUCER_BYTES] = "fedcba987654321";
const uint8_t zeros[TD_DATA_BYTES_MAX];

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    td_packer_init(&f->packer, producer, td_str_of("/test"));
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;

    td_packer_fini(&f->packer);
    free(f);
    return 0;
}

tidings_err pack(struct fixture *f, const char *type, uint32_t flags,
                 int64_t time_us, size_t len)
{
    const struct td_packing event = {
        .type = td_str_of(type),
        .flags = flags,
        .time_us = time_us,
        .data = zeros,
        .len = len,
    };

    return td_packer_pack(&f->packer, &event);
}

const struct td_batch *decode(struct fixture *f, const struct td_outgoing *out)
{
    const struct td_str wire = {(const char *)out->wire, out->wire_len};
    const char *why = "";
    tidings_err err = td_batches_decode(&f->batches, wire, out->body->data,
                                        out->body->len, &why);

    if (err)
        print_error("%s\n", why);
    assert_ok(err);
    assert_int_equal(f->batches.len, 1);
    assert_int_equal(out->events, f->batches.events);
    assert_int_equal(out->bytes, f->batches.bytes);
    return &f->batches.batch[0];
}
