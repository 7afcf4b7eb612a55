/* A whole life of streams and a group, in which something fails, and what is
 * true after it all the same. */
#ifndef TESTS_UNIT_DURABLE_LIFE_H
#define TESTS_UNIT_DURABLE_LIFE_H

#include "tests/unit/stream_fixture.h"

#define LIFE_EVENTS 64 /* of the publisher, more than there are */

struct life {
    bool begun;               /* the group is there from the first event on */
    bool cancelled;           /* what was scheduled second */
    bool stored[LIFE_EVENTS]; /* "pub" was told so, of any stream … */
    bool named;               /* … and the producer with a name */
    uint64_t published;       /* "pub" asked for confirms of 1 to this */
    bool acked[LIFE_EVENTS];  /* by sequence: a handler was done with it */
};

void act(struct streams *s, const char *peer, const char *text);
void wait_ms(struct streams *s, int64_t ms);

/* The peer "pub" publishes and operates, "sub" and "su2" are members. */
void live(struct streams *s, struct life *life);

/* Where each of the publisher's events is in the stream, 0: it is not. */
void find_stored(struct streams *s, uint64_t stored[LIFE_EVENTS]);
void check_confirms(struct streams *s, const uint64_t stored[LIFE_EVENTS]);
/* What is out is in one place, and counted once; or, where there was no memory
 * to remember that it comes again, in none until a restart. */
void check_out(const struct streams *s);
/* It serves whoever greets now. */
void check_service(struct streams *s);
/* And again by a broker that knows the store alone. */
void check_after_kill(struct streams *s);
/* What "pub" and the named one were told; before the broker is killed. */
void note_confirms(struct streams *s, struct life *life);
/* What was scheduled is published once or waits, as was said; what has a name is
 * there once; the newest of each key is. */
void check_rest(struct streams *s, const struct life *life);
/* A new member, "fin", gets all that is left of what is kept; then nothing
 * is, and nothing was passed over. */
void check_group(struct streams *s, struct life *life);

#endif
