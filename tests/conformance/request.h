/* What the suites of requests share: services that answer in some way, and who
 * hears the answers. */
#ifndef TESTS_CONFORMANCE_REQUEST_H
#define TESTS_CONFORMANCE_REQUEST_H

#include "tests/conformance/conformance.h"

#include "tidings/service.h"

/* How a service of a test's answers. Its handlers may run until the buses are
 * closed, which is after the test: none is on a test's stack. */
struct answerer {
    atomic_uint asked;
    atomic_int left_ms;       /* of the last */
    tidings_bus *_Atomic via; /* for handlers that ask themselves */
    atomic_int err;           /* of what the handler asked itself */
    atomic_bool go_on;
    unsigned status; /* of req_fail(); 0: 500 */
    tidings_service *service;
};

/* Handlers of tasks; arg is an answerer. */
tidings_err req_echo(void *arg, tidings_task *task,
                     const struct tidings_event *request);
tidings_err req_fail(void *arg, tidings_task *task,
                     const struct tidings_event *request);
/* Does not answer: the task is kept, until req_answer_kept(), or until the
 * buses are closed. */
tidings_err req_keep(void *arg, tidings_task *task,
                     const struct tidings_event *request);
/* Asks "req.inner" on via, for a minute, and answers with what it got. */
tidings_err req_ask(void *arg, tidings_task *task,
                    const struct tidings_event *request);

void req_answer_kept(void);
int req_teardown(void **state);

/* An instance of a service of that name, for one type. */
void req_serve(struct answerer *a, tidings_bus *bus, const char *name,
               const char *type, tidings_task_handler handler);

/* ---- who hears ---- */

#define REQ_HEARD_MAX 4096u

struct hearer {
    atomic_uint heard;
    atomic_uint codes[TIDINGS_EBREAKER + 1];
    atomic_uint twice; /* the same one */
    atomic_uint disorder;
    atomic_uint next;
    atomic_uint text_len;
    unsigned char seen[REQ_HEARD_MAX];
};

/* One request: its number is its data, and arg of on_reply. */
struct numbered {
    struct hearer *by;
    unsigned n;
};

void req_heard(void *arg, const struct tidings_reply *reply);
bool req_wait(struct hearer *h, unsigned n);

/* ---- asking ---- */

struct tidings_event req_event(const char *type);
struct tidings_request_info req_info(tidings_bus *bus);

#endif
