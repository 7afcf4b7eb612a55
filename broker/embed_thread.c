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

static struct timespec timespec_of(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    return t;
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

/* Where the store may wake it as well. Without the lock. */
static void poll_both(struct td_embed *b, int64_t deadline_ms)
{
    struct pollfd fds[2] = {
        {.fd = b->wake_fd, .events = POLLIN},
        {.fd = b->store->face->fd(b->store), .events = POLLIN},
    };
    int64_t left =
        deadline_ms == TD_NEVER ? -1 : deadline_ms - td_embed_now_ms();
    uint64_t count;

    if (deadline_ms != TD_NEVER && left < 0)
        left = 0;
    poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left);
    if (fds[0].revents && read(b->wake_fd, &count, sizeof(count)) < 0)
        count = 0;
}

void td_embed_wake(struct td_embed *b)
{
    const uint64_t one = 1;

    if (b->wake_fd < 0)
        pthread_cond_signal(&b->arrived);
    else if (write(b->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake already */
}

static bool wait_messages_or_store(struct td_embed *b, int64_t deadline_ms,
                                   struct td_embed_message **out)
{
    bool more;

    pthread_mutex_lock(&b->lock);
    b->asleep = !b->inbox.head && !b->stop;
    if (b->asleep) {
        pthread_mutex_unlock(&b->lock);
        poll_both(b, deadline_ms);
        pthread_mutex_lock(&b->lock);
        b->asleep = false;
    }
    *out = td_embed_inbox_take(&b->inbox);
    more = *out || !b->stop;
    pthread_mutex_unlock(&b->lock);
    return more;
}

/* Waits for messages until the deadline; false: it is time to end. */
static bool wait_messages(struct td_embed *b, int64_t deadline_ms,
                          struct td_embed_message **out)
{
    bool more;

    if (b->store)
        return wait_messages_or_store(b, deadline_ms, out);
    pthread_mutex_lock(&b->lock);
    b->asleep = true;
    while (!b->inbox.head && !b->stop) {
        struct timespec t = timespec_of(deadline_ms);

        if (deadline_ms == TD_NEVER)
            pthread_cond_wait(&b->arrived, &b->lock);
        else if (pthread_cond_timedwait(&b->arrived, &b->lock, &t) != 0)
            break;
    }
    b->asleep = false;
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
