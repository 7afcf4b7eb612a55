/* Runs the simulation over many seeds.
 *
 *     TIDINGS_SIM_SEEDS=20000 test_sim    how many; default 1200, or 20000
 *                                         with TIDINGS_LONG=1
 *     TIDINGS_SIM_FIRST=5001 test_sim     beginning with another than 1
 *     TIDINGS_SIM_SEED=17 test_sim        that one alone, with its history
 */
#include "tests/sim/sim.h"

int main(void)
{
    static const struct sim_seeds seeds = {
        .program = "test_sim",
        .run = sim_run,
        .seen_texts = sim_seen_texts,
        .seen_len = SIM_SEEN_END,
        .seen_from = 1000,
        .seeds = 1200,
        .seeds_long = 20000,
    };

    return sim_seeds_main(&seeds);
}
