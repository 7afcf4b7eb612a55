/* What services do with records: answer, ask, publish. */
#include "service.h"

#include <stdarg.h>
#include <stdio.h>

#define ASK_MS     4000 /* of one request to another service */
#define ATTEMPT_MS 1500 /* … and of each try */

void shop_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    flockfile(stdout);
    vfprintf(stdout, format, args);
    fputc('\n', stdout);
    fflush(stdout);
    funlockfile(stdout);
    va_end(args);
}

tidings_err shop_new_id(char out[SHOP_ID_BYTES], sqlite3 *db)
{
    return shop_row(db, "SELECT lower(hex(randomblob(8)))", "", "t", out,
                    (size_t)SHOP_ID_BYTES);
}

tidings_err shop_refuse(tidings_task *task, int status, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tidings_answer_error(task, status, text, NULL, 0);
    return TIDINGS_OK; /* it was answered, that is all there is to say */
}

tidings_err shop_failed(tidings_task *task, tidings_err err)
{
    const char *detail = tidings_detail();

    return shop_refuse(task, err == TIDINGS_ETIMEDOUT ? 503 : 500, "%s",
                       *detail ? detail : tidings_err_text(err));
}

static tidings_err answer(tidings_task *task, tidings_writer *w,
                          tidings_err err)
{
    const void *data;
    size_t len;

    if (!err)
        err = tidings_writer_bytes(w, &data, &len);
    if (!err) /* nobody may wait for it any more */
        tidings_answer(task, data, len);
    else
        shop_failed(task, err);
    tidings_writer_free(w);
    return TIDINGS_OK;
}

static tidings_err publish(sqlite3 *db, const char *type, const char *key,
                           tidings_writer *w, tidings_err err)
{
    const struct tidings_attr attr = {
        .name = "partitionkey", .kind = TIDINGS_ATTR_STRING, .string = key};
    struct tidings_event event = {.type = type, .attrs = &attr, .attrs_len = 1};

    if (!err)
        err = tidings_writer_bytes(w, &event.data, &event.data_len);
    if (!err)
        err = tidings_sqlite_publish(db, &event);
    tidings_writer_free(w);
    return err;
}

static tidings_err ask(struct tidings_reply *reply, struct shop *shop,
                       const char *type, tidings_writer *w, tidings_err err)
{
    static const struct tidings_request_options options = {
        .timeout_ms = ASK_MS,
        .attempt_timeout_ms = ATTEMPT_MS,
        .idempotent = true,
        .attempts = 5,
    };
    struct tidings_event event = {.type = type};

    *reply = (struct tidings_reply){.text = ""};
    if (!err)
        err = tidings_writer_bytes(w, &event.data, &event.data_len);
    if (!err)
        err = tidings_request_event(reply, shop->bus, &event, &options);
    tidings_writer_free(w);
    return err;
}

#define DEFINE_CALLS(record, fields)                                           \
    bool shop_take_##record(struct shop_##record *out, tidings_task *task,     \
                            const struct tidings_event *event)                 \
    {                                                                          \
        if (!shop_unpack_##record(out, event->data, event->data_len))          \
            return true;                                                       \
        shop_refuse(task, 400, "%s", tidings_detail());                        \
        return false;                                                          \
    }                                                                          \
                                                                               \
    tidings_err shop_answer_##record(tidings_task *task,                       \
                                     const struct shop_##record *from)         \
    {                                                                          \
        tidings_writer *w = tidings_writer_new();                              \
                                                                               \
        return answer(task, w, shop_pack_##record(w, from));                   \
    }                                                                          \
                                                                               \
    tidings_err shop_publish_##record(sqlite3 *db, const char *type,           \
                                      const char *key,                         \
                                      const struct shop_##record *from)        \
    {                                                                          \
        tidings_writer *w = tidings_writer_new();                              \
                                                                               \
        return publish(db, type, key, w, shop_pack_##record(w, from));         \
    }                                                                          \
                                                                               \
    tidings_err shop_ask_##record(struct tidings_reply *reply,                 \
                                  struct shop *shop, const char *type,         \
                                  const struct shop_##record *from)            \
    {                                                                          \
        tidings_writer *w = tidings_writer_new();                              \
                                                                               \
        return ask(reply, shop, type, w, shop_pack_##record(w, from));         \
    }

SHOP_RECORDS(DEFINE_CALLS)
