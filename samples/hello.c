#include <stdio.h>
#include <tidings/tidings.h>

static tidings_err on_user(void *arg, const struct tidings_event *event)
{
    char name[64];
    struct tidings_value user;
    tidings_err err = tidings_value_read(&user, event->data, event->data_len);
    if (!err && !(err = tidings_get_string(name, sizeof(name), user, "name")))
        printf("%s: %s, %s!\n", event->type, (const char *)arg, name);
    return err;
}

int main(void)
{
    const void *data;
    size_t len;
    tidings_err err;
    tidings_bus *bus = NULL;
    tidings_writer *user = tidings_writer_new();
    tidings_put_map(user, 1);
    tidings_put_string(user, "name");
    tidings_put_string(user, "John Doe");
    if ((err = tidings_open(&bus, "inproc://hello", NULL)) ||
        (err = tidings_subscribe(NULL, bus, "user.*", on_user, "hi", NULL)) ||
        (err = tidings_writer_bytes(user, &data, &len)) ||
        (err = tidings_publish(bus, "user.created", data, len)) ||
        (err = tidings_flush(bus, 1000)) || (err = tidings_drain(bus, 1000)))
        fprintf(stderr, "%s: %s\n", tidings_err_text(err), tidings_detail());
    tidings_close(bus);
    tidings_writer_free(user);
    return err != TIDINGS_OK;
}
