/* The engine inside this process: what inproc:// connects to.
 *
 * Brokers are shared by name and live while anybody holds them. Each runs its
 * engine on a thread of its own; messages pass by reference. */
#ifndef TD_EMBED_H
#define TD_EMBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"
#include "tidings/err.h"

struct td_embed;      /* a broker */
struct td_embed_peer; /* one connection to it */

/* Finds or starts the broker of this name; each open needs a close.
 *
 * @param data  the folder that it keeps events in; NULL: it keeps none.
 * @param why   at least TD_STORE_WHY_BYTES: what is wrong, or "".
 * @return TIDINGS_EEXIST: it is there with another folder, or the folder is
 *         somebody else's; as td_lmdb_open(); TIDINGS_ENOMEM, TIDINGS_EIO. */
tidings_err td_embed_open(struct td_embed **out, const char *name,
                          const char *data, char *why);
/* The last close ends the broker's thread and waits for it. */
void td_embed_close(struct td_embed *broker);

/* What td_embed_verify() found; as struct td_lmdb_damage. */
struct td_embed_damage {
    uint64_t records;
    uint64_t damaged;
    bool tree;
    char first[256];
    bool unlocked;
};

/* Walks a data folder that nobody has open; as td_lmdb_verify(). */
tidings_err td_embed_verify(const char *dir,
                            void (*progress)(void *arg, uint64_t done,
                                             uint64_t total),
                            void *arg, struct td_embed_damage *out, char *why);

/* One message; its memory is one block, freed with td_embed_message_free. */
struct td_embed_message {
    struct td_embed_message *next;
    struct td_embed_peer *peer; /* the broker's side only */
    struct td_body *body;       /* NULL: none */
    size_t len;
    unsigned char control[];
};

void td_embed_message_free(struct td_embed_message *m);

/* Connects. wake_fd is an eventfd of the caller's: it is written when there
 * is something to receive after there was nothing. */
tidings_err td_embed_connect(struct td_embed_peer **out,
                             struct td_embed *broker, int wake_fd);

/* After this the broker does not touch wake_fd, and the peer is gone. */
void td_embed_disconnect(struct td_embed_peer *peer);

/* false: there is no memory; nothing was sent. Takes its own reference. */
bool td_embed_send(struct td_embed_peer *peer, const void *control, size_t len,
                   struct td_body *body);

/* All that has arrived, oldest first, as a list; NULL if nothing has. *lost:
 * there was no memory for a message to the peer, so its session is over. */
struct td_embed_message *td_embed_receive(struct td_embed_peer *peer,
                                          bool *lost);

#endif
