/* A plain socket that can speak ZMTP 3, as far as it is told to: greeting,
 * handshake, frames, and any other bytes. What no ZeroMQ library would send
 * is sent with this. Knows nothing of cmocka and of the library.
 *
 *     struct td_raw raw;
 *     if (td_raw_open(&raw, url) && td_raw_greet(&raw, 5000))
 *         td_raw_frame(&raw, TD_RAW_MORE, "x", 1);
 *     td_raw_close(&raw);
 *
 * Term: ZMTP 3.1, RFC 37.
 */
#ifndef TD_RAWZMTP_H
#define TD_RAWZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Flags of a frame. */
#define TD_RAW_MORE    0x01
#define TD_RAW_LONG    0x02 /* length in eight bytes; set where needed */
#define TD_RAW_COMMAND 0x04

#define TD_RAW_GREETING_BYTES 64

struct td_raw {
    int fd;              /* -1: closed */
    unsigned char flags; /* of the frame that was received last */
};

/** A bare connection to tcp://127.0.0.1:PORT; false: refused. */
bool td_raw_open(struct td_raw *raw, const char *url);
void td_raw_close(struct td_raw *raw);

/** Send bytes as they are; false when the peer is gone or does not read for
 *  some seconds. */
bool td_raw_send(struct td_raw *raw, const void *data, size_t len);

/** A ZMTP 3.0 greeting with this mechanism ("NULL", "PLAIN", "CURVE"). */
void td_raw_greeting(unsigned char out[TD_RAW_GREETING_BYTES],
                     const char *mechanism);

/** Greeting and READY of a DEALER, and wait for those of the peer. */
bool td_raw_greet(struct td_raw *raw, int timeout_ms);

/** One frame; its length is announced as len whatever follows. */
bool td_raw_header(struct td_raw *raw, unsigned char flags, uint64_t len);
bool td_raw_frame(struct td_raw *raw, unsigned char flags, const void *data,
                  size_t len);

/** A command: its name, and data after it. */
bool td_raw_command(struct td_raw *raw, const char *name, const void *data,
                    size_t len);

/**
 * Read one frame; what does not fit into out is read and dropped.
 * @return its length; -1: none within timeout_ms, or the peer is gone.
 */
long td_raw_receive(struct td_raw *raw, void *out, size_t size, int timeout_ms);

/** Read and drop until the peer hangs up; false: not within timeout_ms. */
bool td_raw_until_gone(struct td_raw *raw, int timeout_ms);

#endif
