#include "tests/system/junk.h"

#include <string.h>

#define GREET_MS 10000

unsigned junk_roll(struct junk *junk, unsigned sides)
{
    junk->seed = junk->seed * UINT64_C(6364136223846793005) +
                 UINT64_C(1442695040888963407);
    return (unsigned)(junk->seed >> 33) % sides;
}

static void send_bytes(struct junk *junk, struct td_raw *raw, size_t max)
{
    unsigned char bytes[2000];
    size_t len = 1 + junk_roll(junk, (unsigned)max);

    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)junk_roll(junk, 256);
    td_raw_send(raw, bytes, len);
}

static void send_greeting(struct td_raw *raw, const char *mechanism)
{
    unsigned char greeting[TD_RAW_GREETING_BYTES];

    td_raw_greeting(greeting, mechanism);
    td_raw_send(raw, greeting, sizeof(greeting));
}

/* Half of what a client would say, the rest by chance. */
static void send_frames(struct junk *junk, struct td_raw *raw)
{
    static const char hello[] = "\x97\x01\xa7tidings\x01\x01\xc4\x10"
                                "0123456789abcdef\xa4"
                                "evil\x80";
    unsigned frames = junk_roll(junk, 6);

    if (junk_roll(junk, 2))
        td_raw_frame(raw, 0, hello, sizeof(hello) - 1);
    while (frames-- > 0) {
        unsigned char bytes[64];
        size_t len = junk_roll(junk, sizeof(bytes));

        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)junk_roll(junk, 256);
        bytes[0] = (unsigned char)(0x90 + junk_roll(junk, 9)); /* an array … */
        bytes[1] = (unsigned char)junk_roll(junk, 16); /* … and an operation */
        td_raw_frame(raw, (unsigned char)junk_roll(junk, 2), bytes, len);
    }
}

bool junk_peer(struct junk *junk, struct td_raw *raw, const char *url)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: bus\r\n\r\n";
    static const char tls[] = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
    static const char zmtp1[] = "\x01\x00\x05\x00hello";
    static const char zmtp2[] = "\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\0\0\0\x05"
                                "hello";

    if (!td_raw_open(raw, url))
        return false;
    switch (junk_roll(junk, 8)) {
    case 0:
        send_bytes(junk, raw, 2000);
        break;
    case 1:
        td_raw_send(raw, http, sizeof(http) - 1);
        break;
    case 2:
        td_raw_send(raw, tls, sizeof(tls) - 1);
        send_bytes(junk, raw, 200);
        break;
    case 3:
        td_raw_send(raw, zmtp1, sizeof(zmtp1) - 1);
        send_bytes(junk, raw, 100);
        break;
    case 4:
        td_raw_send(raw, zmtp2, sizeof(zmtp2) - 1);
        send_bytes(junk, raw, 100);
        break;
    case 5:
        send_greeting(raw, junk_roll(junk, 2) ? "CURVE" : "PLAIN");
        send_bytes(junk, raw, 300);
        break;
    case 6:
        send_greeting(raw, "NULL");
        send_bytes(junk, raw, 300);
        break;
    default:
        if (td_raw_greet(raw, GREET_MS))
            send_frames(junk, raw);
    }
    return true;
}
