/* Runs the simulation of requests and services over many seeds.
 *
 *     TIDINGS_SIM_SEEDS=5000 test_sim_services   how many; default 300, fewer
 *                                         with a sanitizer, 10000 with
 *                                         TIDINGS_LONG=1
 *     TIDINGS_SIM_FIRST=501 test_sim_services    beginning with another than 1
 *     TIDINGS_SIM_SEED=17 test_sim_services      that one, with its history
 */
#include "tests/sim/services.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 60
#else
#define SEEDS 300
#endif

int main(void)
{
    static const struct sim_seeds seeds = {
        .program = "test_sim_services",
        .run = svc_run,
        .seen_texts = svc_seen_texts,
        .seen_len = SVC_SEEN_END,
        .seen_from = 300,
        .seeds = SEEDS,
        .seeds_long = 10000,
    };

    return sim_seeds_main(&seeds);
}
