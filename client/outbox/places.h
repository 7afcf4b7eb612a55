/* Which stream takes which type, as far as confirms have told, and which stream
 * is full until when. A broker may be told otherwise at any time: what turns out
 * to be wrong is forgotten, and learnt anew. Pure. */
#ifndef OUTBOX_PLACES_H
#define OUTBOX_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct td_place;        /* a type */
struct td_place_stream; /* a stream */

struct td_places {
    struct td_place *types;
    struct td_place_stream *streams;
    bool apart; /* the types go to several streams: those whose stream is not
                   known are published by themselves */
};

void td_places_fini(struct td_places *p);

size_t td_places_count(const struct td_places *p); /* types */

/* NULL: no memory. */
struct td_place *td_places_of(struct td_places *p, const char *type);

/* Without memory it is not learnt. */
void td_places_learn(struct td_places *p, struct td_place *place,
                     const char *stream);
bool td_places_known(const struct td_place *place);
/* Nothing is known any more, but that they are apart. */
void td_places_forget(struct td_places *p);

/* Whether events of both may be in one list. */
bool td_places_together(const struct td_places *p, const struct td_place *a,
                        const struct td_place *b);

/* A stream is full: what it takes waits, each time for longer. */
void td_places_pause(struct td_places *p, const char *stream, int64_t now_us);
/* It was not. */
void td_places_resume(const struct td_place *place);
bool td_places_paused(const struct td_place *place, int64_t now_us);
/* When the first of those that are to wait may be tried again; 0: none is. */
int64_t td_places_until_us(const struct td_places *p, int64_t now_us);

#endif
