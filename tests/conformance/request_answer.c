/* What the suites of requests share: how services of a test's answer, and who
 * hears what they answered. */
#include "tests/conformance/request.h"

#include <assert.h>
#include <pthread.h>

/* ---- answering ---- */

/* Tasks that nobody has answered. */
static struct {
    pthread_mutex_t lock;
    tidings_task *tasks[REQ_HEARD_MAX];
    unsigned len;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

tidings_err req_echo(void *arg, tidings_task *task,
                     const struct tidings_event *request)
{
    struct answerer *a = arg;

    atomic_store(&a->left_ms, tidings_task_left_ms(task));
    atomic_fetch_add(&a->asked, 1);
    return tidings_answer(task, request->data, request->data_len);
}

tidings_err req_fail(void *arg, tidings_task *task,
                     const struct tidings_event *request)
{
    struct answerer *a = arg;

    (void)request;
    atomic_fetch_add(&a->asked, 1);
    return tidings_answer_error(task, a->status ? (int)a->status : 500,
                                "it would not", "detail", 6);
}

tidings_err req_keep(void *arg, tidings_task *task,
                     const struct tidings_event *request)
{
    struct answerer *a = arg;

    (void)request;
    atomic_store(&a->left_ms, tidings_task_left_ms(task));
    pthread_mutex_lock(&kept.lock);
    assert(kept.len < REQ_HEARD_MAX);
    kept.tasks[kept.len++] = task;
    pthread_mutex_unlock(&kept.lock);
    atomic_fetch_add(&a->asked, 1);
    return TIDINGS_ELATER;
}

void req_answer_kept(void)
{
    pthread_mutex_lock(&kept.lock);
    while (kept.len > 0)
        tidings_answer(kept.tasks[--kept.len], NULL, 0);
    pthread_mutex_unlock(&kept.lock);
}

int req_teardown(void **state)
{
    int failed = conf_teardown(state);

    req_answer_kept();
    return failed;
}

tidings_err req_ask(void *arg, tidings_task *task,
                    const struct tidings_event *request)
{
    struct answerer *a = arg;
    struct tidings_reply reply;
    tidings_err err = tidings_request(&reply, atomic_load(&a->via), "req.inner",
                                      request->data, request->data_len, 60000);

    atomic_store(&a->err, (int)err);
    atomic_fetch_add(&a->asked, 1);
    if (err)
        err = tidings_answer_error(task, 500, reply.text, NULL, 0);
    else
        err = tidings_answer(task, reply.data, reply.len);
    tidings_reply_fini(&reply);
    return err == TIDINGS_ETIMEDOUT ? TIDINGS_OK : err;
}

void req_serve(struct answerer *a, tidings_bus *bus, const char *name,
               const char *type, tidings_task_handler handler)
{
    const struct tidings_endpoint endpoint = {
        .type = type, .handler = handler, .arg = a, .name = "it"};
    const struct tidings_service_options o = {.name = name,
                                              .version = "1.2.3",
                                              .endpoints = &endpoint,
                                              .endpoints_len = 1,
                                              .timeout_ms = CONF_MS};

    assert_ok(tidings_serve(&a->service, bus, &o));
}

struct tidings_event req_event(const char *type)
{
    return (struct tidings_event){.type = type, .data = "12345", .data_len = 5};
}

struct tidings_request_info req_info(tidings_bus *bus)
{
    struct tidings_request_info info;

    assert_ok(tidings_request_info(&info, bus));
    return info;
}

/* ---- hearing ---- */

void req_heard(void *arg, const struct tidings_reply *reply)
{
    struct numbered *r = arg;
    struct hearer *h = r->by;

    if (h->seen[r->n % REQ_HEARD_MAX]++)
        atomic_fetch_add(&h->twice, 1);
    if (r->n < atomic_load(&h->next))
        atomic_fetch_add(&h->disorder, 1);
    atomic_store(&h->next, r->n);
    if (reply->err <= TIDINGS_EBREAKER)
        atomic_fetch_add(&h->codes[reply->err], 1);
    atomic_store(&h->text_len, (unsigned)strlen(reply->text));
    atomic_fetch_add(&h->heard, 1);
}

bool req_wait(struct hearer *h, unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(&h->heard) < n && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(&h->heard) >= n;
}

/* Requests 0 to n-1, their numbers in r. */
