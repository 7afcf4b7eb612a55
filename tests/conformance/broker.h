/* A broker over a real socket that is not of this library, and plays a part;
 * and the frames that it is made of. */
#ifndef TESTS_CONFORMANCE_BROKER_H
#define TESTS_CONFORMANCE_BROKER_H

#include <msgpack.h>
#include <pthread.h>
#include <stdatomic.h>

/* The epoch of the first session; each has the next one. */
#define EPOCH 1000
/* How often MISSING says so. */
#define GAPS 1100

/* Operations, PROTOCOL.md 4. */
enum op {
    HELLO = 1,
    WELCOME = 2,
    PUBLISH = 3,
    TAKEN = 4,
    SUBSCRIBE = 5,
    UNSUBSCRIBE = 6,
    REPLY = 7,
    DELIVER = 8,
    GAP = 10,
    PING = 11,
    PONG = 12,
    BYE = 14,
    CONFIRM = 16
};

struct frame {
    msgpack_sbuffer bytes;
    msgpack_packer pk;
};

void frame_begin(struct frame *f, unsigned fields, enum op op);
void put_text(struct frame *f, const char *text);
void put_bin(struct frame *f, const void *data, size_t len);

struct run {
    const char *type;
    uint64_t count;
    uint64_t bytes;
    uint64_t first;
};

/* A list of one batch of one run without flags. */
void put_batch(struct frame *f, const char *producer, const struct run *run);

enum part {
    OTHER_VERSION, /* BYE to every HELLO */
    REFUSING,      /* refuses every SUBSCRIBE */
    FORGETFUL,     /* ends the first session when it is published to; then
                      it is another, and refuses */
    BABBLING,      /* sends a broken DELIVER to the first subscription */
    MISSING,   /* tells the first subscription of many gaps, then delivers */
    REPEATING, /* delivers; ends the first session when it is published to;
                      then it is another, and delivers some of it again */
    /* of broker_store.c: these take what is published, and confirm … */
    STORING,        /* … all of it */
    STORELESS,      /* … nothing: ENOSTREAM */
    FORGETTING,     /* … nothing at first, and end the session after FORGOTTEN
                    events; then all of it, as duplicates */
    PROCRASTINATING /* … nothing, ever */
};

struct broker {
    enum part part;
    void *context;
    void *router;
    char endpoint[256];
    pthread_t thread;
    atomic_bool stop;
    atomic_uint hellos;
    unsigned subscribes;
    uint64_t taken;
};

/* See FORGETTING. */
#define FORGOTTEN 1000

void broker_start(struct broker *b, enum part part);
void broker_stop(struct broker *b);

/* To the peer with that routing id; ends the frame. */
void broker_send(struct broker *b, void *peer, struct frame *f,
                 const void *body, size_t len);
void broker_send_bye(struct broker *b, void *peer, int code);

/* broker_store.c: a PUBLISH with these fields. */
void broker_on_publish(struct broker *b, void *peer,
                       const msgpack_object *fields);

#endif
