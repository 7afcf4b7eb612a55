#include "tests/sim/seeds.h"

#include "tests/support/td_test.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sim_seeds *sim;

/* The seed that runs now, in a file that outlives a crash. */
static int running_fd = -1;

static uint64_t number_from(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static uint64_t seeds_wanted(void)
{
    const char *is_long = getenv("TIDINGS_LONG");

    return number_from("TIDINGS_SIM_SEEDS", is_long && strcmp(is_long, "1") == 0
                                                ? sim->seeds_long
                                                : sim->seeds);
}

static void note_running(uint64_t seed)
{
    if (running_fd >= 0 &&
        pwrite(running_fd, &seed, sizeof(seed), 0) != sizeof(seed))
        print_error("the running seed cannot be noted\n");
}

static void say_again(uint64_t seed)
{
    print_error("again: TIDINGS_SIM_SEED=%" PRIu64 " %s\n", seed, sim->program);
}

static void assert_held(const struct sim_result *result, uint64_t seed)
{
    if (!result->failure[0])
        return;
    note_running(0); /* it ends here, and tells itself */
    print_error("seed %" PRIu64 " %s\n", seed, result->failure);
    say_again(seed);
    fail();
}

static void test_sim_keeps_every_property_whatever_happens(void **state)
{
    uint64_t first = number_from("TIDINGS_SIM_FIRST", 1);
    uint64_t n = seeds_wanted();
    struct sim_result sum = {0};
    struct sim_result result;

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        note_running(seed);
        sim->run(&result, seed, false);
        assert_held(&result, seed);
        sum.published += result.published;
        sum.delivered += result.delivered;
        sum.virtual_ms += result.virtual_ms;
        for (int i = 0; i < sim->seen_len; i++)
            sum.seen[i] += result.seen[i] > 0;
    }
    note_running(0);
    print_message("%" PRIu64 " seeds, %" PRIu64 " h of virtual time, %" PRIu64
                  " events published, %" PRIu64 " delivered\n",
                  n, (uint64_t)sum.virtual_ms / 3600000, sum.published,
                  sum.delivered);
    for (int i = 0; i < sim->seen_len; i++)
        print_message("%8" PRIu64 " seeds: %s\n", sum.seen[i],
                      sim->seen_texts[i]);
    for (int i = 0; i < sim->seen_len && n >= sim->seen_from; i++)
        assert_row(sim->seen_texts[i], sum.seen[i] > 0);
}

static void test_sim_repeats_the_history_of_a_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_result once;
        struct sim_result again;

        sim->run(&once, seed, false);
        sim->run(&again, seed, false);
        assert_true(once.hash == again.hash);
        assert_true(once.virtual_ms == again.virtual_ms);
    }
}

static void test_sim_differs_from_seed_to_seed(void **state)
{
    struct sim_result a;
    struct sim_result b;

    (void)state;
    sim->run(&a, 1, false);
    sim->run(&b, 2, false);
    assert_true(a.hash != b.hash);
}

static int show(uint64_t seed)
{
    struct sim_result result;

    sim->run(&result, seed, true);
    printf("seed %" PRIu64 ": hash %016" PRIx64 ", %s\n", seed, result.hash,
           result.failure[0] ? result.failure : "every property held");
    return result.failure[0] ? 1 : 0;
}

/* Runs the tests in a process of their own, so that the seed of a crash or of
 * a sanitizer's abort is known as well. */
static int run_apart(int (*run)(void))
{
    FILE *file = tmpfile();
    uint64_t seed = 0;
    int status = 0;
    pid_t child;

    if (file)
        running_fd = fileno(file);
    child = fork();
    if (child == 0)
        exit(run());
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (status != 0 && running_fd >= 0 &&
        pread(running_fd, &seed, sizeof(seed), 0) == sizeof(seed) && seed) {
        print_error("seed %" PRIu64 " ended the process\n", seed);
        say_again(seed);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_repeats_the_history_of_a_seed),
        cmocka_unit_test(test_sim_differs_from_seed_to_seed),
        cmocka_unit_test(test_sim_keeps_every_property_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int sim_seeds_main(const struct sim_seeds *seeds)
{
    sim = seeds;
    if (number_from("TIDINGS_SIM_SEED", 0))
        return show(number_from("TIDINGS_SIM_SEED", 0));
    return run_apart(run_all);
}
