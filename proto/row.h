/* What the files with rows of lists share: the row's head, there and back. */
#ifndef TD_ROW_H
#define TD_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include <msgpack.h>

#include "proto/buf.h"
#include "proto/scan.h"

static inline msgpack_packer td_row_packer(struct td_buf *list)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, list, td_buf_pack_write);
    return pk;
}

/* A row of so many fields, which are packed next. */
static inline msgpack_packer td_row_begin(struct td_buf *list, size_t fields)
{
    msgpack_packer pk = td_row_packer(list);

    msgpack_pack_array(&pk, fields);
    return pk;
}

static inline void td_row_str(msgpack_packer *pk, const struct td_str *str)
{
    msgpack_pack_str(pk, str->len);
    msgpack_pack_str_body(pk, str->data, str->len);
}

/* A reader of the next row, behind its head; *fields: how many it has. More
 * than the caller knows are of a later version. */
static inline bool td_row_open(struct td_reader *list, uint32_t least,
                               struct td_reader *row, uint32_t *fields)
{
    struct td_str bytes;

    if (!td_read_raw(list, &bytes))
        return false;
    *row = td_reader_of(bytes.data, bytes.len);
    return td_read_array(row, fields) && *fields >= least;
}

static inline bool td_row_read(struct td_reader *list, uint32_t least,
                               struct td_reader *row)
{
    uint32_t fields;

    return td_row_open(list, least, row, &fields);
}

/* An error code: whatever fits the enum, also one of a later version. */
static inline bool td_row_code(struct td_reader *row, uint64_t *out)
{
    return td_read_uint(row, out) && *out <= INT32_MAX;
}

#endif
