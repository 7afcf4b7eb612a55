/* What peers do while memory fails: one scenario is a list of steps, ended by
 * END. */
#ifndef TESTS_UNIT_OOM_STEPS_H
#define TESTS_UNIT_OOM_STEPS_H

enum oom_op {
    END,
    HELLO,
    RESUME,
    DEAF,  /* until it is gone */
    SUB,   /* n: its number; text: the pattern; options */
    UNSUB, /* n: its number */
    PUB,   /* text: the runs; n: events of before that come again */
    CREDIT,
    STATS, /* text: the rows */
    BYE,
    GONE,
    PASS /* n: milliseconds */
};

struct oom_step {
    enum oom_op op;
    unsigned peer;
    unsigned n;
    const char *text;
    const char *options;
};

/* Room for all that a scenario may send. */
#define OOM_WIDE "{\"events\" 1000 \"bytes\" 4194304}"

extern const struct oom_step oom_life[];
extern const struct oom_step oom_slow[];
extern const struct oom_step oom_full[];
extern const struct oom_step oom_many[];
extern const struct oom_step oom_round_robin[];
extern const struct oom_step oom_random_member[];
extern const struct oom_step oom_least_pending[];
extern const struct oom_step oom_by_key[];
extern const struct oom_step oom_dropping[];
extern const struct oom_step oom_resumed[];
extern const struct oom_step oom_alone[];
extern const struct oom_step oom_advised[];

#endif
