#include "tests/unit/registry_fixture.h"

/* ---- services ---- */

void serve(struct fixture *f, const char *peer, const char *name,
           const char *version, const char *options)
{
    givef(f, peer, "[19 1 1 \"%s\" \"%s\" {%s}]", name, version, options);
    assert_ok(code_of_reply(f, peer));
}

static struct td_frame *last_reply(struct fixture *f, const char *peer)
{
    struct td_frame *last = NULL;
    struct sent *s;

    for (uint32_t n = 0; (s = find(f, peer, TD_REPLY, n)); n++)
        last = frame(f, peer, TD_REPLY, n);
    assert_non_null(last);
    return last;
}

struct td_str call(struct fixture *f, const char *peer, tidings_err code,
                   const char *name, const char *options)
{
    const struct td_frame *reply;

    givef(f, peer, "[15 7 \"%s\" %s]", name, options);
    flush(f);
    reply = last_reply(f, peer);
    assert_int_equal(reply->u.reply.request, 7);
    if (reply->u.reply.code != code)
        fail_msg("%s %s: %d %.*s", name, options, (int)reply->u.reply.code,
                 (int)reply->u.reply.text.len, reply->u.reply.text.data);
    return reply->u.reply.result;
}

/* ---- maps ---- */

static struct td_reader list_of(struct td_str map, const char *key, uint32_t *n)
{
    struct td_reader r;
    struct td_str raw = {NULL, 0};

    assert_row(key, td_map_find(map, key, &raw));
    r = td_reader_of(raw.data, raw.len);
    assert_row(key, td_read_array(&r, n));
    return r;
}

uint32_t length_of(struct td_str map, const char *key)
{
    uint32_t n;

    list_of(map, key, &n);
    return n;
}

struct td_str row_of(struct td_str map, const char *key, uint32_t nth)
{
    struct td_str row = {NULL, 0};
    uint32_t n;
    struct td_reader r = list_of(map, key, &n);

    assert_row(key, nth < n);
    for (uint32_t i = 0; i <= nth; i++)
        assert_row(key, td_read_raw(&r, &row));
    return row;
}

bool flag_of(struct td_str map, const char *key)
{
    struct td_str raw;
    bool value = false;

    assert_row(key,
               td_map_find(map, key, &raw) && td_map_bool(map, key, &value));
    return value;
}
