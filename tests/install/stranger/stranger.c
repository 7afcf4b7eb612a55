/* A stranger's program: knows tidings only as it is installed. */
#include <stdio.h>
#include <string.h>

#include <tidings/data.h>
#include <tidings/err.h>
#include <tidings/tidings.h>

static tidings_err count(void *arg, const struct tidings_event *event)
{
    int *events = arg;

    if (event->data_len != 5 || memcmp(event->data, "hello", 5) != 0)
        return TIDINGS_EHANDLER;
    ++*events;
    return TIDINGS_OK;
}

int main(void)
{
    tidings_bus *bus = NULL;
    int events = 0;
    tidings_err err = tidings_open(&bus, "inproc://stranger", NULL);

    if (!err)
        err = tidings_subscribe(NULL, bus, "stranger.*", count, &events, NULL);
    if (!err)
        err = tidings_publish(bus, "stranger.came", "hello", 5);
    if (!err)
        err = tidings_flush(bus, 5000);
    if (!err)
        err = tidings_drain(bus, 5000);
    if (err)
        fprintf(stderr, "%s: %s\n", tidings_err_text(err), tidings_detail());
    tidings_close(bus);

    printf("tidings %s: %d event\n", tidings_version(), events);
    return err || events != 1;
}
