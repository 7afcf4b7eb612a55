/* tidings store import: what store export has written is published again, with
 * its ids, sources and times, under a name that the file gives: so that what of
 * it is stored already is not stored twice, however often it is imported. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/ask.h"
#include "client/cli/confirms.h"
#include "client/cli/connect.h"
#include "client/cli/lines.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/stop.h"
#include "client/cli/stored.h"
#include "client/cli/takes.h"
#include "tidings/json.h"

#define SLICE_MS 100 /* how soon a signal is heard while the bus is full */

/* What confirms say; they come on a thread of the library. */
struct outcome {
    pthread_mutex_t lock;
    uint64_t imported;
    uint64_t duplicates;
    uint64_t refused;
    tidings_err err;                     /* of the first that was refused … */
    char why[TD_CONFIRMS_WHY_BYTES];     /* … in words … */
    char full[TD_CONFIRMS_STREAM_BYTES]; /* … and what is full */
    char stream[80]; /* another than was asked for; "": none */
};

struct importing {
    const struct td_settings *settings;
    const char *path;
    const char *stream;    /* that is to take them; NULL: whichever does */
    struct td_takes takes; /* what it takes */
    struct td_lines lines;
    off_t size;
    uint64_t last; /* sequence of the last line */
    uint64_t done;
    tidings_bus *bus;
    struct td_progress progress;
    struct outcome outcome;
};

/* ---- confirms ---- */

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct importing *m = arg;
    struct outcome *o = &m->outcome;

    pthread_mutex_lock(&o->lock);
    if (confirm->err) {
        if (o->refused++ == 0) {
            o->err = confirm->err;
            td_confirms_why(o->why, confirm);
            snprintf(o->full, sizeof(o->full), "%s", confirm->stream);
        }
    } else if (confirm->duplicate) {
        o->duplicates++;
    } else {
        o->imported++;
        if (m->stream && strcmp(confirm->stream, m->stream) != 0)
            snprintf(o->stream, sizeof(o->stream), "%s", confirm->stream);
    }
    pthread_mutex_unlock(&o->lock);
}

/* Going on would leave holes, or fill the wrong stream. */
static bool is_bad(struct importing *m)
{
    bool bad;

    pthread_mutex_lock(&m->outcome.lock);
    bad = m->outcome.refused > 0 || m->outcome.stream[0];
    pthread_mutex_unlock(&m->outcome.lock);
    return bad;
}

/* ---- lines ---- */

static int complain(const struct importing *m, const char *what)
{
    td_complain("%s, line %" PRIu64 ": %s", m->path, m->lines.number, what);
    return TD_EXIT_FAILED;
}

/* Before it is stored where it should not be. */
static int check_type(const struct importing *m, const char *type)
{
    char what[300];

    if (!m->stream || td_takes_type(&m->takes, type))
        return TD_EXIT_DONE;
    snprintf(what, sizeof(what), "stream %.70s does not take %.180s", m->stream,
             type);
    return complain(m, what);
}

/* Its place in the stream it is from is no attribute of the event. */
static tidings_err publish(struct importing *m,
                           const struct tidings_event *event, uint64_t sequence)
{
    const struct tidings_publish_options options = {
        .level = TIDINGS_DISK,
        .on_confirm = on_confirm,
        .arg = m,
        .sequence = sequence,
    };
    struct tidings_event plain = *event;
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX];
    int left_ms = td_timeout_ms(m->settings);
    tidings_err err;

    plain.attrs = attrs;
    plain.attrs_len = 0;
    for (size_t i = 0; i < event->attrs_len; i++) {
        if (strcmp(event->attrs[i].name, TD_STORED_ATTR) != 0)
            attrs[plain.attrs_len++] = event->attrs[i];
    }
    do {
        err = tidings_publish_with(m->bus, &plain, &options);
        left_ms -= SLICE_MS;
    } while (err == TIDINGS_EFULL && left_ms > 0 && !td_stopped());
    return err;
}

static int import_line(struct importing *m, const char *line, size_t len)
{
    struct tidings_event *event = NULL;
    tidings_err err = tidings_event_from_json(&event, line, len);
    uint64_t sequence = err ? 0 : td_stored_sequence(event);
    int code = TD_EXIT_DONE;

    if (err)
        code = complain(m, td_why(err));
    else if (sequence <= m->last)
        code = complain(m, sequence ? "its streamsequence does not rise"
                                    : "it has no streamsequence: `tidings pub "
                                      "--event` publishes such lines");
    else if ((code = check_type(m, event->type)) == TD_EXIT_DONE &&
             (err = publish(m, event, sequence)))
        code = complain(m, td_why(err));
    if (code == TD_EXIT_DONE) {
        m->last = sequence;
        m->done++;
    }
    tidings_free(event);
    return code;
}

static void show(struct importing *m)
{
    off_t at;

    if (!td_progress_due(&m->progress))
        return;
    at = lseek(m->lines.fd, 0, SEEK_CUR) -
         (off_t)(m->lines.end - m->lines.start);
    td_progress_part(&m->progress, (double)at / (double)m->size,
                     "%" PRIu64 " %s", m->done,
                     td_plural(m->done, "event", "events"));
}

/* All lines from this one on. */
static int import_lines(struct importing *m, const char *line, size_t len)
{
    enum td_line next = TD_LINE;
    int code = TD_EXIT_DONE;

    while (code == TD_EXIT_DONE && next == TD_LINE && !is_bad(m)) {
        code = import_line(m, line, len);
        show(m);
        if (code == TD_EXIT_DONE)
            next = td_lines_next(&m->lines, &line, &len);
    }
    if (next == TD_LINE_FAILED)
        code = TD_EXIT_FAILED;
    return code;
}

/* ---- how it went ---- */

static int put_result(const struct importing *m)
{
    const struct outcome *o = &m->outcome;

    if (m->settings->json)
        printf("{\"events\":%" PRIu64 ",\"duplicates\":%" PRIu64
               ",\"refused\":%" PRIu64 "}\n",
               o->imported, o->duplicates, o->refused);
    else
        printf("imported %" PRIu64 " event%s, %" PRIu64 " %s there already\n",
               o->imported, td_plural(o->imported, "", "s"), o->duplicates,
               td_plural(o->duplicates, "was", "were"));
    return td_flush_out();
}

static tidings_err flush(struct importing *m)
{
    int left_ms = td_timeout_ms(m->settings);
    tidings_err err;

    do {
        err = tidings_flush(m->bus, SLICE_MS);
        left_ms -= SLICE_MS;
    } while (err == TIDINGS_ETIMEDOUT && left_ms > 0);
    return err;
}

static void complain_refused(const struct outcome *o)
{
    td_complain("%" PRIu64 " event%s not stored: %s", o->refused,
                td_plural(o->refused, " is", "s are"), o->why);
    td_confirms_advise(o->err, o->full);
}

/* err: of the flush, after which no confirm comes. */
static int conclude(struct importing *m, int code, tidings_err err)
{
    const struct outcome *o = &m->outcome;

    td_progress_wipe();
    if (o->stream[0])
        td_complain("stream %s takes events of %s, not %s: nothing more is "
                    "imported",
                    o->stream, m->path, m->stream);
    else if (o->refused)
        complain_refused(o);
    else if (err)
        code = td_complain_err(err, "not all of it is stored");
    else if (code == TD_EXIT_DONE && td_stopped())
        td_complain("interrupted; the same command goes on");
    else if (code == TD_EXIT_DONE)
        return put_result(m);
    put_result(m);
    return code == TD_EXIT_DONE ? TD_EXIT_FAILED : code;
}

/* Of the first line: another file has another name. */
static void name_of(char out[40], const char *line, size_t len)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)line[i]) * 1099511628211u;
    snprintf(out, 40, "import-%016" PRIx64, hash);
}

static int ask_stream(struct importing *m)
{
    char what[100];
    tidings_err err;

    if (!m->stream)
        return TD_EXIT_DONE;
    err = td_takes_ask(&m->takes, m->settings, m->bus, m->stream);
    snprintf(what, sizeof(what), "stream %.70s", m->stream);
    return err ? td_refused(m->settings, err, what) : TD_EXIT_DONE;
}

static int import(struct importing *m, const char *line, size_t len)
{
    char name[40];
    const struct tidings_options options = {
        .name = "tidings",
        .producer = name,
        .publish_timeout_ms = SLICE_MS,
        .close_timeout_ms = -1,
        .confirm = TIDINGS_DISK,
    };
    tidings_err err;
    int code;

    name_of(name, line, len);
    code = td_connect(&m->bus, m->settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    code = ask_stream(m);
    if (code != TD_EXIT_DONE) {
        tidings_close(m->bus);
        return code;
    }
    td_progress_start(&m->progress);
    code = import_lines(m, line, len);
    err = flush(m);
    tidings_close(m->bus); /* after the last callback */
    td_takes_fini(&m->takes);
    return conclude(m, code, err);
}

int td_cli_store_import(const struct td_settings *settings)
{
    struct importing m = {.settings = settings,
                          .outcome.lock = PTHREAD_MUTEX_INITIALIZER};
    const char *line;
    size_t len;
    int code = TD_EXIT_DONE;

    if (settings->words_len != 2)
        code = td_names(settings, "store import", "FILE");
    if (code != TD_EXIT_DONE)
        return code;
    m.path = settings->words[0];
    if (settings->words_len == 2)
        m.stream = settings->words[1];
    m.lines.fd = open(m.path, O_RDONLY | O_CLOEXEC);
    if (m.lines.fd < 0) {
        td_complain("%s: %s", m.path, strerror(errno));
        return TD_EXIT_FAILED;
    }
    m.size = lseek(m.lines.fd, 0, SEEK_END);
    lseek(m.lines.fd, 0, SEEK_SET);
    switch (td_lines_next(&m.lines, &line, &len)) {
    case TD_LINE:
        code = import(&m, line, len);
        break;
    case TD_LINE_END:
        code = put_result(&m);
        break;
    case TD_LINE_STOPPED:
    case TD_LINE_FAILED:
        code = TD_EXIT_FAILED;
        break;
    }
    close(m.lines.fd);
    td_lines_fini(&m.lines);
    return code;
}
