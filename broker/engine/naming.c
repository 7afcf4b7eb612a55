#include "broker/engine/naming.h"

#include <string.h>
#include <xxhash.h>

#include "broker/engine/append.h"
#include "proto/batch.h"
#include "proto/type.h"

/* ---- hashes ---- */

/* What follows the time of an event that lies whole at p; one that is not of
 * the shape of an event is taken as it is. */
static struct td_str timeless(const uint8_t *event, size_t len)
{
    struct td_reader r = {event, event + len};
    struct td_str content;
    uint32_t fields;
    int64_t dt_us;

    if (!td_read_bin(&r, &content))
        return (struct td_str){(const char *)event, len};
    r = td_reader_of(content.data, content.len);
    if (!td_read_array(&r, &fields) || !td_read_int(&r, &dt_us))
        return content;
    return (struct td_str){(const char *)r.p, (size_t)(r.end - r.p)};
}

uint64_t td_print_hash(struct td_str type, const uint8_t *event, size_t len)
{
    struct td_str rest = timeless(event, len);

    return XXH3_64bits_withSeed(rest.data, rest.len,
                                XXH3_64bits(type.data, type.len));
}

/* ---- prints ---- */

void td_naming_init(struct td_naming *n, struct td_str name)
{
    memset(n, 0, sizeof(*n));
    memcpy(n->name, name.data, name.len);
    n->from = 1;
}

/* Where the sequence is, or would be. */
static uint32_t print_at(const struct td_naming *n, uint64_t sequence)
{
    uint32_t i = n->len; /* it is mostly the last */

    while (i > 0 && n->prints[i - 1].sequence >= sequence)
        i--;
    return i;
}

static void remove_first(struct td_naming *n, uint32_t prints)
{
    n->len -= prints;
    memmove(n->prints, n->prints + prints, n->len * sizeof(n->prints[0]));
}

void td_naming_pass(struct td_naming *n, uint64_t sequence)
{
    if (sequence < n->from)
        return;
    n->from = sequence + 1;
    remove_first(n, print_at(n, n->from));
}

void td_naming_add(struct td_naming *n, uint64_t sequence, uint64_t hash,
                   uint64_t ticket)
{
    uint32_t i;

    if (sequence < n->from)
        return;
    if (n->len == TD_NAMED_HASHES) {
        td_naming_pass(n, n->prints[0].sequence < sequence
                              ? n->prints[0].sequence
                              : sequence);
        if (sequence < n->from)
            return;
    }
    i = print_at(n, sequence);
    if (i < n->len && n->prints[i].sequence == sequence)
        n->prints[i] = (struct td_print){sequence, hash, ticket};
    else {
        memmove(n->prints + i + 1, n->prints + i,
                (n->len - i) * sizeof(n->prints[0]));
        n->prints[i] = (struct td_print){sequence, hash, ticket};
        n->len++;
    }
}

void td_naming_trim(struct td_naming *n, uint64_t written)
{
    uint32_t len = 0;

    for (uint32_t i = 0; i < n->len; i++) {
        if (n->prints[i].ticket <= written)
            n->prints[len++] = n->prints[i];
    }
    n->len = len;
}

enum td_likeness td_naming_compare(const struct td_naming *n, uint64_t sequence,
                                   uint64_t hash)
{
    uint32_t i = print_at(n, sequence);

    if (sequence < n->from)
        return TD_FORGOTTEN;
    if (i == n->len || n->prints[i].sequence != sequence)
        return TD_ABSENT;
    return n->prints[i].hash == hash ? TD_ALIKE : TD_UNLIKE;
}

uint64_t td_naming_last(const struct td_naming *n,
                        const struct td_stored *stored)
{
    uint64_t last = stored->sequence;

    if (n->len > 0)
        return n->prints[n->len - 1].sequence;
    for (uint32_t i = stored->holes_len; i-- > 0;) {
        if (stored->holes[i].last >= last)
            last = stored->holes[i].first - 1;
    }
    return last < n->from ? last : n->from - 1;
}

/* ---- rows ---- */

static uint8_t *put(uint8_t *p, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(value >> shift);
    return p;
}

static uint64_t get(const uint8_t *p)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

#define NAMED_VERSION 2u
#define NAMED_BYTES   36u /* before the name */

void td_naming_pack(struct td_buf *out, const struct td_naming *n,
                    const struct td_stored *stored)
{
    uint8_t head[NAMED_BYTES] = {NAMED_VERSION, (uint8_t)strlen(n->name),
                                 (uint8_t)stored->holes_len, (uint8_t)n->len};
    uint8_t *p = put(head + 4, stored->sequence);

    p = put(p, stored->unsure);
    p = put(p, n->term);
    put(p, n->from);
    td_buf_append(out, head, sizeof(head));
    td_buf_append(out, n->name, strlen(n->name));
    for (uint32_t i = 0; i < stored->holes_len + n->len; i++) {
        uint8_t pair[16];

        if (i < stored->holes_len)
            put(put(pair, stored->holes[i].first), stored->holes[i].last);
        else
            put(put(pair, n->prints[i - stored->holes_len].sequence),
                n->prints[i - stored->holes_len].hash);
        td_buf_append(out, pair, sizeof(pair));
    }
}

/* Rising, apart, and not empty. */
static bool read_holes(const uint8_t *p, struct td_stored *out)
{
    uint64_t after = 0;

    for (uint32_t i = 0; i < out->holes_len; i++, p += 16) {
        struct td_hole hole = {get(p), get(p + 8)};

        if (hole.first <= after || hole.last < hole.first)
            return false;
        after = hole.last;
        out->holes[i] = hole;
    }
    return true;
}

static bool read_prints(const uint8_t *p, struct td_naming *n, uint64_t last)
{
    uint64_t after = n->from - 1;

    for (uint32_t i = 0; i < n->len; i++, p += 16) {
        struct td_print print = {get(p), get(p + 8), 0};

        if (print.sequence <= after || print.sequence > last)
            return false;
        after = print.sequence;
        n->prints[i] = print;
    }
    return true;
}

bool td_naming_read(struct td_str value, struct td_naming *n,
                    struct td_stored *stored)
{
    const uint8_t *p = (const uint8_t *)value.data;
    struct td_str name;

    if (value.len < NAMED_BYTES || p[0] != NAMED_VERSION ||
        p[2] > TD_HOLES_MAX || p[3] > TD_NAMED_HASHES ||
        value.len != NAMED_BYTES + p[1] + 16u * (p[2] + p[3]))
        return false;
    name = (struct td_str){value.data + NAMED_BYTES, p[1]};
    if (!td_group_valid(name.data, name.len))
        return false;
    td_naming_init(n, name);
    memset(stored, 0, sizeof(*stored));
    stored->holes_len = p[2];
    n->len = p[3];
    stored->sequence = get(p + 4);
    stored->unsure = get(p + 12);
    n->term = get(p + 20);
    n->from = get(p + 28);
    n->written = true;
    p += NAMED_BYTES + name.len;
    return n->term > 0 && n->term <= INT64_MAX && n->from > 0 &&
           read_holes(p, stored) &&
           read_prints(p + 16 * stored->holes_len, n, stored->sequence);
}
