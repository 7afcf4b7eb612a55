/* What the suites of tasks share: handlers, a service of them, and callers. */
#ifndef TESTS_CONFORMANCE_TASKS_H
#define TESTS_CONFORMANCE_TASKS_H

#include "tests/conformance/conformance.h"

#include "tidings/service.h"

/* Of the test that runs. */
extern struct tasks_world {
    atomic_uint calls;
    atomic_uint inside;     /* handlers that run now … */
    atomic_uint inside_max; /* … and the most that did */
    atomic_bool gate;       /* handlers wait until it is open */
    atomic_int health;      /* what the check says */
} tasks;

int tasks_setup(void **state);

#define TASK_TEST(test)                                                        \
    cmocka_unit_test_setup_teardown(test, tasks_setup, conf_teardown)

/* ---- handlers ---- */

tidings_err tasks_echo(void *arg, tidings_task *task,
                       const struct tidings_event *request);
/* Until the gate is open. */
tidings_err tasks_wait_inside(void *arg, tidings_task *task,
                              const struct tidings_event *request);
/* Leaves it for others. */
tidings_err tasks_keep(void *arg, tidings_task *task,
                       const struct tidings_event *request);
/* The n-th of those; NULL: there are fewer. */
tidings_task *tasks_kept(unsigned n);
tidings_task *tasks_wait_kept(unsigned n);

/* Waits until it is so many; false: too long. */
bool tasks_until(atomic_uint *count, unsigned n);

/* ---- services and callers ---- */

/* Of "task.do". */
tidings_service *tasks_serve_with(tidings_bus *bus,
                                  struct tidings_service_options o,
                                  tidings_task_handler handler, void *arg);
tidings_service *tasks_serve(tidings_bus *bus, tidings_task_handler handler,
                             void *arg);
struct tidings_service_info tasks_info(tidings_service *s);
/* Once no handler runs: callers have their answers before that. */
struct tidings_service_info tasks_idle_info(tidings_service *s);

tidings_err tasks_ask(struct tidings_reply *reply, tidings_bus *bus,
                      const char *text);
tidings_err tasks_ask_for(struct tidings_reply *reply, tidings_bus *bus,
                          const char *text, int timeout_ms);
/* Asks until what comes of it is this. */
void tasks_ask_until(tidings_bus *bus, tidings_err wanted);

/* Answers to requests that nobody waits for. */
struct tasks_replies {
    atomic_uint ok;
    atomic_uint other;
    atomic_int err; /* the last of those */
};

void tasks_ask_async(tidings_bus *bus, struct tasks_replies *r, int timeout_ms);

#endif
