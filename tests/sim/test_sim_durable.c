/* Runs the simulation of durability over many seeds.
 *
 *     TIDINGS_SIM_SEEDS=5000 test_sim_durable    how many; default 200, fewer
 *                                         with a sanitizer, 5000 with
 *                                         TIDINGS_LONG=1
 *     TIDINGS_SIM_FIRST=501 test_sim_durable     beginning with another than 1
 *     TIDINGS_SIM_SEED=17 test_sim_durable       that one, with its history
 */
#include "tests/sim/durable.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 50
#else
#define SEEDS 200
#endif

int main(void)
{
    static const struct sim_seeds seeds = {
        .program = "test_sim_durable",
        .run = dur_run,
        .seen_texts = dur_seen_texts,
        .seen_len = DUR_SEEN_END,
        .seen_from = 200,
        .seeds = SEEDS,
        .seeds_long = 5000,
    };

    return sim_seeds_main(&seeds);
}
