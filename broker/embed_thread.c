/* The thread of an embedded broker. It waits for messages, for the store and for
 * the engine's deadline. */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "broker/embed_own.h"

#define TURN_MESSAGES 8 /* then what they brought goes out */

int64_t td_embed_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void handle(struct td_embed *b, struct td_embed_message *m, int64_t now)
{
    struct td_str key = {(const char *)&m->peer, sizeof(m->peer)};

    if (m->len > 0) {
        td_engine_message(b->engine, key, m->body ? 2 : 1, m->control, m->len,
                          m->body, now);
    } else { /* the last message of this peer */
        td_engine_gone(b->engine, key, now);
        td_engine_flush(b->engine, now);
        td_embed_peer_free(m->peer);
    }
}

void td_embed_wake(struct td_embed *b)
{
    const uint64_t one = 1;

    if (write(b->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake already */
}

/* Until it is woken, the store has something, or the deadline. */
static void wait_input(struct td_embed *b, int64_t deadline_ms)
{
    struct pollfd fds[2] = {{.fd = b->wake_fd, .events = POLLIN}};
    int64_t left = -1;
    uint64_t count;

    if (b->store)
        fds[1] = (struct pollfd){.fd = b->store->face->fd(b->store),
                                 .events = POLLIN};
    if (deadline_ms != TD_NEVER)
        left = deadline_ms - td_embed_now_ms();
    if (deadline_ms != TD_NEVER && left < 0)
        left = 0;
    poll(fds, b->store ? 2 : 1, left > INT32_MAX ? INT32_MAX : (int)left);
    if (fds[0].revents && read(b->wake_fd, &count, sizeof(count)) < 0)
        return; /* nothing was written after all */
}

/* Waits for messages until the deadline; false: it is time to end. */
static bool wait_messages(struct td_embed *b, int64_t deadline_ms,
                          struct td_embed_message **out)
{
    bool more;

    pthread_mutex_lock(&b->lock);
    b->asleep = !b->inbox.head && !b->stop;
    if (b->asleep) {
        pthread_mutex_unlock(&b->lock);
        wait_input(b, deadline_ms);
        pthread_mutex_lock(&b->lock);
        b->asleep = false;
    }
    *out = td_embed_inbox_take(&b->inbox);
    more = *out || !b->stop;
    pthread_mutex_unlock(&b->lock);
    return more;
}

void *td_embed_main(void *arg)
{
    struct td_embed *b = arg;
    struct td_embed_message *list;
    int64_t deadline = TD_NEVER;

    prctl(PR_SET_NAME, "tidings-broker");
    while (wait_messages(b, deadline, &list)) {
        int64_t now = td_embed_now_ms();
        unsigned n = 0;

        while (list) {
            struct td_embed_message *next = list->next;

            handle(b, list, now);
            td_embed_message_free(list);
            list = next;
            if (++n % TURN_MESSAGES == 0)
                td_engine_flush(b->engine, now);
        }
        deadline = td_engine_flush(b->engine, now);
    }
    td_engine_stop(b->engine, td_embed_now_ms());
    /* What the store is to keep. */
    td_engine_flush(b->engine, td_embed_now_ms());
    return NULL;
}
