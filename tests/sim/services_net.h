/* Links of the simulation of services. */
#ifndef TESTS_SIM_SERVICES_NET_H
#define TESTS_SIM_SERVICES_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/pipe.h"

struct svc;
struct svc_client;
struct td_str;

struct svc_link {
    struct svc_link *prev;
    struct svc_link *next;
    uint32_t number;
    struct svc_client *client; /* NULL: closed there */
    struct svc_client *owner;
    struct sim_pipe up;
    struct sim_pipe down;
    bool hurt;       /* something was done to it, or its owner has left it */
    int64_t shut_ms; /* from then on the broker's sends fail */
    bool busy;       /* its session was given a request, at some time */
    int64_t tell_client_ms;
    int64_t tell_broker_ms;
    uint8_t id[5];
};

struct svc_link *svc_link_new(struct svc *w, struct svc_client *client);
struct svc_link *svc_link_of(struct svc *w, struct td_str peer); /* or NULL */
/* With a delay. */
void svc_send(struct svc *w, struct sim_pipe *pipe, const void *control,
              size_t len, struct td_body *body);
/* The client's end is closed. */
void svc_link_close(struct svc *w, struct svc_link *link, bool clean);
/* It is lost, with what is on its way; both ends are told, unless silent. */
void svc_link_lose(struct svc *w, struct svc_link *link, bool silent);
void svc_links_sweep(struct svc *w);
void svc_links_free(struct svc *w);

#endif
