/* A member of a durable group, as a process that may be killed.
 *
 *     system_member URL STREAM GROUP FILE [DELAY_US]
 *
 * It writes a record of each event to FILE before it is settled, takes so long
 * for it, prints "ready", and lives until its input ends. An event that begins with the word
 * "poison" makes it crash. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/record.h"
#include "tidings/tidings.h"

#define CONNECT_MS 15000

static tidings_bus *bus;
static int file = -1;
static long delay_us; /* below a second */

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct member_record r = {.pid = (uint32_t)getpid()};
    struct tidings_delivery d;
    struct tidings_info info;
    struct timespec t;

    (void)arg;
    if (event->data_len >= 6 && memcmp(event->data, "poison", 6) == 0)
        _exit(3);
    if (event->data_len < sizeof(r.word) || tidings_delivery(&d, event) ||
        tidings_info(&info, bus))
        return TIDINGS_ETERM;
    memcpy(r.word, event->data, sizeof(r.word));
    clock_gettime(CLOCK_MONOTONIC, &t);
    r.ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    r.epoch = info.epoch;
    r.deliveries = d.deliveries;
    if (write(file, &r, sizeof(r)) != sizeof(r))
        return TIDINGS_EIO;
    if (delay_us > 0)
        nanosleep(&(struct timespec){.tv_nsec = delay_us * 1000}, NULL);
    return TIDINGS_OK;
}

int main(int argc, char **argv)
{
    struct tidings_sub_options options = {
        .timeout_ms = CONNECT_MS,
        /* It never has all that it may: what more is sent to it when it was
         * killed tells the broker so at once. */
        .window_events = 32768,
    };
    char byte;

    if (argc < 5 || argc > 6)
        return 2;
    delay_us = argc == 6 ? strtol(argv[5], NULL, 10) : 0;
    options.stream = argv[2];
    options.group = argv[3];
    file = open(argv[4], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || tidings_open(&bus, argv[1], NULL) ||
        tidings_wait(bus, CONNECT_MS) ||
        tidings_subscribe(NULL, bus, ">", on_event, NULL, &options)) {
        fprintf(stderr, "member: %s\n", tidings_detail());
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return tidings_close(bus) ? 1 : 0;
}
