/* tidings store export: a stream in a file, a line for each event. What is
 * there of it already is gone on from, so that it may be interrupted. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/ask.h"
#include "client/cli/lines.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/reading.h"
#include "client/cli/stop.h"
#include "client/cli/stored.h"
#include "tidings/json.h"

/* The end of a file that is looked at: a whole line, and one that is not. */
#define END_BYTES_MAX (2 * (off_t)TD_LINE_BYTES_MAX)

struct exporting {
    struct td_reading reading;
    struct td_progress progress;
    const char *path;
    FILE *file;
    bool made;                    /* it was not there */
    struct tidings_event *newest; /* the last event that was there, or NULL */
    uint64_t before;              /* its sequence; 0: none */
    off_t end;                    /* of its line */
    bool is_other;                /* the stream has another one in its place */
    uint64_t unsaid;              /* events that JSON cannot say */
    bool failed;
};

static int complain(const struct exporting *x, const char *what)
{
    td_complain("%s: %s", x->path, what);
    return TD_EXIT_FAILED;
}

/* ---- what is there ---- */

/* Where the last whole line ends, 0: there is none; and its event. */
static off_t read_end(struct exporting *x, const char *bytes, size_t len)
{
    size_t end = len;
    size_t first;

    while (end > 0 && bytes[end - 1] != '\n')
        end--;
    if (end == 0)
        return 0;
    first = end - 1;
    while (first > 0 && bytes[first - 1] != '\n')
        first--;
    if (!tidings_event_from_json(&x->newest, bytes + first, end - 1 - first))
        x->before = td_stored_sequence(x->newest);
    return (off_t)end;
}

static int look_back(struct exporting *x, int fd, off_t size)
{
    off_t len = size < END_BYTES_MAX ? size : END_BYTES_MAX;
    char *bytes = malloc((size_t)len);
    off_t end = 0;

    if (bytes && pread(fd, bytes, (size_t)len, size - len) == len)
        end = read_end(x, bytes, (size_t)len);
    free(bytes);
    if (x->before == 0)
        return complain(x, "is there, and does not end as an export does");
    x->end = end + size - len;
    return TD_EXIT_DONE;
}

static int open_file(struct exporting *x)
{
    int fd = open(x->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int code = TD_EXIT_DONE;
    off_t size;

    x->made = fd >= 0;
    if (!x->made && errno == EEXIST)
        fd = open(x->path, O_RDWR | O_CLOEXEC);
    size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < 0)
        code = complain(x, strerror(errno));
    else if (size > 0)
        code = look_back(x, fd, size);
    if (code == TD_EXIT_DONE && !(x->file = fdopen(fd, "w")))
        code = complain(x, strerror(errno));
    if (code != TD_EXIT_DONE && fd >= 0)
        close(fd);
    return code;
}

static int close_file(struct exporting *x)
{
    bool bad = x->failed || fflush(x->file) != 0 ||
               (fsync(fileno(x->file)) != 0 && errno != EINVAL);
    int error = errno;

    if (fclose(x->file) != 0 && !bad) {
        bad = true;
        error = errno;
    }
    x->file = NULL;
    return bad ? complain(x, strerror(error)) : TD_EXIT_DONE;
}

/* ---- going on from it ---- */

static bool is_same(const struct tidings_event *a,
                    const struct tidings_event *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->source, b->source) == 0 &&
           strcmp(a->type, b->type) == 0;
}

static bool compare_one(void *arg, uint64_t sequence,
                        const struct tidings_event *event)
{
    struct exporting *x = arg;

    (void)sequence; /* the reading is of this one alone */
    x->is_other = !is_same(event, x->newest);
    return true;
}

/* Another stream, or one of the same name that was made anew, has another
 * event there. Where the stream keeps none there any more it is not known. */
static int check_stream(struct exporting *x)
{
    const struct tidings_start there = {.kind = TIDINGS_START_SEQUENCE,
                                        .sequence = x->before};
    struct td_settings settings = *x->reading.settings;
    struct td_reading r = {.settings = &settings,
                           .stream = x->reading.stream,
                           .start = there,
                           .until = there,
                           .each = compare_one,
                           .arg = x};
    int code;

    settings.durable.patterns_len = 0;
    code = td_read(&r);
    if (code != TD_EXIT_DONE)
        return code;
    if (!r.over) {
        td_complain("interrupted; the same command goes on");
        return TD_EXIT_FAILED;
    }
    if (x->is_other || r.end < x->before) {
        td_complain("%s: is of another stream: its last event, sequence "
                    "%" PRIu64 ", is not the one that %s has there",
                    x->path, x->before, r.stream);
        return TD_EXIT_FAILED;
    }
    if (r.count == 0)
        td_complain("%s: its last event, sequence %" PRIu64 ", is no longer "
                    "in %s: that it is of this stream is not checked",
                    x->path, x->before, r.stream);
    return TD_EXIT_DONE;
}

/* Nothing is cut off what is no export of this stream. */
static int go_on(struct exporting *x)
{
    int fd = fileno(x->file);
    int code = check_stream(x);

    if (code == TD_EXIT_DONE &&
        (ftruncate(fd, x->end) != 0 || lseek(fd, x->end, SEEK_SET) != x->end))
        code = complain(x, strerror(errno));
    return code;
}

/* ---- events ---- */

static bool export_one(void *arg, uint64_t sequence,
                       const struct tidings_event *event)
{
    struct exporting *x = arg;
    const struct td_reading *r = &x->reading;
    char *json = NULL;
    tidings_err err = td_stored_json(&json, sequence, event);

    if (err) {
        x->unsaid++;
        td_complain("sequence %" PRIu64 " is left out: %s", sequence,
                    td_why(err));
    } else if (fprintf(x->file, "%s\n", json) < 0) {
        x->failed = true; /* close_file() says why */
    }
    tidings_free(json);
    if (td_progress_due(&x->progress))
        td_progress_part(&x->progress,
                         (double)(sequence - r->first + 1) /
                             (double)(r->end - r->first + 1),
                         "%" PRIu64 " of %" PRIu64, sequence, r->end);
    return !x->failed;
}

static int put_result(const struct exporting *x)
{
    const struct td_reading *r = &x->reading;
    uint64_t events = r->count - x->unsaid;
    uint64_t last = r->last ? r->last : x->before;

    if (r->settings->json)
        printf("{\"events\":%" PRIu64 ",\"left_out\":%" PRIu64
               ",\"last\":%" PRIu64 "}\n",
               events, x->unsaid, last);
    else
        printf("exported %" PRIu64 " event%s, up to sequence %" PRIu64 "\n",
               events, td_plural(events, "", "s"), last);
    return td_flush_out();
}

/* How it went; code: the reading. */
static int conclude(struct exporting *x, int code)
{
    const struct td_reading *r = &x->reading;
    int closed = close_file(x);

    td_progress_wipe();
    if (code != TD_EXIT_DONE && r->count == 0 && x->made)
        unlink(x->path); /* for nothing */
    if (code != TD_EXIT_DONE || closed != TD_EXIT_DONE)
        return code != TD_EXIT_DONE ? code : closed;
    if (!r->over) {
        td_complain("interrupted after %" PRIu64 " event%s; the same command "
                    "goes on",
                    r->count, td_plural(r->count, "", "s"));
        return TD_EXIT_FAILED;
    }
    code = put_result(x);
    code = td_read_conclude(r, code);
    return x->unsaid && code == TD_EXIT_DONE ? TD_EXIT_FAILED : code;
}

static int export(struct exporting *x)
{
    struct td_reading *r = &x->reading;
    int code = x->before ? go_on(x) : TD_EXIT_DONE;

    if (x->before)
        r->start = (struct tidings_start){.kind = TIDINGS_START_SEQUENCE,
                                          .sequence = x->before + 1};
    else if (r->start.kind == TIDINGS_START_DEFAULT)
        r->start.kind = TIDINGS_START_ALL;
    td_progress_start(&x->progress);
    return conclude(x, code == TD_EXIT_DONE ? td_read(r) : code);
}

int td_cli_store_export(const struct td_settings *settings)
{
    struct exporting x = {.reading = {.settings = settings,
                                      .start = settings->sub.start,
                                      .until = settings->durable.until,
                                      .each = export_one,
                                      .arg = &x}};
    int code = td_names(settings, "store export", "STREAM FILE");

    if (code != TD_EXIT_DONE)
        return code;
    x.reading.stream = settings->words[0];
    x.path = settings->words[1];
    code = open_file(&x);
    if (code == TD_EXIT_DONE)
        code = export(&x);
    tidings_free(x.newest);
    return code;
}
