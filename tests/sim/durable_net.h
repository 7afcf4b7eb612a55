/* Links of the simulation of durability. */
#ifndef TESTS_SIM_DURABLE_NET_H
#define TESTS_SIM_DURABLE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/pipe.h"

struct dur;
struct dur_client;
struct td_str;

struct dur_link {
    struct dur_link *prev;
    struct dur_link *next;
    uint32_t number;
    struct dur_client *client; /* NULL: closed there */
    struct sim_pipe up;
    struct sim_pipe down;
    bool shut; /* the broker's sends fail */
    int64_t tell_client_ms;
    int64_t tell_broker_ms;
    uint8_t id[5];
};

struct dur_link *dur_link_new(struct dur *d, struct dur_client *client);
struct dur_link *dur_link_of(struct dur *d, struct td_str peer); /* or NULL */
/* With a delay. */
void dur_send(struct dur *d, struct sim_pipe *pipe, unsigned frames,
              const void *control, size_t len, struct td_body *body);
void dur_link_close(struct dur *d, struct dur_link *link, bool clean);
/* It is lost, with what is on its way; both ends are told, sooner or later. */
void dur_link_lose(struct dur *d, struct dur_link *link, bool silent);
void dur_links_sweep(struct dur *d);
void dur_links_free(struct dur *d);

#endif
