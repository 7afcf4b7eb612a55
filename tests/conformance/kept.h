/* What the files on streams and durable groups share: a stream of the test's
 * own, in memory where the backend has no data folder; events with numbers;
 * and hands, which note each delivery and answer as they are told. */
#ifndef TESTS_CONFORMANCE_KEPT_H
#define TESTS_CONFORMANCE_KEPT_H

#include "tests/conformance/conformance.h"
#include "tests/support/operate.h"

#define KEPT_CALLS_MAX 20000u /* that a hand notes */

/* A stream with one pattern, and a type that matches it. */
struct kept {
    char stream[16];
    char pattern[24];
    char type[24];
};

/* Names that no other test has. */
void kept_name(struct kept *k);
/* Its options, of this backend's storage, to be changed and added. */
struct tidings_stream_options kept_options(const struct kept *k,
                                           const char *patterns[1]);
/* Both steps in one. */
void kept_add(struct kept *k, tidings_bus *bus);
/* The same, of a stream that is keyed. */
void kept_add_keyed(struct kept *k, tidings_bus *bus);
/* The same, of a stream that is kept there. */
void kept_add_in(struct kept *k, tidings_bus *bus, enum tidings_storage storage,
                 bool keyed);
/* Checks with a stream in memory, and with one on disk if there is a data
 * folder. */
void kept_in_each_storage(struct conf *c,
                          void (*check)(struct conf *c,
                                        enum tidings_storage storage));

/* Publish events numbered from first on, and have them stored. */
void kept_publish(const struct kept *k, tidings_bus *bus, uint64_t first,
                  uint64_t count);
/* One with a partitionkey; not flushed. */
void kept_publish_key(const struct kept *k, tidings_bus *bus, const char *key,
                      uint64_t n);

/* All of the stream is pulled; group NULL: by a reader. */
tidings_sub *kept_pull(tidings_bus *bus, const struct kept *k,
                       const char *group);

/* A bus whose events are confirmed at the highest level there is. */
tidings_bus *kept_open(struct conf *c);

/* ---- hands ---- */

struct hand_call {
    uint64_t n; /* the event's number */
    uint64_t sequence;
    uint32_t deliveries;
    int64_t ms; /* when */
};

struct hand {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    uint64_t count;
    struct hand_call calls[KEPT_CALLS_MAX];
    struct tidings_delivery last; /* delivery */
    uint64_t missed;              /* told to on_gap … */
    uint64_t missed_first;        /* … from this sequence … */
    uint64_t missed_last;         /* … to this one, all in all … */
    char reason[64];              /* … with this reason */
    bool closed;                  /* calls wait while it is */
    bool undelivered; /* an event without a delivery: it should have one */
    /* set before subscribing: what each call answers */
    tidings_err (*answer)(struct hand *h, const struct hand_call *call);
    tidings_err err; /* without answer */
};

struct hand *hand_new(struct conf *c); /* the test's teardown frees it … */
void hand_free(struct hand *h);        /* … if this was not called before */
tidings_err hand_take(void *arg, const struct tidings_event *event);
/* For on_gap. */
void hand_gap(void *arg, const struct tidings_gap *gap);

/* A member of group, or a reader if that is NULL; options may be NULL. */
tidings_sub *hand_join(struct hand *h, tidings_bus *bus, const struct kept *k,
                       const char *group,
                       const struct tidings_sub_options *options);

void hand_open(struct hand *h, bool open);
bool hand_wait(struct hand *h, uint64_t calls, int timeout_ms);
bool hand_wait_missed(struct hand *h, uint64_t missed, int timeout_ms);
uint64_t hand_count(struct hand *h);
struct hand_call hand_call(struct hand *h, uint64_t i);
struct tidings_delivery hand_last(struct hand *h);
/* It saw first … first + count - 1, each once and in order, and no more. */
bool hand_saw_just(struct hand *h, uint64_t first, uint64_t count);

int hand_teardown(void **state); /* conf_teardown(), then frees the hands */

/* A row of a suite's table. */
#define KEPT_TEST(test)                                                        \
    cmocka_unit_test_setup_teardown(test, conf_setup, hand_teardown)

#endif
