/* A shared library that opens a bus in its constructor, before main(), and
 * closes it in its destructor, after exit(). */
#ifndef TESTS_EMBED_EARLY_H
#define TESTS_EMBED_EARLY_H

/* Publishes on that bus, and waits until it came back; NULL, or what went
 * wrong. */
const char *early_round_trip(void);

#endif
