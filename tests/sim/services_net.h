/* Links of the simulation of services. */
#ifndef TESTS_SIM_SERVICES_NET_H
#define TESTS_SIM_SERVICES_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"

struct svc;
struct svc_client;
struct td_str;

struct svc_message {
    struct svc_message *next;
    int64_t at_ms;
    unsigned frames;
    struct td_body *body;
    size_t len;
    uint8_t control[];
};

struct svc_pipe {
    struct svc_message *head;
    struct svc_message **tail;
    int64_t last_ms;
    bool hole;
};

struct svc_link {
    struct svc_link *prev;
    struct svc_link *next;
    uint32_t number;
    struct svc_client *client; /* NULL: closed there */
    struct svc_client *owner;
    struct svc_pipe up;
    struct svc_pipe down;
    bool hurt;       /* something was done to it, or its owner has left it */
    int64_t shut_ms; /* from then on the broker's sends fail */
    bool busy;       /* its session was given a request, at some time */
    int64_t tell_client_ms;
    int64_t tell_broker_ms;
    uint8_t id[5];
};

struct svc_link *svc_link_new(struct svc *w, struct svc_client *client);
struct svc_link *svc_link_of(struct svc *w, struct td_str peer); /* or NULL */
void svc_pipe_put(struct svc *w, struct svc_pipe *pipe, const void *control,
                  size_t len, struct td_body *body);
/* The next that has arrived, the caller's; NULL: none has. */
struct svc_message *svc_pipe_get(struct svc_pipe *pipe, int64_t now_ms);
int64_t svc_pipe_next_ms(const struct svc_pipe *pipe);
void svc_pipe_clear(struct svc_pipe *pipe);
void svc_message_free(struct svc_message *m);
/* The client's end is closed. */
void svc_link_close(struct svc *w, struct svc_link *link, bool clean);
/* It is lost, with what is on its way; both ends are told, unless silent. */
void svc_link_lose(struct svc *w, struct svc_link *link, bool silent);
void svc_links_sweep(struct svc *w);
void svc_links_free(struct svc *w);

#endif
