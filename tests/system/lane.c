#include "tests/system/lane.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/support/proc.h"

#define WAIT_MS  20000
#define TRIES    5    /* events may be missed while the link is down */
#define TRY_MS   3000 /* until the next of these */
#define DATA_MAX 400

/* The first failure counts. Never inside the lock. */
static bool fails(struct lane *lane, const char *format, ...)
{
    va_list args;
    size_t len;

    if (lane->why[0])
        return false;
    snprintf(lane->why, sizeof(lane->why), "%s life %u: ", lane->type,
             lane->life);
    len = strlen(lane->why);
    va_start(args, format);
    vsnprintf(lane->why + len, sizeof(lane->why) - len, format, args);
    va_end(args);
    return false;
}

static bool succeeds(struct lane *lane, const char *what, tidings_err err)
{
    return err == TIDINGS_OK || fails(lane, "%s gave %s (%s)", what,
                                      tidings_err_name(err), tidings_detail());
}

/* ---- the events ---- */

/* Life and number, and bytes that follow from them. */
static size_t make(unsigned char out[DATA_MAX], uint32_t life, uint32_t number)
{
    size_t len = 8 + (number * 37 + life) % (DATA_MAX - 8);

    memcpy(out, &life, 4);
    memcpy(out + 4, &number, 4);
    for (size_t i = 8; i < len; i++)
        out[i] = (unsigned char)(number + life + i);
    return len;
}

/* The number of an event of this life; 0: it is not one of ours, whole. */
static uint32_t number_of(const struct lane *lane,
                          const struct tidings_event *event)
{
    unsigned char want[DATA_MAX];
    uint32_t life;
    uint32_t number;

    if (event->data_len < 8)
        return 0;
    memcpy(&life, event->data, 4);
    memcpy(&number, (const char *)event->data + 4, 4);
    if (life != lane->life || event->data_len != make(want, life, number) ||
        memcmp(event->data, want, event->data_len) != 0)
        return 0;
    return number;
}

static tidings_err on_witnessed(void *arg, const struct tidings_event *event)
{
    struct lane *lane = arg;
    uint32_t number;

    pthread_mutex_lock(&lane->mutex);
    number = number_of(lane, event);
    if (number != lane->witnessed + 1)
        fails(lane, "the witness saw %u after %llu", number,
              (unsigned long long)lane->witnessed);
    lane->witnessed = number;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->mutex);
    return TIDINGS_OK;
}

static tidings_err on_seen(void *arg, const struct tidings_event *event)
{
    struct lane *lane = arg;
    uint32_t number;

    pthread_mutex_lock(&lane->mutex);
    number = number_of(lane, event);
    if (number <= lane->seen)
        fails(lane, "saw %u after %llu", number,
              (unsigned long long)lane->seen);
    else if (number != lane->seen + 1 && !lane->rejoined)
        fails(lane, "saw %u after %llu, and was told nothing", number,
              (unsigned long long)lane->seen);
    else
        lane->missed += number - lane->seen - 1;
    lane->seen = number;
    lane->rejoined = false;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->mutex);
    return TIDINGS_OK;
}

static void on_status(void *arg, const struct tidings_status *status)
{
    struct lane *lane = arg;

    pthread_mutex_lock(&lane->mutex);
    if (status->kind == TIDINGS_UP) {
        lane->ups++;
    } else if (status->kind == TIDINGS_NEW_SESSION) {
        lane->rejoined = true; /* it is told that events may be missing */
    } else if (status->kind == TIDINGS_DOWN) {
        if (lane->downs++ == 0)
            lane->down_ms = td_proc_now_ms();
    } else if (status->kind == TIDINGS_BAD_EVENT ||
               status->kind == TIDINGS_REFUSED) {
        fails(lane, "%s: %s", tidings_status_name(status->kind), status->text);
    }
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->mutex);
}

/* ---- waiting ---- */

/* Until *value, which the mutex guards, is at least that; else false. */
static bool until(struct lane *lane, const uint64_t *value, uint64_t at_least,
                  int timeout_ms)
{
    struct timespec end;
    bool reached;
    int err = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&lane->mutex);
    while (*value < at_least && err != ETIMEDOUT && !lane->why[0])
        err = pthread_cond_timedwait(&lane->changed, &lane->mutex, &end);
    reached = *value >= at_least && !lane->why[0];
    pthread_mutex_unlock(&lane->mutex);
    return reached;
}

bool lane_until_ups(struct lane *lane, uint64_t at_least, int timeout_ms)
{
    return until(lane, &lane->ups, at_least, timeout_ms) ||
           fails(lane, "not up within %d ms", timeout_ms);
}

bool lane_until_downs(struct lane *lane, uint64_t at_least, int timeout_ms)
{
    return until(lane, &lane->downs, at_least, timeout_ms) ||
           fails(lane, "not down within %d ms", timeout_ms);
}

/* ---- the life of a lane ---- */

bool lane_init(struct lane *lane, unsigned number, const char *url,
               tidings_bus *witness)
{
    pthread_condattr_t monotonic;

    memset(lane, 0, sizeof(*lane));
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snprintf(lane->type, sizeof(lane->type), "lane.%u", number);
    lane->chaos = td_chaos_start(url);
    if (!lane->chaos)
        return fails(lane, "no proxy");
    return succeeds(
        lane, "the witness's subscribe",
        tidings_subscribe(NULL, witness, lane->type, on_witnessed, lane, NULL));
}

void lane_fini(struct lane *lane)
{
    if (!lane->type[0])
        return; /* all zero */
    tidings_close(lane->bus);
    td_chaos_stop(lane->chaos);
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->mutex);
    memset(lane, 0, sizeof(*lane));
}

bool lane_open(struct lane *lane)
{
    const struct tidings_options options = {
        .name = lane->type,
        .on_status = on_status,
        .on_status_arg = lane,
        .close_timeout_ms = WAIT_MS,
    };
    const struct tidings_sub_options sub = {.timeout_ms = WAIT_MS};

    pthread_mutex_lock(&lane->mutex);
    lane->life++;
    lane->published = lane->witnessed = lane->seen = 0;
    lane->ups = lane->downs = 0;
    lane->rejoined = false;
    pthread_mutex_unlock(&lane->mutex);
    return succeeds(
               lane, "open",
               tidings_open(&lane->bus, td_chaos_url(lane->chaos), &options)) &&
           succeeds(lane, "subscribe",
                    tidings_subscribe(NULL, lane->bus, lane->type, on_seen,
                                      lane, &sub));
}

bool lane_close(struct lane *lane)
{
    struct tidings_info info = {0};
    tidings_err err;

    tidings_info(&info, lane->bus);
    lane->total += info.published;
    lane->resent += info.resent;
    err = tidings_close(lane->bus);
    lane->bus = NULL;
    return succeeds(lane, "close", err);
}

bool lane_publish(struct lane *lane, unsigned events)
{
    unsigned char data[DATA_MAX];

    while (events-- > 0) {
        uint32_t number = (uint32_t)lane->published + 1;
        size_t len = make(data, lane->life, number);

        if (!succeeds(lane, "publish",
                      tidings_publish(lane->bus, lane->type, data, len)))
            return false;
        lane->published = number;
    }
    return true;
}

bool lane_settle(struct lane *lane)
{
    if (!succeeds(lane, "flush", tidings_flush(lane->bus, WAIT_MS)))
        return false;
    return until(lane, &lane->witnessed, lane->published, WAIT_MS) ||
           fails(lane, "the witness saw %llu of %llu",
                 (unsigned long long)lane->witnessed,
                 (unsigned long long)lane->published);
}

bool lane_hears(struct lane *lane)
{
    for (int i = 0; i < TRIES; i++) {
        if (!lane_publish(lane, 1) || !lane_settle(lane))
            return false;
        if (until(lane, &lane->seen, lane->published, TRY_MS))
            return true;
    }
    return fails(lane, "it does not hear itself");
}
