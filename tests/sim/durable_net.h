/* Links of the simulation of durability. */
#ifndef TESTS_SIM_DURABLE_NET_H
#define TESTS_SIM_DURABLE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"

struct dur;
struct dur_client;
struct td_str;

struct dur_message {
    struct dur_message *next;
    int64_t at_ms;
    unsigned frames;
    struct td_body *body;
    size_t len;
    uint8_t control[];
};

struct dur_pipe {
    struct dur_message *head;
    struct dur_message **tail;
    int64_t last_ms;
    bool hole;
};

struct dur_link {
    struct dur_link *prev;
    struct dur_link *next;
    uint32_t number;
    struct dur_client *client; /* NULL: closed there */
    struct dur_pipe up;
    struct dur_pipe down;
    bool shut; /* the broker's sends fail */
    int64_t tell_client_ms;
    int64_t tell_broker_ms;
    uint8_t id[5];
};

struct dur_link *dur_link_new(struct dur *d, struct dur_client *client);
struct dur_link *dur_link_of(struct dur *d, struct td_str peer); /* or NULL */
void dur_pipe_put(struct dur *d, struct dur_pipe *pipe, unsigned frames,
                  const void *control, size_t len, struct td_body *body);
struct dur_message *dur_pipe_get(struct dur_pipe *pipe, int64_t now_ms);
int64_t dur_pipe_next_ms(const struct dur_pipe *pipe);
void dur_pipe_clear(struct dur_pipe *pipe);
void dur_message_free(struct dur_message *m);
void dur_link_close(struct dur *d, struct dur_link *link, bool clean);
/* It is lost, with what is on its way; both ends are told, sooner or later. */
void dur_link_lose(struct dur *d, struct dur_link *link, bool silent);
void dur_links_sweep(struct dur *d);
void dur_links_free(struct dur *d);

#endif
