#include "tests/support/rawzmtp.h"

#include "tests/support/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_MS 10000 /* a peer that does not read for so long is gone */

/* ---- the connection ---- */

bool td_raw_open(struct td_raw *raw, const char *url)
{
    const char *port = strrchr(url, ':');
    struct sockaddr_in at = {.sin_family = AF_INET};
    int yes = 1;

    raw->flags = 0;
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (raw->fd < 0 || !port)
        return false;
    at.sin_port = htons((uint16_t)atoi(port + 1));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(raw->fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        td_raw_close(raw);
        return false;
    }
    setsockopt(raw->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    return true;
}

void td_raw_close(struct td_raw *raw)
{
    if (raw->fd >= 0)
        close(raw->fd);
    raw->fd = -1;
}

static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = events};
        int64_t left = deadline_ms - td_proc_now_ms();
        int n = poll(&ready, 1, left > 0 ? (int)left : 0);

        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

bool td_raw_send(struct td_raw *raw, const void *data, size_t len)
{
    int64_t deadline_ms = td_proc_now_ms() + SEND_MS;
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(raw->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EINTR &&
                   ((errno != EAGAIN && errno != EWOULDBLOCK) ||
                    !wait_for(raw->fd, POLLOUT, deadline_ms))) {
            return false;
        }
    }
    return true;
}

/* ---- ZMTP ---- */

void td_raw_greeting(unsigned char out[TD_RAW_GREETING_BYTES],
                     const char *mechanism)
{
    memset(out, 0, TD_RAW_GREETING_BYTES);
    out[0] = 0xff; /* signature: ff, eight bytes of padding, 7f */
    out[9] = 0x7f;
    out[10] = 3; /* version 3.0 */
    memcpy(out + 12, mechanism, strlen(mechanism));
}

static bool receive_all(struct td_raw *raw, void *out, size_t len,
                        int64_t deadline_ms)
{
    char *at = out;

    while (len > 0) {
        ssize_t n = 0;

        if (!wait_for(raw->fd, POLLIN, deadline_ms))
            return false;
        n = recv(raw->fd, at, len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return false;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return true;
}

bool td_raw_greet(struct td_raw *raw, int timeout_ms)
{
    static const char type[] = "\x0bSocket-Type\0\0\0\x06"
                               "DEALER";
    unsigned char greeting[TD_RAW_GREETING_BYTES];
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;

    td_raw_greeting(greeting, "NULL");
    return td_raw_send(raw, greeting, sizeof(greeting)) &&
           td_raw_command(raw, "READY", type, sizeof(type) - 1) &&
           receive_all(raw, greeting, sizeof(greeting), deadline_ms) &&
           td_raw_receive(raw, greeting, sizeof(greeting), timeout_ms) > 0 &&
           raw->flags == TD_RAW_COMMAND;
}

bool td_raw_header(struct td_raw *raw, unsigned char flags, uint64_t len)
{
    unsigned char header[9];
    size_t header_len = 2;

    if (len > 255)
        flags |= TD_RAW_LONG;
    header[0] = flags;
    header[1] = (unsigned char)len;
    if (flags & TD_RAW_LONG) {
        for (int i = 0; i < 8; i++)
            header[1 + i] = (unsigned char)(len >> (56 - 8 * i));
        header_len = 9;
    }
    return td_raw_send(raw, header, header_len);
}

bool td_raw_frame(struct td_raw *raw, unsigned char flags, const void *data,
                  size_t len)
{
    return td_raw_header(raw, flags, len) && td_raw_send(raw, data, len);
}

bool td_raw_command(struct td_raw *raw, const char *name, const void *data,
                    size_t len)
{
    unsigned char name_len = (unsigned char)strlen(name);

    return td_raw_header(raw, TD_RAW_COMMAND, 1 + name_len + len) &&
           td_raw_send(raw, &name_len, 1) && td_raw_send(raw, name, name_len) &&
           td_raw_send(raw, data, len);
}

long td_raw_receive(struct td_raw *raw, void *out, size_t size, int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;
    unsigned char header[8];
    uint64_t len = 0;
    uint64_t left;
    size_t len_bytes;

    if (!receive_all(raw, &raw->flags, 1, deadline_ms))
        return -1;
    len_bytes = raw->flags & TD_RAW_LONG ? 8 : 1;
    if (!receive_all(raw, header, len_bytes, deadline_ms))
        return -1;
    for (size_t i = 0; i < len_bytes; i++)
        len = len << 8 | header[i];

    left = len > size ? len - size : 0;
    if (!receive_all(raw, out, (size_t)(len - left), deadline_ms))
        return -1;
    while (left > 0) {
        char dropped[4096];
        size_t n = left < sizeof(dropped) ? (size_t)left : sizeof(dropped);

        if (!receive_all(raw, dropped, n, deadline_ms))
            return -1;
        left -= n;
    }
    return (long)len;
}

bool td_raw_until_gone(struct td_raw *raw, int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;
    char dropped[4096];

    while (wait_for(raw->fd, POLLIN, deadline_ms)) {
        ssize_t n = recv(raw->fd, dropped, sizeof(dropped), MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return true;
    }
    return false;
}
