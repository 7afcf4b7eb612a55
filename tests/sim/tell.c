#include "tests/sim/tell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_tell_hash(struct sim_result *out, int64_t now_ms, const void *data,
                   size_t len)
{
    const uint8_t *p = data;
    uint64_t h = out->hash ^ (uint64_t)now_ms;

    while (len-- > 0)
        h = (h ^ *p++) * 0x100000001b3u; /* FNV-1a */
    out->hash = h;
}

void sim_tell_line(int64_t now_ms, const char *format, va_list args)
{
    printf("%8lld ", (long long)now_ms);
    vprintf(format, args);
    printf("\n");
}

void sim_tell_failure(struct sim_result *out, int64_t now_ms, const char *where,
                      int line, const char *format, va_list args)
{
    const char *file = strrchr(where, '/');
    size_t size = sizeof(out->failure);
    int n =
        snprintf(out->failure, size, "at %lld ms, %s:%d: ", (long long)now_ms,
                 file ? file + 1 : where, line);

    vsnprintf(out->failure + n, size - (size_t)n, format, args);
}

void *sim_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (!p)
        abort();
    return p;
}

void *sim_grow(void *array, uint64_t len, uint64_t *cap, size_t size)
{
    if (len < *cap)
        return array;
    *cap = *cap ? *cap * 2 : 64;
    array = realloc(array, *cap * size);
    if (!array)
        abort();
    return array;
}
