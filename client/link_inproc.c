/* inproc://NAME: messages pass to the embedded broker by reference. */
#include "broker/embed.h"
#include "client/detail.h"
#include "client/link.h"
#include "proto/limits.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SCHEME         "inproc://"
#define NAME_MAX_BYTES 64

struct td_link {
    struct td_embed *broker;
    struct td_embed_peer *peer;    /* NULL: not open */
    struct td_embed_message *list; /* taken from the broker, not yet read */
    int wake_fd;
};

#define DATA "data="

/* What follows NAME: nothing, or ?data=DIR; '&' would begin a second option. */
static tidings_err read_options(const char *rest, const char *options,
                                const char **data)
{
    const char *name = options + 1;
    const char *second = strchr(options, '&');
    bool has_data = *options && strncmp(name, DATA, strlen(DATA)) == 0;

    *data = has_data ? name + strlen(DATA) : NULL;
    if (!*options || (has_data && **data && !second))
        return TIDINGS_OK;
    if (has_data && !second)
        return td_fail(TIDINGS_EINVAL, "inproc://%s: DIR is empty", rest);
    if (has_data)
        name = second + 1;
    return td_fail(TIDINGS_EINVAL,
                   "inproc://%s: no option \"%.*s\": the only one is data=DIR, "
                   "with no '&' in DIR",
                   rest, (int)strcspn(name, "=&"), name);
}

static tidings_err read_url(const char *rest, char name[NAME_MAX_BYTES + 1],
                            const char **data)
{
    size_t len = strcspn(rest, "?");

    if (len < 1 || len > NAME_MAX_BYTES ||
        strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_.-") != len)
        return td_fail(TIDINGS_EINVAL,
                       "inproc://%s: a name is 1 to %d of [A-Za-z0-9_.-]", rest,
                       NAME_MAX_BYTES);
    memcpy(name, rest, len);
    name[len] = '\0';
    return read_options(rest, rest + len, data);
}

static void inproc_close(struct td_link *link)
{
    td_embed_disconnect(link->peer);
    link->peer = NULL;
    while (link->list) {
        struct td_embed_message *next = link->list->next;

        td_embed_message_free(link->list);
        link->list = next;
    }
}

static void inproc_free(struct td_link *link)
{
    if (!link)
        return;
    inproc_close(link);
    if (link->broker)
        td_embed_close(link->broker);
    if (link->wake_fd >= 0)
        close(link->wake_fd);
    free(link);
}

/* The broker lives from here on, not only while the link is open. */
static tidings_err inproc_new(struct td_link **out, const char *url)
{
    char name[NAME_MAX_BYTES + 1];
    char why[TD_STORE_WHY_BYTES] = "";
    struct td_link *link = NULL;
    const char *data = NULL;
    tidings_err err = read_url(url + strlen(SCHEME), name, &data);

    if (err)
        return err;
    link = calloc(1, sizeof(*link));
    if (!link)
        return TIDINGS_ENOMEM;
    link->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    err = link->wake_fd < 0 ? TIDINGS_EIO
                            : td_embed_open(&link->broker, name, data, why);
    if (err) {
        inproc_free(link);
        return why[0] ? td_fail(err, "inproc://%s: %s", name, why) : err;
    }
    *out = link;
    return TIDINGS_OK;
}

static tidings_err inproc_open(struct td_link *link)
{
    return td_embed_connect(&link->peer, link->broker, link->wake_fd);
}

static bool inproc_send(struct td_link *link, const void *control, size_t len,
                        struct td_body *body)
{
    return link->peer && td_embed_send(link->peer, control, len, body);
}

static enum td_receive inproc_receive(struct td_link *link,
                                      struct td_message **out, const char **why)
{
    struct td_embed_message *m;
    bool lost = false;
    uint64_t count;

    if (!link->list && link->peer) {
        link->list = td_embed_receive(link->peer, &lost);
        /* Written once for what was taken. If it was written again meanwhile
         * that is lost here, but nobody polls before nothing is left. */
        if ((link->list || lost) &&
            read(link->wake_fd, &count, sizeof(count)) < 0)
            count = 0;
    }
    m = link->list;
    if (!m) {
        *why = "broker is out of memory";
        return lost ? TD_LINK_LOST : TD_NOTHING;
    }
    *out = td_message_new(m->control, m->len, m->body);
    if (!*out) {
        *why = "out of memory";
        return TD_LINK_LOST;
    }
    m->body = NULL; /* its reference has moved */
    link->list = m->next;
    td_embed_message_free(m);
    return TD_RECEIVED;
}

static bool inproc_has_input(struct td_link *link)
{
    return link->list != NULL; /* the rest shows in the descriptor */
}

static int inproc_fds(struct td_link *link, struct pollfd out[TD_LINK_FDS_MAX])
{
    out[0].fd = link->wake_fd;
    out[0].events = POLLIN;
    return 1;
}

const struct td_backend td_backend_inproc = {
    .scheme = SCHEME,
    .new = inproc_new,
    .free = inproc_free,
    .open = inproc_open,
    .close = inproc_close,
    .send = inproc_send,
    .receive = inproc_receive,
    .has_input = inproc_has_input,
    .fds = inproc_fds,
};
