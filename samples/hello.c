#include <stdio.h>
#include <tidings/tidings.h>

static tidings_err on_user(void *arg, const struct tidings_event *event)
{
    printf("%s, %s: %.*s\n", (const char *)arg, event->type,
           (int)event->data_len, (const char *)event->data);
    return TIDINGS_OK;
}

int main(void)
{
    const struct tidings_event event = {
        .type = "user.created", .data = "John Doe", .data_len = 8,
        .datacontenttype = "text/plain"};
    tidings_bus *bus = NULL;
    tidings_err err;

    if ((err = tidings_open(&bus, "inproc://hello", NULL)) ||
        (err = tidings_subscribe(NULL, bus, "user.*", on_user, "hello", NULL)) ||
        (err = tidings_publish_event(bus, &event)) ||
        (err = tidings_drain(bus, 1000)))
        fprintf(stderr, "%s: %s\n", tidings_err_text(err), tidings_detail());
    tidings_close(bus);
    return err != TIDINGS_OK;
}
