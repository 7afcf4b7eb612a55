#include "proto/id.h"

#include <string.h>
#include <xxhash.h>

#define PRODUCER_DIGITS 26
#define SEQUENCE_DIGITS 13

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford */

void td_producer_make(uint8_t out[TD_PRODUCER_BYTES], uint64_t unix_ms,
                      const uint8_t random[10])
{
    for (int i = 0; i < 6; i++)
        out[i] = (uint8_t)(unix_ms >> (40 - 8 * i));
    memcpy(out + 6, random, 10);
}

void td_producer_named(uint8_t out[TD_PRODUCER_BYTES], struct td_str name)
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(name.data, name.len));
    memcpy(out, canonical.digest, TD_PRODUCER_BYTES);
}

/* Five bits a digit, the lowest last. */
static void put_digits(char *out, int n, uint64_t value)
{
    while (n-- > 0) {
        out[n] = digits[value & 31];
        value >>= 5;
    }
}

static uint64_t big_endian(const uint8_t *p, int n)
{
    uint64_t value = 0;

    for (int i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

void td_id_format(char out[TD_ID_TEXT_BYTES + 1],
                  const uint8_t producer[TD_PRODUCER_BYTES], uint64_t sequence)
{
    /* 128 bits are 3 + 25 * 5: cut at multiples of 5 bytes, 8 digits each. */
    put_digits(out, 2, big_endian(producer, 1));
    put_digits(out + 2, 8, big_endian(producer + 1, 5));
    put_digits(out + 10, 8, big_endian(producer + 6, 5));
    put_digits(out + 18, 8, big_endian(producer + 11, 5));
    out[PRODUCER_DIGITS] = '-';
    put_digits(out + PRODUCER_DIGITS + 1, SEQUENCE_DIGITS, sequence);
    out[TD_ID_TEXT_BYTES] = '\0';
}

/* The digit after each, 0 after the last; I, L, O and U are none. */
static const char after[128] = {
    ['0'] = '1', ['1'] = '2', ['2'] = '3', ['3'] = '4', ['4'] = '5',
    ['5'] = '6', ['6'] = '7', ['7'] = '8', ['8'] = '9', ['9'] = 'A',
    ['A'] = 'B', ['B'] = 'C', ['C'] = 'D', ['D'] = 'E', ['E'] = 'F',
    ['F'] = 'G', ['G'] = 'H', ['H'] = 'J', ['J'] = 'K', ['K'] = 'M',
    ['M'] = 'N', ['N'] = 'P', ['P'] = 'Q', ['Q'] = 'R', ['R'] = 'S',
    ['S'] = 'T', ['T'] = 'V', ['V'] = 'W', ['W'] = 'X', ['X'] = 'Y',
    ['Y'] = 'Z',
};

void td_id_increment(char id[TD_ID_TEXT_BYTES + 1])
{
    for (int i = TD_ID_TEXT_BYTES - 1; i > PRODUCER_DIGITS; i--) {
        char next = after[id[i] & 127];

        if (next) {
            id[i] = next;
            return;
        }
        id[i] = digits[0];
    }
}
