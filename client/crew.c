/* Threads of a service's own. They take one task each, so that none waits for a
 * slow one while another is idle, and know no lock but the bus's. */
#include "client/bus.h"
#include "client/detail.h"

#include <stdlib.h>
#include <sys/prctl.h>

struct td_hand {
    struct td_crew *crew;
    pthread_t thread;
    pthread_cond_t wake;
    bool idle; /* it waits for that */
    struct td_runner runner;
};

struct td_crew {
    struct td_bus *bus;
    struct td_bus_service *service; /* may be gone when it is ending */
    struct td_task_list tasks;
    bool ending;
    unsigned busy;
    unsigned len; /* threads that run */
    struct td_hand hands[];
};

/* ---- work ---- */

/* Answers go when nothing more is to be done, or when the first of them has
 * waited for a millisecond; the keeper sees to it if we do not. */
static void send_answers(struct td_crew *crew)
{
    struct td_bus *b = crew->bus;

    if (crew->tasks.head)
        td_answers_keep(b);
    else
        td_answers_send(b);
}

/* With the lock, which is let go meanwhile. */
static void handle_one(struct td_hand *h)
{
    struct td_crew *crew = h->crew;
    struct td_bus *b = crew->bus;
    struct td_task_list one;
    struct td_task_list done;

    td_bus_task_list_init(&one);
    td_bus_task_list_init(&done);
    td_bus_task_list_move(&one, &crew->tasks, 1);
    td_bus_tasks_begin(&one);
    pthread_mutex_unlock(b->lock);
    td_bus_tasks_run(&h->runner, &one, &done);
    pthread_mutex_lock(b->lock);
    td_bus_tasks_done(&h->runner, &done);
    send_answers(crew);
    td_bus_changed(b);
}

static bool work(struct td_hand *h)
{
    struct td_crew *crew = h->crew;
    bool job = td_bus_service_has_job(crew->service);

    if (!job && !crew->tasks.head)
        return false;
    crew->busy++;
    if (job)
        td_bus_service_work(crew->service);
    else
        handle_one(h);
    crew->busy--;
    return true;
}

static void *hand_main(void *arg)
{
    struct td_hand *h = arg;
    struct td_crew *crew = h->crew;
    struct td_bus *b = crew->bus;

    prctl(PR_SET_NAME, "tidings-service");
    td_runner_enter(&h->runner, b);
    pthread_mutex_lock(b->lock);
    while (!crew->ending) {
        if (work(h))
            continue;
        h->idle = true;
        while (h->idle)
            pthread_cond_wait(&h->wake, b->lock);
    }
    td_bus_changed(b); /* somebody may wait for us to come out */
    pthread_mutex_unlock(b->lock);
    td_runner_leave(&h->runner);
    return NULL;
}

/* ---- the crew ---- */

static void wake(struct td_hand *h)
{
    h->idle = false;
    pthread_cond_signal(&h->wake);
}

/* Each hand has a condition of its own: the first are woken, whose caches are
 * warm, and the rest sleep on. */
void td_crew_wake(struct td_crew *crew, size_t n)
{
    for (unsigned i = 0; i < crew->len && n > 0; i++) {
        if (crew->hands[i].idle) {
            wake(&crew->hands[i]);
            n--;
        }
    }
}

void td_crew_push(struct td_crew *crew, tidings_task *task)
{
    td_bus_task_list_push(&crew->tasks, task);
    td_crew_wake(crew, 1);
}

struct td_task_list *td_crew_tasks(struct td_crew *crew)
{
    return &crew->tasks;
}

void td_crew_end(struct td_crew *crew)
{
    crew->ending = true;
    td_crew_wake(crew, crew->len);
}

unsigned td_crew_busy(const struct td_crew *crew)
{
    return crew->busy;
}

void td_crew_free(struct td_crew *crew)
{
    struct td_bus *b = crew->bus;

    pthread_mutex_unlock(b->lock);
    for (unsigned i = 0; i < crew->len; i++)
        pthread_join(crew->hands[i].thread, NULL);
    pthread_mutex_lock(b->lock);
    for (unsigned i = 0; i < crew->len; i++) {
        td_view_fini(&crew->hands[i].runner.view);
        pthread_cond_destroy(&crew->hands[i].wake);
    }
    free(crew);
}

tidings_err td_crew_new(struct td_bus_service *s, unsigned workers)
{
    struct td_crew *crew =
        calloc(1, sizeof(*crew) + workers * sizeof(crew->hands[0]));

    if (!crew)
        return TIDINGS_ENOMEM;
    crew->bus = s->bus;
    crew->service = s;
    td_bus_task_list_init(&crew->tasks);
    s->crew = crew;
    for (; crew->len < workers; crew->len++) {
        struct td_hand *h = &crew->hands[crew->len];

        h->crew = crew;
        pthread_cond_init(&h->wake, NULL);
        if (td_thread_start(&h->thread, hand_main, h))
            continue;
        pthread_cond_destroy(&h->wake);
        return td_fail(TIDINGS_EIO,
                       "no more than %u of %u workers could be started",
                       crew->len, workers);
    }
    return TIDINGS_OK;
}
