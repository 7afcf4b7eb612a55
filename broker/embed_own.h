/* What the parts of an embedded broker share: its state, and that of those who
 * are connected to it. */
#ifndef TD_EMBED_OWN_H
#define TD_EMBED_OWN_H

#include <pthread.h>

#include "broker/embed.h"
#include "broker/engine/engine.h"
#include "broker/store/lmdb.h"

#define EMBED_NAME_MAX 64

/* Messages in order of arrival; guarded by whoever embeds it. */
struct td_embed_inbox {
    struct td_embed_message *head;
    struct td_embed_message **tail;
};

struct td_embed_peer {
    struct td_embed *broker;
    pthread_mutex_t lock; /* of what follows */
    struct td_embed_inbox inbox;
    int wake_fd; /* -1: disconnected */
    bool lost;   /* a message to it, for want of memory: its session is over */
    struct td_embed_message *farewell; /* made early: leaving cannot fail */
};

struct td_embed {
    struct td_embed *next; /* in the list of all */
    char name[EMBED_NAME_MAX + 1];
    unsigned opens;
    char *data;               /* NULL: it keeps nothing */
    struct td_store *store;   /* with data */
    int wake_fd;              /* written when it is asleep, or is to stop */
    struct td_engine *engine; /* its thread's alone */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct td_embed_inbox inbox;
    bool asleep;
    bool stop;
};

int64_t td_embed_now_ms(void); /* monotonic */

/* ---- embed_peer.c ---- */

void td_embed_inbox_init(struct td_embed_inbox *in);
/* All of it, oldest first. */
struct td_embed_message *td_embed_inbox_take(struct td_embed_inbox *in);
/* The engine's way out: into the peer's inbox. */
bool td_embed_port_send(void *ctx, struct td_str key, const void *control,
                        size_t len, struct td_body *body);
void td_embed_peer_free(struct td_embed_peer *peer);

/* ---- embed_thread.c ---- */

/* The broker's thread; its argument is the broker. */
void *td_embed_main(void *arg);
/* Under the broker's lock, or when it is alone. */
void td_embed_wake(struct td_embed *b);

#endif
