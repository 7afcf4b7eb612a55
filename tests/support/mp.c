/* The notation of mp.h, by recursive descent. */
#include "tests/support/mp.h"

#include "tests/support/td_test.h"

#include <ctype.h>
#include <msgpack.h>
#include <stdlib.h>

static const char *value(struct td_buf *b, const char *s);

static const char *blanks(const char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

static msgpack_packer packer(struct td_buf *b)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, b, td_buf_pack_write);
    return pk;
}

/* "*20" after what stands in b from start on: that 20 times over. */
static const char *repeated(struct td_buf *b, size_t start, const char *s,
                            size_t *times)
{
    size_t len = b->len - start;
    char *end = NULL;

    *times = 1;
    if (*s != '*')
        return s;
    *times = strtoul(s + 1, &end, 10);
    assert_true(*times > 0);
    for (size_t i = 1; i < *times; i++) {
        assert_true(td_buf_reserve(b, len));
        td_buf_append(b, b->data + start, len);
    }
    return end;
}

static const char *container(struct td_buf *b, const char *s)
{
    char close = *s == '[' ? ']' : '}';
    msgpack_packer pk = packer(b);
    struct td_buf inside = {0};
    size_t count = 0;

    s = blanks(s + 1);
    while (*s != close) {
        size_t start = inside.len;
        size_t times;

        s = repeated(&inside, start, value(&inside, s), &times);
        count += times;
        s = blanks(s);
    }
    if (close == ']')
        msgpack_pack_array(&pk, count);
    else
        msgpack_pack_map(&pk, count / 2);
    td_buf_append(b, inside.data, inside.len);
    td_buf_fini(&inside);
    return s + 1;
}

static void text(struct td_buf *b, bool bin, const char *data, size_t len)
{
    msgpack_packer pk = packer(b);

    if (bin) {
        msgpack_pack_bin(&pk, len);
        msgpack_pack_bin_body(&pk, data, len);
    } else {
        msgpack_pack_str(&pk, len);
        msgpack_pack_str_body(&pk, data, len);
    }
}

static const char *quoted(struct td_buf *b, const char *s)
{
    const char *end = strchr(s + 1, *s);

    assert_non_null(end);
    text(b, *s == '\'', s + 1, (size_t)(end - s - 1));
    return end + 1;
}

/* s(300) or b(16) */
static const char *filled(struct td_buf *b, const char *s)
{
    char *end;
    size_t len = strtoul(s + 2, &end, 10);
    char *fill = malloc(len + 1);

    assert_non_null(fill);
    assert_true(*end == ')');
    memset(fill, 'a', len + 1);
    text(b, *s == 'b', fill, len);
    free(fill);
    return end + 1;
}

static const char *raw(struct td_buf *b, const char *s)
{
    s = blanks(s + 1);
    while (*s != '>') {
        size_t start = b->len;
        size_t times;
        unsigned byte;
        uint8_t one;

        assert_true(isxdigit((unsigned char)s[0]));
        assert_int_equal(sscanf(s, "%2x", &byte), 1);
        one = (uint8_t)byte;
        td_buf_append(b, &one, 1);
        s = blanks(repeated(b, start, s + 2, &times));
    }
    return s + 1;
}

static const char *number(struct td_buf *b, const char *s)
{
    msgpack_packer pk = packer(b);
    size_t len = strspn(s, "+-.0123456789e");
    char *end;

    assert_true(len > 0);
    if (memchr(s, '.', len))
        msgpack_pack_double(&pk, strtod(s, &end));
    else if (*s == '-')
        msgpack_pack_int64(&pk, strtoll(s, &end, 10));
    else
        msgpack_pack_uint64(&pk, strtoull(s, &end, 10));
    return end;
}

static const char *word(struct td_buf *b, const char *s)
{
    static const struct {
        const char *word;
        const char *byte;
    } words[] = {{"nil", "\xc0"}, {"false", "\xc2"}, {"true", "\xc3"}};

    for (size_t i = 0; i < TD_ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i].word);

        if (strncmp(s, words[i].word, len) == 0) {
            td_buf_append(b, words[i].byte, 1);
            return s + len;
        }
    }
    return number(b, s);
}

static const char *value(struct td_buf *b, const char *s)
{
    switch (*s) {
    case '[':
    case '{':
        return container(b, s);
    case '"':
    case '\'':
        return quoted(b, s);
    case '<':
        return raw(b, s);
    case 's':
    case 'b':
        return filled(b, s);
    default:
        return word(b, s);
    }
}

void td_mp(struct td_buf *b, const char *notation)
{
    const char *s = blanks(notation);

    while (*s) {
        size_t start = b->len;
        size_t times;

        s = blanks(repeated(b, start, value(b, s), &times));
    }
    assert_false(b->failed);
}

struct td_str td_mp_str(const struct td_buf *b)
{
    struct td_str str = {(const char *)b->data, b->len};

    return str;
}
