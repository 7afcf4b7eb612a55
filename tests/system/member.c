/* A member of a durable group, as a process that may be killed.
 *
 *     system_member URL STREAM GROUP FILE
 *
 * It writes a record of each event to FILE before it is settled, prints
 * "ready", and lives until its input ends. An event that begins with the word
 * "poison" makes it crash. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/record.h"
#include "tidings/tidings.h"

#define CONNECT_MS 15000

static tidings_bus *bus;
static int file = -1;

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
    return write(file, &r, sizeof(r)) == sizeof(r) ? TIDINGS_OK : TIDINGS_EIO;
}

int main(int argc, char **argv)
{
    struct tidings_sub_options options = {.timeout_ms = CONNECT_MS};
    char byte;

    if (argc != 5)
        return 2;
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
