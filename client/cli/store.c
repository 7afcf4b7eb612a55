/* tidings store: a data folder, without a broker. */
#include <inttypes.h>

#include "client/cli/ask.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"

static int put_json(const char *dir, const struct tidings_store_report *report)
{
    tidings_writer *w = tidings_writer_new();
    struct tidings_value map;
    const void *bytes;
    size_t len;
    tidings_err err;
    int code;

    tidings_put_map(w, 7);
    tidings_put_string(w, "folder");
    tidings_put_string(w, dir);
    tidings_put_string(w, "records");
    tidings_put_uint(w, report->records);
    tidings_put_string(w, "damaged");
    tidings_put_uint(w, report->damaged);
    tidings_put_string(w, "broken");
    tidings_put_bool(w, report->broken);
    tidings_put_string(w, "first");
    tidings_put_string(w, report->first);
    tidings_put_string(w, "sound");
    tidings_put_bool(w, !report->damaged && !report->broken);
    tidings_put_string(w, "locked");
    tidings_put_bool(w, !report->unlocked);
    err = tidings_writer_bytes(w, &bytes, &len);
    if (!err)
        err = tidings_value_read(&map, bytes, len);
    code = err ? td_complain_err(err, dir) : td_row_json(map);
    tidings_writer_free(w);
    return code;
}

static void put_text(const char *dir, const struct tidings_store_report *report)
{
    bool sound = !report->damaged && !report->broken;

    if (sound)
        printf("sound: %" PRIu64 " records\n", report->records);
    else
        printf("damaged: %" PRIu64 " of %" PRIu64 " records%s\n",
               report->damaged, report->records,
               report->broken ? ", and what they hang on: there may be more"
                              : "");
    if (!sound)
        td_complain("%s is damaged: %s", dir, report->first);
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct td_progress *bar = arg;

    td_progress_part(bar, (double)done / (double)total,
                     "%" PRIu64 " of %" PRIu64 " pages", done, total);
}

int td_cli_store_verify(const struct td_settings *settings)
{
    struct tidings_store_report report;
    struct td_progress bar;
    const char *dir;
    tidings_err err;
    int code = td_names(settings, "store verify", "DIR");

    if (code != TD_EXIT_DONE)
        return code;
    dir = settings->words[0];
    td_progress_start(&bar);
    err = tidings_store_verify(&report, dir, on_progress, &bar);
    td_progress_wipe();
    if (err)
        return td_refused(settings, err, dir);
    if (report.unlocked)
        td_complain("%s may not be written: read without its lock, which is "
                    "right only if no broker has it open",
                    dir);
    if (settings->json)
        code = put_json(dir, &report);
    else
        put_text(dir, &report);
    if (code == TD_EXIT_DONE)
        code = td_flush_out();
    if (code == TD_EXIT_DONE && (report.damaged || report.broken))
        code = TD_EXIT_FAILED;
    return code;
}
