/* The head of an event; the rest is filling that is checked at its end. */
#ifndef TESTS_BENCH_STAMP_H
#define TESTS_BENCH_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STAMP_FILLING 0x5a

struct stamp {
    uint64_t number;
    int64_t sent_ns;
};

/* False if these are not the bytes of an event of ours. */
static inline bool stamp_read(struct stamp *out, const void *data, size_t len,
                              size_t expected_len)
{
    if (len != expected_len)
        return false;
    memcpy(out, data, sizeof(*out));
    return len == sizeof(*out) ||
           ((const unsigned char *)data)[len - 1] == STAMP_FILLING;
}

#endif
