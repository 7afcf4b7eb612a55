#include "proto/frame.h"

#include "proto/limits.h"

#include <msgpack.h>
#include <string.h>

const struct td_str td_empty_map = {"\x80", 1};
const struct td_str td_nil = {"\xc0", 1};

enum field_kind {
    F_END,
    F_UINT,     /* uint64_t, 0..2^63-1 */
    F_INT,      /* int64_t */
    F_MORE,     /* as F_UINT, which may be missing at the end: 0 */
    F_STR,      /* td_str */
    F_NAME,     /* td_str, at most TD_NAME_BYTES_MAX */
    F_PRODUCER, /* td_str, a bin of TD_PRODUCER_BYTES */
    F_MAP,      /* td_str, a whole msgpack map */
    F_OPTIONS,  /* td_str, the same, which may be missing at the end */
    F_ARRAY,    /* td_str, a whole msgpack array */
    F_ANY       /* td_str, any whole msgpack value */
};

enum side { CLIENT = 1, BROKER = 2 };

#define FIELDS_MAX 7

struct op_row {
    const char *name;
    unsigned from; /* sides that may send it */
    bool body;
    struct {
        enum field_kind kind;
        size_t at;
    } fields[FIELDS_MAX + 1];
};

#define AT(member) offsetof(struct td_frame, u.member)

static const struct op_row ops[TD_OP_END] = {
    [TD_HELLO] = {"HELLO",
                  CLIENT,
                  false,
                  {{F_STR, AT(hello.magic)},
                   {F_UINT, AT(hello.version_min)},
                   {F_UINT, AT(hello.version_max)},
                   {F_PRODUCER, AT(hello.producer)},
                   {F_NAME, AT(hello.name)},
                   {F_MAP, AT(hello.options)}}},
    [TD_WELCOME] = {"WELCOME",
                    BROKER,
                    false,
                    {{F_UINT, AT(welcome.version)},
                     {F_UINT, AT(welcome.epoch)},
                     {F_UINT, AT(welcome.session)},
                     {F_UINT, AT(welcome.taken)},
                     {F_UINT, AT(welcome.events_limit)},
                     {F_UINT, AT(welcome.bytes_limit)},
                     {F_MAP, AT(welcome.limits)}}},
    [TD_PUBLISH] = {"PUBLISH",
                    CLIENT,
                    true,
                    {{F_UINT, AT(publish.flags)},
                     {F_ARRAY, AT(publish.batches)},
                     {F_OPTIONS, AT(publish.options)}}},
    [TD_TAKEN] = {"TAKEN",
                  BROKER,
                  false,
                  {{F_UINT, AT(taken.taken)},
                   {F_UINT, AT(taken.events_limit)},
                   {F_UINT, AT(taken.bytes_limit)}}},
    [TD_SUBSCRIBE] = {"SUBSCRIBE",
                      CLIENT,
                      false,
                      {{F_UINT, AT(subscribe.request)},
                       {F_UINT, AT(subscribe.subscription)},
                       {F_STR, AT(subscribe.pattern)},
                       {F_MAP, AT(subscribe.options)}}},
    [TD_UNSUBSCRIBE] = {"UNSUBSCRIBE",
                        CLIENT,
                        false,
                        {{F_UINT, AT(unsubscribe.request)},
                         {F_UINT, AT(unsubscribe.subscription)}}},
    [TD_REPLY] = {"REPLY",
                  BROKER,
                  false,
                  {{F_UINT, AT(reply.request)},
                   {F_UINT, AT(reply.code)},
                   {F_STR, AT(reply.text)},
                   {F_ANY, AT(reply.result)}}},
    [TD_DELIVER] = {"DELIVER", BROKER, true, {{F_ARRAY, AT(deliver.parts)}}},
    [TD_CREDIT] = {"CREDIT",
                   CLIENT,
                   false,
                   {{F_UINT, AT(credit.messages)}, {F_ARRAY, AT(credit.list)}}},
    [TD_GAP] = {"GAP",
                BROKER,
                false,
                {{F_UINT, AT(gap.subscription)},
                 {F_UINT, AT(gap.events)},
                 {F_STR, AT(gap.reason)},
                 {F_MORE, AT(gap.first)},
                 {F_MORE, AT(gap.last)}}},
    [TD_PING] = {"PING", CLIENT | BROKER, false, {{F_UINT, AT(ping.token)}}},
    [TD_PONG] = {"PONG", CLIENT | BROKER, false, {{F_UINT, AT(pong.token)}}},
    [TD_STATS] = {"STATS",
                  CLIENT,
                  false,
                  {{F_UINT, AT(stats.request)}, {F_MAP, AT(stats.options)}}},
    [TD_BYE] = {"BYE",
                CLIENT | BROKER,
                false,
                {{F_UINT, AT(bye.code)}, {F_STR, AT(bye.text)}}},
    [TD_CALL] = {"CALL",
                 CLIENT,
                 false,
                 {{F_UINT, AT(call.request)},
                  {F_STR, AT(call.name)},
                  {F_MAP, AT(call.options)}}},
    [TD_CONFIRM] = {"CONFIRM", BROKER, false, {{F_ARRAY, AT(confirm.list)}}},
    [TD_SETTLE] = {"SETTLE", CLIENT, false, {{F_ARRAY, AT(settle.list)}}},
    [TD_SETTLED] = {"SETTLED", BROKER, false, {{F_ARRAY, AT(settled.list)}}},
    [TD_SERVE] = {"SERVE",
                  CLIENT,
                  false,
                  {{F_UINT, AT(serve.request)},
                   {F_UINT, AT(serve.service)},
                   {F_STR, AT(serve.name)},
                   {F_STR, AT(serve.version)},
                   {F_MAP, AT(serve.options)}}},
    [TD_UNSERVE] = {"UNSERVE",
                    CLIENT,
                    false,
                    {{F_UINT, AT(unserve.request)},
                     {F_UINT, AT(unserve.service)}}},
    [TD_HEALTH] = {"HEALTH",
                   CLIENT | BROKER,
                   false,
                   {{F_UINT, AT(health.service)},
                    {F_UINT, AT(health.state)},
                    {F_STR, AT(health.text)}}},
    [TD_REQUEST] = {"REQUEST",
                    CLIENT,
                    true,
                    {{F_STR, AT(request.source)},
                     {F_INT, AT(request.time_us)},
                     {F_ARRAY, AT(request.list)}}},
    [TD_HANDLE] = {"HANDLE", BROKER, true, {{F_ARRAY, AT(handle.list)}}},
    [TD_ANSWER] = {"ANSWER", CLIENT, true, {{F_ARRAY, AT(answer.list)}}},
    [TD_RESPONSE] = {"RESPONSE", BROKER, true, {{F_ARRAY, AT(response.list)}}},
};

static const struct op_row *row_of(uint64_t op)
{
    return op > 0 && op < TD_OP_END ? &ops[op] : NULL;
}

const char *td_op_name(unsigned op)
{
    const struct op_row *row = row_of(op);

    return row ? row->name : "?";
}

bool td_op_has_body(enum td_op op)
{
    return ops[op].body;
}

struct td_str td_str_of(const char *s)
{
    struct td_str str = {s, strlen(s)};

    return str;
}

/* ---- decoding ---- */

static bool read_whole(struct td_reader *r, enum field_kind kind,
                       struct td_str *out)
{
    enum td_kind found = td_head_at(r->p, r->end).kind;

    if (((kind == F_MAP || kind == F_OPTIONS) && found != TD_KIND_MAP) ||
        (kind == F_ARRAY && found != TD_KIND_ARRAY))
        return false;
    return td_read_raw(r, out);
}

static bool read_field(struct td_reader *r, enum field_kind kind, void *to)
{
    struct td_str *str = to;

    switch (kind) {
    case F_UINT:
    case F_MORE:
        return td_read_uint(r, to);
    case F_INT:
        return td_read_int(r, to);
    case F_STR:
        return td_read_str(r, str);
    case F_NAME:
        return td_read_str(r, str) && str->len <= TD_NAME_BYTES_MAX;
    case F_PRODUCER:
        return td_read_bin(r, str) && str->len == TD_PRODUCER_BYTES;
    case F_MAP:
    case F_OPTIONS:
    case F_ARRAY:
    case F_ANY:
        return read_whole(r, kind, str);
    case F_END:
        break;
    }
    return false;
}

/* The field is missing, and so are those behind it; false: it may not be. */
static bool leave_out(enum field_kind kind, void *to)
{
    if (kind == F_OPTIONS)
        *(struct td_str *)to = (struct td_str){"", 0};
    else if (kind == F_MORE)
        *(uint64_t *)to = 0;
    else
        return false;
    return true;
}

tidings_err td_frame_decode(struct td_frame *out, const void *data, size_t len,
                            bool from_client, const char **why)
{
    struct td_reader r = td_reader_of(data, len);
    const struct op_row *row;
    uint32_t count;
    uint64_t op;

    *why = "control frame is not one bounded msgpack value";
    if (len > TD_CONTROL_BYTES_MAX || !td_scan(data, len, &td_scan_control))
        return TIDINGS_EPROTO;
    *why = "control frame is not an array that begins with an operation";
    if (!td_read_array(&r, &count) || count == 0 || !td_read_uint(&r, &op))
        return TIDINGS_EPROTO;
    *why = "unknown operation";
    row = row_of(op);
    if (!row)
        return TIDINGS_EPROTO;
    *why = "operation is not for this side to send";
    if (!(row->from & (from_client ? CLIENT : BROKER)))
        return TIDINGS_EPROTO;

    *why = "field missing, of another type or out of range";
    out->op = (enum td_op)op;
    count--;
    for (int i = 0; row->fields[i].kind != F_END; i++) {
        void *to = (char *)out + row->fields[i].at;

        if (count == 0 && leave_out(row->fields[i].kind, to))
            continue;
        if (count-- == 0 || !read_field(&r, row->fields[i].kind, to))
            return TIDINGS_EPROTO;
    }
    return TIDINGS_OK; /* elements beyond ours are of a later version */
}

/* ---- encoding ---- */

static void pack_str(msgpack_packer *pk, const struct td_str *str)
{
    msgpack_pack_str(pk, str->len);
    msgpack_pack_str_body(pk, str->data, str->len);
}

static void pack_field(msgpack_packer *pk, enum field_kind kind,
                       const void *from)
{
    const struct td_str *str = from;

    switch (kind) {
    case F_UINT:
    case F_MORE:
        msgpack_pack_uint64(pk, *(const uint64_t *)from);
        return;
    case F_INT:
        msgpack_pack_int64(pk, *(const int64_t *)from);
        return;
    case F_STR:
    case F_NAME:
        pack_str(pk, str);
        return;
    case F_PRODUCER:
        msgpack_pack_bin(pk, str->len);
        msgpack_pack_bin_body(pk, str->data, str->len);
        return;
    case F_MAP:
    case F_OPTIONS:
    case F_ARRAY:
    case F_ANY:
        td_buf_append(pk->data, str->data, str->len);
        return;
    case F_END:
        return;
    }
}

static bool is_left_out(const struct op_row *row, size_t field,
                        const struct td_frame *frame)
{
    const void *at = (const char *)frame + row->fields[field].at;
    enum field_kind kind = row->fields[field].kind;

    return (kind == F_OPTIONS && ((const struct td_str *)at)->len == 0) ||
           (kind == F_MORE && *(const uint64_t *)at == 0);
}

void td_frame_encode(struct td_buf *b, const struct td_frame *frame)
{
    const struct op_row *row = &ops[frame->op];
    msgpack_packer pk;
    size_t n = 0;

    while (row->fields[n].kind != F_END && !is_left_out(row, n, frame))
        n++;
    msgpack_packer_init(&pk, b, td_buf_pack_write);
    msgpack_pack_array(&pk, n + 1);
    msgpack_pack_uint8(&pk, (uint8_t)frame->op);
    for (size_t i = 0; i < n; i++)
        pack_field(&pk, row->fields[i].kind,
                   (const char *)frame + row->fields[i].at);
}
