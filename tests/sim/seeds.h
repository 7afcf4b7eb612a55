/* Runs a simulation over many seeds, and says which one failed, even where it
 * ends the process. Of all simulations: sim.h, durable.h, services.h. */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_SEEN_MAX 128

/* What the history of one seed comes to. */
struct sim_result {
    uint64_t hash;               /* of the whole history */
    uint64_t seen[SIM_SEEN_MAX]; /* how often */
    uint64_t published;          /* events, by all clients */
    uint64_t delivered;          /* to all handlers */
    int64_t virtual_ms;
    char failure[1024]; /* empty: every property held */
};

struct sim_seeds {
    const char *program;
    /* Runs the history of one seed; verbose prints it. */
    void (*run)(struct sim_result *out, uint64_t seed, bool verbose);
    const char *const *seen_texts; /* of what must happen now and then … */
    int seen_len;
    uint64_t seen_from; /* … in so many seeds */
    uint64_t seeds;
    uint64_t seeds_long; /* with TIDINGS_LONG=1 */
};

/* The program: its exit status. */
int sim_seeds_main(const struct sim_seeds *seeds);

#endif
