/* A broker with one stream, on a thread of its own, as far as a member of a
 * durable group can tell: it greets, takes sessions up again, delivers what it
 * is told to, and keeps what it hears of that. What is on its way when the link
 * is lost is not sent again. */
#ifndef TESTS_UNIT_STREAM_BROKER_H
#define TESTS_UNIT_STREAM_BROKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BROKER_TAGS_MAX 70000u

struct heard {
    unsigned verb; /* 0: nothing */
    unsigned times;
    unsigned progress;
    uint64_t delay_ms;
    char reason[256];
};

struct stream_broker {
    void *context;
    void *router;
    char url[64];
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    bool stop;
    uint64_t limit;       /* credit, events */
    uint64_t sent;        /* tags so far … */
    uint64_t wanted;      /* … and how many there are to be */
    unsigned keys;        /* > 0: event n has the key n % keys */
    uint32_t piece;       /* events in a message */
    unsigned ack_wait_ms; /* that it tells of its group; 0: nothing */
    bool joined;
    bool ended;       /* UNSUBSCRIBE or BYE came */
    uint64_t settles; /* frames */
    uint64_t rows;
    uint64_t subscription;
    char call[80]; /* the last, and its options */
    struct heard heard[BROKER_TAGS_MAX];
};

/* NULL: no memory or no socket. */
struct stream_broker *broker_new(void);
void broker_free(struct stream_broker *b);
/* So many more events. */
void broker_deliver(struct stream_broker *b, uint64_t events);
/* Waits until the first so many tags are settled; false: not in time. */
bool broker_wait_settled(struct stream_broker *b, uint64_t tags);
struct heard broker_heard(struct stream_broker *b, uint64_t tag);

#endif
