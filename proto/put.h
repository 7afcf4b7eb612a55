/* msgpack written where room has been made already, for what is hot; each value
 * in its shortest form, as msgpack-c writes it. */
#ifndef TD_PUT_H
#define TD_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/scan.h"

/* The longest that an integer, and the head of a str, can be. */
#define TD_PUT_INT_MAX 9u
#define TD_PUT_STR_MAX 5u

/* Written so that a compiler makes one store of it. */
static inline uint8_t *td_put_be16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
    return p + 2;
}

static inline uint8_t *td_put_be32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
    return p + 4;
}

static inline uint8_t *td_put_be64(uint8_t *p, uint64_t value)
{
    p[0] = (uint8_t)(value >> 56);
    p[1] = (uint8_t)(value >> 48);
    p[2] = (uint8_t)(value >> 40);
    p[3] = (uint8_t)(value >> 32);
    p[4] = (uint8_t)(value >> 24);
    p[5] = (uint8_t)(value >> 16);
    p[6] = (uint8_t)(value >> 8);
    p[7] = (uint8_t)value;
    return p + 8;
}

static inline uint8_t *td_put_uint(uint8_t *p, uint64_t value)
{
    if (value <= 0x7f) {
        *p++ = (uint8_t)value;
        return p;
    }
    if (value <= UINT8_MAX) {
        *p++ = 0xcc;
        *p++ = (uint8_t)value;
        return p;
    }
    if (value <= UINT16_MAX) {
        *p++ = 0xcd;
        return td_put_be16(p, (uint16_t)value);
    }
    if (value <= UINT32_MAX) {
        *p++ = 0xce;
        return td_put_be32(p, (uint32_t)value);
    }
    *p++ = 0xcf;
    return td_put_be64(p, value);
}

static inline uint8_t *td_put_int(uint8_t *p, int64_t value)
{
    if (value >= 0)
        return td_put_uint(p, (uint64_t)value);
    if (value >= -32) {
        *p++ = (uint8_t)value;
        return p;
    }
    if (value >= INT8_MIN) {
        *p++ = 0xd0;
        *p++ = (uint8_t)value;
        return p;
    }
    if (value >= INT16_MIN) {
        *p++ = 0xd1;
        return td_put_be16(p, (uint16_t)value);
    }
    if (value >= INT32_MIN) {
        *p++ = 0xd2;
        return td_put_be32(p, (uint32_t)value);
    }
    *p++ = 0xd3;
    return td_put_be64(p, (uint64_t)value);
}

/* len + TD_PUT_STR_MAX bytes at most. */
static inline uint8_t *td_put_str(uint8_t *p, struct td_str str)
{
    if (str.len <= 31) {
        *p++ = (uint8_t)(0xa0 | str.len);
    } else if (str.len <= UINT8_MAX) {
        *p++ = 0xd9;
        *p++ = (uint8_t)str.len;
    } else if (str.len <= UINT16_MAX) {
        *p++ = 0xda;
        p = td_put_be16(p, (uint16_t)str.len);
    } else {
        *p++ = 0xdb;
        p = td_put_be32(p, (uint32_t)str.len);
    }
    if (str.len > 0)
        memcpy(p, str.data, str.len);
    return p + str.len;
}

#endif
