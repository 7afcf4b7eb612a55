/* Control frames: PROTOCOL.md 4. One table describes every operation; both
 * directions of the codec read it. */
#ifndef TD_FRAME_H
#define TD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/scan.h"
#include "tidings/err.h"

enum td_op {
    TD_HELLO = 1,
    TD_WELCOME,
    TD_PUBLISH,
    TD_TAKEN,
    TD_SUBSCRIBE,
    TD_UNSUBSCRIBE,
    TD_REPLY,
    TD_DELIVER,
    TD_CREDIT,
    TD_GAP,
    TD_PING,
    TD_PONG,
    TD_STATS,
    TD_BYE,
    TD_CALL,
    TD_CONFIRM,
    TD_SETTLE,
    TD_SETTLED,
    TD_SERVE,
    TD_UNSERVE,
    TD_HEALTH,
    TD_REQUEST,
    TD_HANDLE,
    TD_ANSWER,
    TD_RESPONSE,
    TD_OP_END
};

#define TD_PUBLISH_ASK         1u /* PUBLISH flags: answer with TAKEN in this turn */
#define TD_PUBLISH_LEVEL_SHIFT 1 /* … two bits: enum td_level to be confirmed */
#define TD_PUBLISH_ATOMIC      8u /* all of it or nothing, in one stream */
#define TD_PUBLISH_FLAGS_ALL   15u

/* How safe something is; each includes those before it. PROTOCOL.md 10.1 */
enum td_level {
    TD_LEVEL_MEMORY = 1, /* the broker has it: lost when it dies */
    TD_LEVEL_OS,         /* written: survives kill -9, not a power cut */
    TD_LEVEL_DISK        /* synced: survives both */
};

/* What a handler says of a delivery. PROTOCOL.md 10.2 */
enum td_verb {
    TD_ACK = 1,
    TD_NAK,
    TD_RELEASE,
    TD_TERM,
    TD_PROGRESS,
    TD_PARK, /* as release, and its whole group is parked */
    TD_VERBS_END
};

/* How an instance of a service is. PROTOCOL.md 11.2 */
enum td_health {
    TD_HEALTH_STARTING = 1,
    TD_HEALTH_RUNNING,
    TD_HEALTH_DEGRADED,
    TD_HEALTH_STOPPING,
    TD_HEALTH_DOWN,
    TD_HEALTHS_END
};

/* The event is delivered to its group again. */
static inline bool td_verb_comes_again(uint64_t verb)
{
    return verb == TD_NAK || verb == TD_RELEASE || verb == TD_PARK;
}

/* A decoded frame borrows the bytes it was decoded from. Fields named as in
 * PROTOCOL.md; td_str fields that are not str or bin hold whole msgpack
 * values: maps, batches, the lists of a DELIVER and a CREDIT, a REPLY's
 * result. */
struct td_frame {
    enum td_op op;
    union {
        struct {
            struct td_str magic;
            uint64_t version_min;
            uint64_t version_max;
            struct td_str producer;
            struct td_str name;
            struct td_str options;
        } hello;
        struct {
            uint64_t version;
            uint64_t epoch;
            uint64_t session;
            uint64_t taken;
            uint64_t events_limit;
            uint64_t bytes_limit;
            struct td_str limits;
        } welcome;
        struct {
            uint64_t flags;
            struct td_str batches;
            struct td_str options; /* a map; empty if there was none */
        } publish;
        struct {
            uint64_t taken;
            uint64_t events_limit;
            uint64_t bytes_limit;
        } taken;
        struct {
            uint64_t request;
            uint64_t subscription;
            struct td_str pattern;
            struct td_str options;
        } subscribe;
        struct {
            uint64_t request;
            uint64_t subscription;
        } unsubscribe;
        struct {
            uint64_t request;
            uint64_t code;
            struct td_str text;
            struct td_str result;
        } reply;
        struct {
            struct td_str parts;
        } deliver;
        struct {
            uint64_t messages;
            struct td_str list;
        } credit;
        struct {
            uint64_t subscription;
            uint64_t events;
            struct td_str reason;
            uint64_t first; /* of what a stream keeps: among these … */
            uint64_t last;  /* … sequences; 0: not said */
        } gap;
        struct {
            uint64_t token;
        } ping, pong;
        struct {
            uint64_t request;
            struct td_str options;
        } stats;
        struct {
            uint64_t code;
            struct td_str text;
        } bye;
        struct {
            uint64_t request;
            struct td_str name;
            struct td_str options;
        } call;
        struct {
            struct td_str list;
        } confirm, settle, settled, handle, answer, response;
        struct {
            uint64_t request;
            uint64_t service;
            struct td_str name;
            struct td_str version;
            struct td_str options;
        } serve;
        struct {
            uint64_t request;
            uint64_t service;
        } unserve;
        struct {
            uint64_t service;
            uint64_t state; /* enum td_health, not checked here */
            struct td_str text;
        } health;
        struct {
            struct td_str source;
            int64_t time_us; /* Unix */
            struct td_str list;
        } request;
    } u;
};

/* One row of a CREDIT's list. */
struct td_credit {
    uint64_t subscription;
    uint64_t taken;
    uint64_t events_limit;
    uint64_t bytes_limit;
};

/* One element of a DELIVER's list. */
struct td_part {
    uint64_t subscription;
    uint64_t tag;
    struct td_str batches;
    struct td_str spans; /* of a durable subscription: an array; else empty */
};

/* Where in its stream some of a part's events stand. */
struct td_span {
    uint64_t count; /* at least 1 */
    uint64_t sequence;
    uint64_t deliveries; /* at least 1; of a reader: 1 */
};

/* One row of a CONFIRM's list. */
struct td_confirm {
    uint64_t first; /* the producer's */
    uint64_t count; /* at least 1 */
    uint64_t code;
    struct td_str stream;
    uint64_t sequence;
    uint64_t level;
    bool duplicate;
};

/* One row of a SETTLE's list. */
struct td_settle {
    uint64_t subscription;
    uint64_t verb; /* enum td_verb, checked by the reader */
    uint64_t first;
    uint64_t last; /* not below first */
    uint64_t delay_ms;
    struct td_str reason; /* at most TD_REASON_BYTES_MAX */
};

/* One row of a SETTLED's list. */
struct td_settled {
    uint64_t subscription;
    uint64_t first;
    uint64_t last;
    uint64_t code;
};

#define TD_REQUEST_ID        1u /* flags: the event carries its own id, as in a run */
#define TD_REQUEST_MANY      16u /* every instance is to answer */
#define TD_REQUEST_FLAGS_ALL (TD_REQUEST_ID | TD_REQUEST_MANY)

/* One row of a REQUEST's list. */
struct td_request_row {
    uint64_t number; /* the caller's */
    struct td_str type;
    uint64_t flags; /* of TD_REQUEST_FLAGS_ALL */
    uint64_t left_ms;
    uint64_t bytes;
    struct td_str options; /* a map; empty: there are none */
};

/* One row of a HANDLE's list. */
struct td_handle_row {
    uint64_t task; /* the broker's number */
    uint64_t service;
    uint64_t endpoint; /* from 1 on; 0: a ping */
    struct td_str type;
    uint64_t flags;
    uint64_t left_ms;
    uint64_t bytes;
    uint64_t session; /* the caller's … */
    uint64_t number;  /* … and its number of it */
    struct td_str source;
    int64_t time_us;
};

/* One row of an ANSWER's list. */
struct td_answer_row {
    uint64_t task;
    uint64_t code;
    uint64_t status;
    uint64_t held_us;
    uint64_t took_us;
    uint64_t bytes;
    struct td_str text; /* at most TD_ANSWER_TEXT_BYTES_MAX */
};

/* One row of a RESPONSE's list. */
struct td_response_row {
    uint64_t number; /* the caller's */
    uint64_t code;
    uint64_t status;
    uint64_t bytes;
    struct td_str text;
    uint64_t left; /* responses that are still to come */
    struct td_str instance;
};

/* Name of an operation, "PUBLISH"; "?" for none. */
const char *td_op_name(unsigned op);

/* Whether a body frame follows. */
bool td_op_has_body(enum td_op op);

/**
 * Decode a control frame from a peer.
 *
 * @param from_client  whose operations are allowed.
 * @param why          on failure: a text for the peer, static.
 * @return TIDINGS_OK, or TIDINGS_EPROTO and *out not to be used.
 */
tidings_err td_frame_decode(struct td_frame *out, const void *data, size_t len,
                            bool from_client, const char **why);

/* Append the encoded frame to b; out of memory shows in b->failed. */
void td_frame_encode(struct td_buf *b, const struct td_frame *frame);

/* Rows of a CREDIT: begin, then each. Reading: td_read_array, then each. */
void td_credit_begin(struct td_buf *list, uint32_t rows);
void td_credit_append(struct td_buf *list, const struct td_credit *row);
bool td_credit_read(struct td_reader *list, struct td_credit *out);

/* Parts of a DELIVER: the list's head, then of each its begin and its batches,
 * and with spans their list. Reading: td_read_array, then each. */
void td_part_begin(struct td_buf *parts, uint64_t subscription, uint64_t tag,
                   bool with_spans);
bool td_part_read(struct td_reader *parts, struct td_part *out);

/* The lists of CONFIRM, SETTLE, SETTLED and of a part's spans: the head with
 * the number of rows, then each. Reading: td_read_array, then each. */
void td_list_begin(struct td_buf *list, uint32_t rows);
void td_span_append(struct td_buf *list, const struct td_span *row);
bool td_span_read(struct td_reader *list, struct td_span *out);
void td_confirm_append(struct td_buf *list, const struct td_confirm *row);
bool td_confirm_read(struct td_reader *list, struct td_confirm *out);
void td_settle_append(struct td_buf *list, const struct td_settle *row);
bool td_settle_read(struct td_reader *list, struct td_settle *out);
void td_settled_append(struct td_buf *list, const struct td_settled *row);
bool td_settled_read(struct td_reader *list, struct td_settled *out);

/* The same of REQUEST, HANDLE, ANSWER and RESPONSE: request_rows.c. */
void td_request_append(struct td_buf *list, const struct td_request_row *row);
bool td_request_read(struct td_reader *list, struct td_request_row *out);
void td_handle_append(struct td_buf *list, const struct td_handle_row *row);
bool td_handle_read(struct td_reader *list, struct td_handle_row *out);
void td_answer_append(struct td_buf *list, const struct td_answer_row *row);
bool td_answer_read(struct td_reader *list, struct td_answer_row *out);
void td_response_append(struct td_buf *list, const struct td_response_row *row);
bool td_response_read(struct td_reader *list, struct td_response_row *out);

/* A NUL-terminated string as td_str, and an empty msgpack map. */
struct td_str td_str_of(const char *s);
extern const struct td_str td_empty_map;
extern const struct td_str td_nil;

#endif
