/* A TCP proxy between a client and a service on this machine, at a port or at an
 * ipc socket, that breaks what goes through it: cut after so many bytes, held
 * back, in small pieces, or swallowed, each way. It runs on a thread of its own
 * and never asserts.
 *
 *     struct td_chaos *chaos = td_chaos_start("tcp://127.0.0.1:7450");
 *     ... clients connect to td_chaos_url(chaos) ...
 *     td_chaos_rules(chaos, &(struct td_chaos_rules){.cut_up = 100});
 *     td_chaos_stop(chaos);
 *
 * Up is towards the service, down towards the client.
 *
 * Threads: every function may be called from any thread.
 */
#ifndef TD_CHAOSPROXY_H
#define TD_CHAOSPROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct td_chaos;

/** All zero: everything passes. */
struct td_chaos_rules {
    /* The next connection that has passed so many bytes ends there, in both
     * directions; once: the rule is then 0 again. */
    uint64_t cut_up;
    uint64_t cut_down;
    /* What comes is read and lost, and so is the news that a side closed. */
    bool hole_up;
    bool hole_down;
    /* At most piece bytes at a time (0: all), each after a pause. */
    size_t piece_up;
    size_t piece_down;
    int pause_ms;
    bool refuse; /* connections are accepted and closed at once */
};

/** NULL: no socket or no thread. */
struct td_chaos *td_chaos_start(const char *url);

/** Where clients connect; valid until the proxy is stopped. */
const char *td_chaos_url(const struct td_chaos *chaos);

/** For connections that are there and those that come. */
void td_chaos_rules(struct td_chaos *chaos, const struct td_chaos_rules *rules);

/** End all connections that are there. */
void td_chaos_cut(struct td_chaos *chaos);

struct td_chaos_counts {
    uint64_t connections; /* accepted so far */
    uint64_t cuts;        /* by a rule or td_chaos_cut() */
    uint64_t up;          /* bytes passed */
    uint64_t down;
};

struct td_chaos_counts td_chaos_counts(struct td_chaos *chaos);

/** NULL is allowed. */
void td_chaos_stop(struct td_chaos *chaos);

#endif
