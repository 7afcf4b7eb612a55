/* Messages, and who is connected: an inbox on either side. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/embed_own.h"

void td_embed_inbox_init(struct td_embed_inbox *in)
{
    in->head = NULL;
    in->tail = &in->head;
}

static void inbox_push(struct td_embed_inbox *in, struct td_embed_message *m)
{
    m->next = NULL;
    *in->tail = m;
    in->tail = &m->next;
}

struct td_embed_message *td_embed_inbox_take(struct td_embed_inbox *in)
{
    struct td_embed_message *list = in->head;

    td_embed_inbox_init(in);
    return list;
}

/* len 0: a message that says the peer is gone. */
static struct td_embed_message *message_new(struct td_embed_peer *peer,
                                            const void *control, size_t len,
                                            struct td_body *body)
{
    struct td_embed_message *m = malloc(sizeof(*m) + len);

    if (!m)
        return NULL;
    m->peer = peer;
    m->body = body ? td_body_ref(body) : NULL;
    m->len = len;
    if (len)
        memcpy(m->control, control, len);
    return m;
}

void td_embed_message_free(struct td_embed_message *m)
{
    if (!m)
        return;
    td_body_unref(m->body);
    free(m);
}

static void messages_free(struct td_embed_message *list)
{
    while (list) {
        struct td_embed_message *next = list->next;

        td_embed_message_free(list);
        list = next;
    }
}

/* The engine's way out: into the peer's inbox. */
bool td_embed_port_send(void *ctx, struct td_str key, const void *control,
                        size_t len, struct td_body *body)
{
    struct td_embed_peer *peer;
    struct td_embed_message *m;
    bool wake = false;
    bool had;

    (void)ctx;
    assert(key.len == sizeof(peer));
    memcpy(&peer, key.data, sizeof(peer));
    m = message_new(peer, control, len, body);
    had = m != NULL;
    pthread_mutex_lock(&peer->lock);
    if (peer->wake_fd >= 0) {
        wake = !peer->inbox.head;
        if (m)
            inbox_push(&peer->inbox, m);
        else
            peer->lost = true;
        m = NULL;
    }
    if (wake) { /* under the lock: the descriptor may be closed after it */
        const uint64_t one = 1;

        if (write(peer->wake_fd, &one, sizeof(one)) < 0)
            wake = false; /* the counter is full: it is awake already */
    }
    pthread_mutex_unlock(&peer->lock);
    td_embed_message_free(m);
    return had;
}

void td_embed_peer_free(struct td_embed_peer *peer)
{
    messages_free(td_embed_inbox_take(&peer->inbox));
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

/* ---- connections ---- */

static void push_to_broker(struct td_embed *b, struct td_embed_message *m)
{
    bool wake;

    pthread_mutex_lock(&b->lock);
    inbox_push(&b->inbox, m);
    wake = b->asleep;
    b->asleep = false; /* one signal is enough */
    pthread_mutex_unlock(&b->lock);
    if (wake)
        td_embed_wake(b);
}

tidings_err td_embed_connect(struct td_embed_peer **out,
                             struct td_embed *broker, int wake_fd)
{
    struct td_embed_peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return TIDINGS_ENOMEM;
    peer->farewell = message_new(peer, NULL, 0, NULL);
    if (!peer->farewell) {
        free(peer);
        return TIDINGS_ENOMEM;
    }
    peer->broker = broker;
    peer->wake_fd = wake_fd;
    td_embed_inbox_init(&peer->inbox);
    pthread_mutex_init(&peer->lock, NULL);
    *out = peer;
    return TIDINGS_OK;
}

bool td_embed_send(struct td_embed_peer *peer, const void *control, size_t len,
                   struct td_body *body)
{
    struct td_embed_message *m = message_new(peer, control, len, body);

    if (!m)
        return false;
    push_to_broker(peer->broker, m);
    return true;
}

struct td_embed_message *td_embed_receive(struct td_embed_peer *peer,
                                          bool *lost)
{
    struct td_embed_message *list;

    pthread_mutex_lock(&peer->lock);
    list = td_embed_inbox_take(&peer->inbox);
    *lost = peer->lost;
    pthread_mutex_unlock(&peer->lock);
    return list;
}

void td_embed_disconnect(struct td_embed_peer *peer)
{
    struct td_embed_message *farewell;

    if (!peer)
        return;
    pthread_mutex_lock(&peer->lock);
    peer->wake_fd = -1;
    farewell = peer->farewell;
    pthread_mutex_unlock(&peer->lock);
    push_to_broker(peer->broker, farewell); /* its thread frees the peer */
}
