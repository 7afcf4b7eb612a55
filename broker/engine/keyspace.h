/* What the engine keeps in the store: keys, and the bytes of values.
 *
 * A key is a table's byte and fixed fields, big-endian, so that keys sort as
 * their numbers do.
 *
 * | table    | key                                | value                      |
 * |----------|------------------------------------|----------------------------|
 * | STREAM   | stream u32                         | its options, a msgpack map |
 * | STATE    | stream u32                         | td_stream_state            |
 * | RECORD   | stream u32, its first sequence u64 | a record: one batch        |
 * | PRODUCER | producer, 16 bytes                 | td_stored, or naming.h     |
 * | GROUP    | group u32                          | td_group_row               |
 * | FLOOR    | group u32                          | td_floor                   |
 * | CHUNK    | group u32, number u64              | bits: settled.h            |
 * | COUNT    | group u32, number u64              | bytes: counts.h            |
 * | DEAD     | group u32, number u64              | td_dead_row                |
 * | SCHEDULE | due u64 (Unix ms), number u64      | td_schedule_row            |
 * | LAST     | stream u32, a name's hash, 16      | a sequence: last.h         |
 * | DEDUP    | stream u32, a record's first u64   | td_dedup_row               |
 * | TERM     | 0, u32                             | a term: call_producer.c    |
 *
 * STREAM and GROUP have each row twice, the second time under a key with one
 * byte more, 0: what all the others hang on is not lost with one damaged row.
 *
 * Table 0 is the store's own. Numbers of streams and groups are never used
 * again. Every value of a fixed shape begins with its version, one byte.
 *
 * A record is what one batch brought to one stream:
 *
 *    version u8 · flags u8 · events u32 · previous u64 · stored_ms i64 ·
 *    table_len u32 · table (a list of one batch, PROTOCOL.md 5) · body
 *
 * With flag 1 its events are gone: it says how many there were, and has neither
 * table nor body.
 *
 * previous is the first sequence of the record before it, 0 for the first that
 * the stream ever had: for who looks at a damaged folder; the engine goes by
 * first and events alone. In a stream that is compacted it may name what was
 * there before a pass that is between two of its pages, or was cut off there, or
 * had no room: the next pass puts that right. */
#ifndef TD_KEYSPACE_H
#define TD_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/scan.h"

enum td_table {
    TD_TABLE_STREAM = 1,
    TD_TABLE_STATE,
    TD_TABLE_RECORD,
    TD_TABLE_PRODUCER,
    TD_TABLE_GROUP,
    TD_TABLE_FLOOR,
    TD_TABLE_CHUNK,
    TD_TABLE_COUNT,
    TD_TABLE_DEAD,
    TD_TABLE_SCHEDULE,
    TD_TABLE_LAST = 11,
    TD_TABLE_DEDUP = 12,
    TD_TABLE_TERM,
    TD_TABLES_END
};

#define TD_PLACE_BYTES 32u /* room for any key of ours */

/* A key. */
struct td_place {
    uint8_t bytes[TD_PLACE_BYTES];
    size_t len;
};

/* The key as borrowed bytes; the place must outlive them. */
struct td_str td_place_str(const struct td_place *place);

/* Where a table begins; that of the next one is where it ends. */
struct td_place td_place_table(enum td_table table);
struct td_place td_place_one(enum td_table table, uint32_t a);
struct td_place td_place_two(enum td_table table, uint32_t a, uint64_t b);
/* Where the row of that key is once more. */
struct td_place td_place_again(const struct td_place *key);
struct td_place td_place_producer(const uint8_t producer[TD_PRODUCER_BYTES]);
struct td_place td_place_last(uint32_t stream,
                              const uint8_t hash[TD_LAST_HASH_BYTES]);

struct td_place td_place_due(int64_t due_ms, uint64_t number); /* SCHEDULE */

/* What a key says; false: it is none of that table. */
bool td_place_read_one(struct td_str key, enum td_table table, uint32_t *a);
/* *again: it is the second one of its row. */
bool td_place_read_twice(struct td_str key, enum td_table table, uint32_t *a,
                         bool *again);
bool td_place_read_two(struct td_str key, enum td_table table, uint32_t *a,
                       uint64_t *b);
bool td_place_read_producer(struct td_str key, struct td_str *producer);
bool td_place_read_due(struct td_str key, int64_t *due_ms, uint64_t *number);
bool td_place_read_last(struct td_str key, uint32_t *stream,
                        const uint8_t **hash);

/* ---- values: reading is false for one that is not of that shape ---- */

#define TD_VALUE_VERSION 1u

#define TD_RECORD_GONE_BYTES 26u /* of one whose events are gone */

struct td_record_head {
    bool gone; /* its events are: compaction */
    uint32_t events;
    uint64_t previous;
    int64_t stored_ms; /* Unix milliseconds */
    struct td_str table;
    struct td_str body; /* of a record that was read */
};

/* What stands before the body. */
void td_record_pack(struct td_buf *out, const struct td_record_head *head);
bool td_record_read(struct td_str value, struct td_record_head *out);

/* A stream's own counting: kept because what is deleted cannot be counted. */
struct td_stream_state {
    uint64_t first;       /* sequence of the oldest event that is kept */
    uint64_t next;        /* of the one that comes next */
    uint64_t last_record; /* the first sequence of the newest record; 0: none */
    uint64_t bytes;       /* of all records that are kept */
    int64_t stored_ms;    /* the newest record's */
    uint64_t indexed; /* from here on the last event of each name is known */
    uint64_t purged;  /* in memory alone: what is below it was purged, and
                             is no reason not to store it again */
};

void td_state_pack(struct td_buf *out, const struct td_stream_state *state);
bool td_state_read(struct td_str value, struct td_stream_state *out);

void td_last_row_pack(struct td_buf *out, uint64_t sequence);
bool td_last_row_read(struct td_str value, uint64_t *sequence);

/* Those events of a record whose publishers chose their ids: of each its place
 * in the record, u32, and a hash of source and id. */
struct td_dedup_row {
    int64_t stored_ms;  /* Unix milliseconds, not negative */
    struct td_str rows; /* TD_DEDUP_ROW_BYTES each; places rise */
};

#define TD_DEDUP_HASH_BYTES 16u
#define TD_DEDUP_ROW_BYTES  (4u + TD_DEDUP_HASH_BYTES)

/* The head, then each. */
void td_dedup_row_begin(struct td_buf *out, int64_t stored_ms);
void td_dedup_row_add(struct td_buf *out, uint32_t place,
                      const uint8_t hash[TD_DEDUP_HASH_BYTES]);
bool td_dedup_row_read(struct td_str value, struct td_dedup_row *out);
/* The nth of them: its hash, borrowed. */
const uint8_t *td_dedup_row_nth(const struct td_dedup_row *row, uint32_t nth,
                                uint32_t *place);

struct td_hole {
    uint64_t first;
    uint64_t last;
};

/* The last that is stored of a producer, and what below it is not. */
struct td_stored {
    uint64_t sequence; /* the producer's */
    uint64_t unsure;   /* up to here more is missing than the holes below say */
    uint32_t holes_len;
    struct td_hole holes[TD_HOLES_MAX];
};

void td_stored_pack(struct td_buf *out, const struct td_stored *stored);
bool td_stored_read(struct td_str value, struct td_stored *out);

/* A durable group: who it is, and what operators have said. */
struct td_group_row {
    uint32_t stream;
    bool paused;
    int64_t paused_until_ms; /* Unix; 0: until resumed */
    struct td_str options;   /* msgpack map, as of group.add */
};

void td_group_row_pack(struct td_buf *out, const struct td_group_row *row);
bool td_group_row_read(struct td_str value, struct td_group_row *out);

/* Events that a group will never have, all of them among these sequences. */
struct td_lost {
    uint64_t events; /* 0: none, and nor are these */
    uint64_t first;
    uint64_t last;
    bool damaged; /* some were in records that cannot be read: in no row, and
                     not known any more after a restart */
};

/* How far it has come. */
struct td_floor {
    uint64_t floor;
    uint64_t dead_next;    /* number of the next dead letter, from 1 on */
    uint64_t newest_to;    /* below it only the newest of each name; 0: all */
    struct td_lost untold; /* and no member knows */
    uint64_t dead_from;    /* it was sent elsewhere when this number came next:
                           earlier dead letters settle nothing; 0: never */
    bool seeking;          /* it begins at a time, and floor is a guess */
    int64_t sought_ms;     /* that time, Unix */
};

void td_floor_pack(struct td_buf *out, const struct td_floor *floor);
bool td_floor_read(struct td_str value, struct td_floor *out);

enum td_death { TD_DEATH_MAX_DELIVER, TD_DEATH_TERM, TD_DEATHS };

extern const char *const td_death_names[TD_DEATHS];

struct td_dead_row {
    enum td_death why;
    bool redrive; /* it is to be delivered again */
    uint64_t sequence;
    uint32_t deliveries;
    int64_t first_ms;
    int64_t last_ms;
    struct td_str error;   /* at most TD_REASON_BYTES_MAX */
    struct td_str handler; /* name of the session that had it last */
    struct td_str table;   /* a list of one batch of one event … */
    struct td_str body;    /* … and that event */
};

/* Rows of version 1 name no handler. */
void td_dead_row_pack(struct td_buf *out, const struct td_dead_row *row);
bool td_dead_row_read(struct td_str value, struct td_dead_row *out);

/* An event that waits for its time. Under the key (0, 0), which is none's, a
 * row without a table has the number that comes next. */
struct td_schedule_row {
    uint64_t next;       /* 0 in all others */
    struct td_str table; /* a list of one batch of one event … */
    struct td_str body;  /* … and that event, which has its own id */
};

void td_schedule_row_pack(struct td_buf *out,
                          const struct td_schedule_row *row);
bool td_schedule_row_read(struct td_str value, struct td_schedule_row *out);

#endif
