/* Options of streams and of durable groups: PROTOCOL.md 10. Shapes, bounds and
 * defaults stand here once, for the broker, the client and configuration
 * files. Pure. */
#ifndef TD_STREAM_H
#define TD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/scan.h"

enum td_on_full { TD_DISCARD_OLD, TD_REJECT, TD_ON_FULLS };
enum td_storage { TD_ON_DISK, TD_IN_MEMORY, TD_STORAGES };

extern const char *const td_on_full_names[TD_ON_FULLS];
extern const char *const td_storage_names[TD_STORAGES];

/* Strings are borrowed. */
struct td_stream_options {
    struct td_str name; /* 1..TD_STREAM_NAME_BYTES_MAX of [A-Za-z0-9_.-] */
    struct td_str patterns[TD_STREAM_PATTERNS_MAX];
    uint32_t patterns_len; /* at least 1; none overlaps with another of them,
                              none begins with $ */
    uint64_t max_age_ms;   /* 0: no bound, as for the next two */
    uint64_t max_bytes;
    uint64_t max_events;
    uint64_t dedup_ms;     /* default TD_DEDUP_MS; 0: off, as for the next */
    uint64_t dedup_events; /* 0..TD_DEDUP_EVENTS_MAX, default TD_DEDUP_EVENTS */
    enum td_on_full on_full;
    enum td_storage storage;
    bool keyed;   /* names are partitionkeys where events have them */
    bool compact; /* keyed and on disk: the newest of each name is kept */
    uint64_t tombstone_ms; /* one without data goes after this, default
                              TD_TOMBSTONE_MS */
};

/* Reads a scanned msgpack map, and checks everything above; what is left out
 * has its default (of patterns the default stream alone has one), unknown keys
 * are errors here. NULL, or a static text that says which option and why. */
const char *td_stream_options_read(struct td_stream_options *out,
                                   struct td_str map);
/* The same, but what is left out stays as it is in *o. */
const char *td_stream_options_change(struct td_stream_options *o,
                                     struct td_str map);
/* The same checks for options that came another way. */
const char *td_stream_options_check(const struct td_stream_options *o);
/* The one that gives way to all others, and takes what they do not. */
bool td_stream_is_default(const struct td_stream_options *o);
/* Its patterns say so. A text as above; not of what a store holds already. */
const char *td_stream_default_check(const struct td_stream_options *o);
/* A whole map, of all options; reading it gives the same. The rows of it alone
 * without its head, to be part of a larger one: td_stream_options_rows, which
 * are TD_STREAM_OPTIONS_ROWS pairs. */
#define TD_STREAM_OPTIONS_ROWS 12u
void td_stream_options_pack(struct td_buf *out,
                            const struct td_stream_options *o);
void td_stream_options_rows(struct td_buf *out,
                            const struct td_stream_options *o);
/* Order of patterns included. */
bool td_stream_options_equal(const struct td_stream_options *a,
                             const struct td_stream_options *b);

/* ---- durable groups ---- */

enum td_start_kind {
    TD_START_NEW,
    TD_START_ALL,
    TD_START_SEQUENCE,
    TD_START_TIME,
    TD_START_LAST
};

struct td_start {
    enum td_start_kind kind;
    uint64_t sequence; /* SEQUENCE: at least 1 */
    int64_t time_ms;   /* TIME: Unix */
};

struct td_durable_options {
    struct td_str stream;
    struct td_str group;   /* empty: a reader */
    struct td_str pattern; /* default ">" */
    struct td_start start;
    uint32_t share; /* index in td_share_names below: 0 round_robin, 1 random,
                       2 least_pending, 3 key, 4 single */
    uint32_t max_in_flight;
    uint32_t ack_wait_ms;
    uint32_t max_deliver;
    uint32_t backoff_ms;
    uint32_t backoff_max_ms; /* at least backoff_ms */
};

#define TD_SHARE_NAMES 5u
extern const char *const td_durable_shares[TD_SHARE_NAMES];

/* Reads the options of "group.add", or of a SUBSCRIBE (whose other keys are
 * ignored, and whose pattern is given by the frame: then set by the caller
 * afterwards). given: which of the options were in the map, as bits of
 * enum td_given; may be NULL. */
enum td_given {
    TD_GIVEN_START = 1,
    TD_GIVEN_SHARE = 2,
    TD_GIVEN_MAX_IN_FLIGHT = 4,
    TD_GIVEN_ACK_WAIT = 8,
    TD_GIVEN_MAX_DELIVER = 16,
    TD_GIVEN_BACKOFF = 32,
    TD_GIVEN_BACKOFF_MAX = 64,
    TD_GIVEN_PATTERN = 128
};
const char *td_durable_options_read(struct td_durable_options *out,
                                    struct td_str map, unsigned *given);
/* Whole map; start is packed as it was given. */
void td_durable_options_pack(struct td_buf *out,
                             const struct td_durable_options *o);
/* The same without its head: so many pairs. */
uint32_t td_durable_options_len(const struct td_durable_options *o);
void td_durable_options_rows(struct td_buf *out,
                             const struct td_durable_options *o);
/* Which of the given options differ from those of a group that is there;
 * NULL: none, or a static text that names it. start is not compared. */
const char *td_durable_options_differ(const struct td_durable_options *there,
                                      const struct td_durable_options *wish,
                                      unsigned given);
/* The start of "group.seek": options start and start_ms. NULL or a text. */
const char *td_start_read(struct td_start *out, struct td_str map);

#endif
