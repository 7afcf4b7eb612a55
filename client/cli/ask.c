#include "client/cli/ask.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "tidings/json.h"

int td_names(const struct td_settings *settings, const char *command,
             const char *words)
{
    size_t wanted = *words ? 1 : 0;

    for (const char *at = words; *at; at++)
        wanted += *at == ' ';
    if (settings->words_len == wanted)
        return TD_EXIT_DONE;
    if (settings->words_len > wanted)
        td_complain("%s takes no \"%s\"", command, settings->words[wanted]);
    else
        td_complain("%s wants %s", command, words);
    td_advise("tidings %s --help shows how", command);
    return TD_EXIT_USAGE;
}

int td_sure(const struct td_settings *settings, const char *what)
{
    if (settings->durable.yes)
        return TD_EXIT_DONE;
    td_complain("%s cannot be undone: --yes says that you mean it", what);
    return TD_EXIT_USAGE;
}

int td_ask_open(struct td_ask *a, const struct td_settings *settings)
{
    const struct tidings_options options = {.name = "tidings",
                                            .close_timeout_ms = -1};
    int code;

    *a = (struct td_ask){.settings = settings};
    code = td_connect(&a->bus, settings, &options);
    if (code == TD_EXIT_DONE)
        a->options = tidings_writer_new(); /* NULL: told by its first bytes */
    return code;
}

void td_ask_close(struct td_ask *a)
{
    tidings_writer_free(a->options);
    tidings_free(a->data);
    tidings_close(a->bus);
}

void td_ask_map(struct td_ask *a, uint32_t pairs)
{
    tidings_writer_reset(a->options);
    tidings_put_map(a->options, pairs);
}

void td_ask_string(struct td_ask *a, const char *key, const char *value)
{
    tidings_put_string(a->options, key);
    tidings_put_string(a->options, value);
}

void td_ask_uint(struct td_ask *a, const char *key, uint64_t value)
{
    tidings_put_string(a->options, key);
    tidings_put_uint(a->options, value);
}

tidings_err td_ask_call(struct td_ask *a, const char *call)
{
    const void *options;
    size_t len, data_len;
    tidings_err err = tidings_writer_bytes(a->options, &options, &len);

    tidings_free(a->data);
    a->data = NULL;
    if (!err)
        err = tidings_call(&a->data, &data_len, a->bus, call, options, len,
                           td_timeout_ms(a->settings));
    if (!err)
        err = tidings_value_read(&a->answer, a->data, data_len);
    return err;
}

int td_refused(const struct td_settings *settings, tidings_err err,
               const char *what)
{
    switch (err) {
    case TIDINGS_EUNREACH:
        return td_no_broker(settings);
    case TIDINGS_EINVAL:
    case TIDINGS_ENOTSUP:
    case TIDINGS_ENOTFOUND:
    case TIDINGS_ENOSTREAM:
    case TIDINGS_EEXIST:
    case TIDINGS_ELIMIT:
        td_complain("%s: %s", what, td_why(err));
        return TD_EXIT_USAGE;
    case TIDINGS_EFULL: /* the disk, not a queue: no wait has passed */
        td_complain("%s: %s", what, td_why(err));
        return TD_EXIT_FAILED;
    default:
        return td_complain_err(err, what);
    }
}

/* ---- lists ---- */

void td_list_fini(struct td_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        tidings_free(list->pages[i].data);
    free(list->pages);
    *list = (struct td_list){0};
}

/* The answer becomes a page. */
static tidings_err add_page(struct td_list *list, struct td_ask *a,
                            const char *key)
{
    struct td_list_page page = {0};
    struct td_list_page *pages;

    if (tidings_get(&page.rows, a->answer, key))
        return TIDINGS_EPROTO;
    pages = realloc(list->pages, (list->len + 1) * sizeof(*pages));
    if (!pages)
        return TIDINGS_ENOMEM;
    page.rows_len = tidings_value_count(page.rows);
    page.data = a->data;
    page.answer = a->answer;
    a->data = NULL;
    list->pages = pages;
    list->pages[list->len++] = page;
    list->rows_len += page.rows_len;
    return TIDINGS_OK;
}

static void put_options(struct td_ask *a, uint64_t from,
                        const struct td_list_option *options, size_t n)
{
    uint32_t given = 0;

    for (size_t i = 0; i < n; i++)
        given += options[i].value != NULL;
    td_ask_map(a, 1 + given);
    td_ask_uint(a, "from", from);
    for (size_t i = 0; i < n; i++) {
        if (options[i].value)
            td_ask_string(a, options[i].key, options[i].value);
    }
}

/* Where the next page begins: as the last one says, or after the rows that came;
 * 0: there is none. */
static uint64_t next_of(const struct td_list *list, const char *total_key)
{
    struct tidings_value answer = list->pages[list->len - 1].answer, next;
    uint64_t from = list->rows_len;

    if (tidings_get(&next, answer, "next"))
        return from < td_row_uint(answer, total_key) ? from : 0;
    return tidings_as_uint(&from, next) ? 0 : from;
}

tidings_err td_list_fetch_with(struct td_list *out, struct td_ask *a,
                               const char *call, const char *key,
                               const struct td_list_option *options,
                               size_t options_len)
{
    struct td_list list = {0};
    char total_key[32];
    uint64_t from = 0, next = 0;
    tidings_err err;

    snprintf(total_key, sizeof(total_key), "%s_total", key);
    do {
        from = next;
        put_options(a, from, options, options_len);
        err = td_ask_call(a, call);
        if (!err)
            err = add_page(&list, a, key);
        if (!err)
            next = next_of(&list, total_key);
    } while (!err && next > from && list.pages[list.len - 1].rows_len > 0);
    if (err)
        td_list_fini(&list);
    else
        *out = list;
    return err;
}

tidings_err td_list_fetch(struct td_list *out, struct td_ask *a,
                          const char *call, const char *key, const char *stream)
{
    const struct td_list_option option = {"stream", stream};

    return td_list_fetch_with(out, a, call, key, &option, 1);
}

bool td_list_each(const struct td_list *list,
                  bool (*each)(void *arg, struct tidings_value row), void *arg)
{
    for (size_t i = 0; i < list->len; i++) {
        const struct td_list_page *page = &list->pages[i];
        struct tidings_value row;

        for (size_t r = 0; r < page->rows_len; r++) {
            if (!tidings_at(&row, page->rows, r) && !each(arg, row))
                return false;
        }
    }
    return true;
}

/* ---- rows ---- */

uint64_t td_row_uint(struct tidings_value row, const char *key)
{
    uint64_t n;

    return tidings_get_uint(&n, row, key) ? 0 : n;
}

bool td_row_bool(struct tidings_value row, const char *key)
{
    struct tidings_value value;
    bool on;

    return !tidings_get(&value, row, key) && !tidings_as_bool(&on, value) && on;
}

const char *td_row_text(size_t *len, struct tidings_value row, const char *key)
{
    struct tidings_value value;
    const char *text;

    if (!tidings_get(&value, row, key) && !tidings_as_string(&text, len, value))
        return text;
    *len = 0;
    return "";
}

bool td_row_is(struct tidings_value row, const char *key, const char *text)
{
    size_t len;
    const char *own = td_row_text(&len, row, key);

    return len == strlen(text) && memcmp(own, text, len) == 0;
}

int td_row_json(struct tidings_value row)
{
    char *json = NULL;
    tidings_err err = tidings_data_to_json(&json, row.bytes, row.len);

    if (err)
        return td_complain_err(err, "the broker's answer");
    puts(json);
    tidings_free(json);
    return td_out_open() ? TD_EXIT_DONE : td_flush_out();
}
