/* Numbers in keys and values of the store: big-endian. */
#ifndef TD_BYTES_H
#define TD_BYTES_H

#include <stdint.h>

#include "proto/scan.h"

static inline uint8_t *td_put_u32(uint8_t *p, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(value >> shift);
    return p;
}

static inline uint8_t *td_put_u64(uint8_t *p, uint64_t value)
{
    return td_put_u32(td_put_u32(p, (uint32_t)(value >> 32)), (uint32_t)value);
}

static inline uint32_t td_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static inline uint64_t td_get_u64(const uint8_t *p)
{
    return (uint64_t)td_get_u32(p) << 32 | td_get_u32(p + 4);
}

static inline const uint8_t *td_bytes_of(struct td_str s)
{
    return (const uint8_t *)s.data;
}

#endif
