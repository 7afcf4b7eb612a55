/* The physical limit: bytes moved over two loopback connections by a process
 * that does not look at them, in writes of 64 KiB. The ends neither pack nor
 * open events either. An event counts as the bytes that one of ours takes on
 * the wire: prefix, array, time and data (PROTOCOL.md 5).
 *
 *   relay  accepts the subscriber, then the publisher, and copies
 *   pub    writes --events times the size of an event
 *   sub    reads as much
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define EVENT_BYTES (BENCH_DATA_BYTES + 9)
#define CHUNK_BYTES 65536

static unsigned char chunk[CHUNK_BYTES];

static int check(int rc, const char *what)
{
    if (rc < 0)
        bench_die("relay: %s: %s", what, strerror(errno));
    return rc;
}

static void write_all(int fd, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = send(fd, chunk + done, len - done, MSG_NOSIGNAL);

        check((int)n, "write");
        done += (size_t)n;
    }
}

static size_t read_some(int fd)
{
    ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

    check((int)n, "read");
    return (size_t)n;
}

static int relay(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    int from, to;
    size_t n;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(bind(listener, (struct sockaddr *)&address, size), "bind");
    check(listen(listener, 2), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &size), "port");
    printf("listening tcp://127.0.0.1:%u\n", ntohs(address.sin_port));
    bench_say_ready();
    to = check(accept(listener, NULL, NULL), "accept subscriber");
    from = check(accept(listener, NULL, NULL), "accept publisher");
    while ((n = read_some(from)))
        write_all(to, n);
    close(from);
    close(to);
    close(listener);
    return 0;
}

static int connect_to(const char *url)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    unsigned port;

    if (sscanf(url, "tcp://127.0.0.1:%5u", &port) != 1)
        bench_die("relay: no such url: %s", url);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    check(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
    return fd;
}

static int pub(const struct bench_args *args)
{
    uint64_t left = args->events * EVENT_BYTES;
    int fd = connect_to(args->url);

    while (left) {
        size_t n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;

        write_all(fd, n);
        left -= n;
    }
    close(fd);
    return 0;
}

static int sub(const struct bench_args *args)
{
    uint64_t wanted = args->events * EVENT_BYTES;
    uint64_t got = 0;
    int64_t first_ns = 0;
    int fd = connect_to(args->url);
    size_t n;

    bench_say_ready();
    while (got < wanted && (n = read_some(fd))) {
        if (!got)
            first_ns = bench_now_ns();
        got += n;
    }
    close(fd);
    printf("result events=%" PRIu64 " missing=%" PRIu64
           " wrong=0 first_ns=%" PRId64 " last_ns=%" PRId64 "\n",
           got / EVENT_BYTES, args->events - got / EVENT_BYTES, first_ns,
           bench_now_ns());
    return got == wanted ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct bench_args args;

    bench_args_parse(&args, argc, argv);
    if (!strcmp(args.role, "relay"))
        return relay();
    if (!args.url)
        bench_die("--url is required");
    if (!strcmp(args.role, "pub"))
        return pub(&args);
    if (!strcmp(args.role, "sub"))
        return sub(&args);
    bench_die("no such role: %s", args.role);
}
