/* A service with an outbox, or with an inbox, as a process that may be killed.
 *
 *     outbox_worker write WHERE URL STREAM GROUP SEED  counts for some keys, and
 *            publishes each number in the same transaction
 *     outbox_worker flush WHERE URL STREAM GROUP SEED  only relays; "flushed"
 *     outbox_worker read WHERE URL STREAM GROUP SEED   writes down each number,
 *            and whether it was the next of its key
 *
 * Each says "ready", and lives until its input ends. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/outbox_db.h"

#define KEYS       8
#define CONNECT_MS 30000

struct number {
    int32_t key;
    int32_t n;
};

static uint32_t seed;

static int below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)(((uint64_t)seed * limit) >> 32);
}

static bool input_ends(int timeout_ms)
{
    struct pollfd ready = {.fd = 0, .events = POLLIN};

    return poll(&ready, 1, timeout_ms) != 0;
}

static void say(const char *word)
{
    printf("%s\n", word);
    fflush(stdout);
}

/* ---- write ---- */

static tidings_err count_one(struct outbox_db *db, int key)
{
    struct number number = {.key = key};
    char text[8];
    char sql[160];
    const struct tidings_attr attr = {.name = "partitionkey", .string = text};
    const struct tidings_event event = {.type = key % 2 ? "kill.a" : "kill.b",
                                        .data = &number,
                                        .data_len = sizeof(number),
                                        .attrs = &attr,
                                        .attrs_len = 1};
    tidings_err err;

    snprintf(text, sizeof(text), "%d", key);
    snprintf(sql, sizeof(sql),
             "INSERT INTO written VALUES (%d, 1) ON CONFLICT (k) DO UPDATE"
             " SET n = written.n + 1",
             key);
    err = outbox_db_try(db, sql);
    if (err)
        return err;
    snprintf(sql, sizeof(sql), "SELECT n FROM written WHERE k = %d", key);
    number.n = (int32_t)outbox_db_number(db, sql);
    return outbox_db_publish(db, &event);
}

static void transaction(struct outbox_db *db)
{
    int events = 1 + below(4);
    tidings_err err = TIDINGS_OK;

    outbox_db_run(db, db->sqlite ? "BEGIN IMMEDIATE" : "BEGIN");
    while (events-- > 0 && !err)
        err = count_one(db, below(KEYS));
    if (err) {
        fprintf(stderr, "%s\n", tidings_detail());
        exit(1);
    }
    outbox_db_run(db, below(10) == 0 ? "ROLLBACK" : "COMMIT");
}

static void write_on(struct outbox_db *db, tidings_relay *relay)
{
    while (!input_ends(below(3))) {
        transaction(db);
        if (below(2))
            tidings_relay_wake(relay);
    }
}

/* ---- read ---- */

static tidings_err on_event(struct outbox_db *db,
                            const struct tidings_event *event)
{
    struct number got;
    char sql[200];

    memcpy(&got, event->data, sizeof(got));
    snprintf(sql, sizeof(sql),
             "INSERT INTO effects SELECT %d, %d, CASE WHEN coalesce(max(n), 0)"
             " = %d THEN 1 ELSE 0 END FROM effects WHERE k = %d",
             got.key, got.n, got.n - 1, got.key);
    return outbox_db_try(db, sql);
}

static int read_on(struct outbox_db *db, const char *url, const char *stream,
                   const char *group)
{
    const struct tidings_sub_options options = {
        .stream = stream,
        .group = group,
        .group_policy = TIDINGS_BY_KEY,
        .timeout_ms = CONNECT_MS,
    };
    tidings_bus *bus = NULL;

    db->handle = on_event;
    if (tidings_open(&bus, url, NULL) ||
        outbox_db_subscribe(db, bus, &options)) {
        fprintf(stderr, "read: %s\n", tidings_detail());
        return 1;
    }
    say("ready");
    input_ends(-1);
    return tidings_close(bus) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct outbox_db db;
    tidings_relay *relay = NULL;
    int code = 0;

    if (argc != 7)
        return 2;
    seed = (uint32_t)strtoul(argv[6], NULL, 10);
    outbox_db_open(&db, argv[2]);
    if (strcmp(argv[1], "read") == 0) {
        code = read_on(&db, argv[3], argv[4], argv[5]);
    } else {
        outbox_db_relay(&relay, argv[2], argv[3]);
        say("ready");
        if (strcmp(argv[1], "write") == 0)
            write_on(&db, relay);
        else if (tidings_relay_flush(relay, 60000) == TIDINGS_OK)
            say("flushed");
        tidings_relay_close(relay);
    }
    outbox_db_close(&db);
    return code;
}
