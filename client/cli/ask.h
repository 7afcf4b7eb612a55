/* ask.h: the broker's calls about streams (PROTOCOL.md 10.3), and their
 * answers, which may come in pages. */
#ifndef TD_CLI_ASK_H
#define TD_CLI_ASK_H

#include "client/cli/cli.h"

struct td_ask {
    const struct td_settings *settings;
    tidings_bus *bus;
    tidings_writer *options; /* of the next call: empty it is a map of none */
    void *data;              /* the last answer; freed */
    struct tidings_value answer; /* a map, in data */
};

/** For commands whose words are names: as many as in words, "STREAM GROUP".
 *  @return TD_EXIT_DONE, or TD_EXIT_USAGE and stderr was told */
int td_names(const struct td_settings *settings, const char *command,
             const char *words);

/** For what cannot be undone: --yes was given, or stderr is told what it takes.
 *  @return TD_EXIT_DONE or TD_EXIT_USAGE */
int td_sure(const struct td_settings *settings, const char *what);

/** Connect. @return TD_EXIT_DONE; another code, and stderr was told */
int td_ask_open(struct td_ask *a, const struct td_settings *settings);
void td_ask_close(struct td_ask *a);

/** A map of pairs pairs begins the options; they follow. */
void td_ask_map(struct td_ask *a, uint32_t pairs);
void td_ask_string(struct td_ask *a, const char *key, const char *value);
void td_ask_uint(struct td_ask *a, const char *key, uint64_t value);

/** Call, with the options put before, which are then empty again.
 *  @return as tidings_call() */
tidings_err td_ask_call(struct td_ask *a, const char *call);

/** Say why a call was refused; what: "stream orders". @return the exit code */
int td_refused(const struct td_settings *settings, tidings_err err,
               const char *what);

/* ---- lists ---- */

struct td_list { /* all zero: none */
    struct td_list_page {
        void *data; /* freed */
        struct tidings_value answer;
        struct tidings_value rows;
        size_t rows_len;
    } * pages;
    size_t len;
    size_t rows_len;
};

void td_list_fini(struct td_list *list);

/* An option of a list, a text. */
struct td_list_option {
    const char *key;
    const char *value; /* NULL: not given */
};

/** All rows of a call's answers.
 *  @param key      of the rows in the answer: "groups"; their number in all is
 *                  under "groups_total".
 *  @param options  what it is asked for beside where it goes on. */
tidings_err td_list_fetch_with(struct td_list *out, struct td_ask *a,
                               const char *call, const char *key,
                               const struct td_list_option *options,
                               size_t options_len);

/** The same with one option at most.
 *  @param stream  NULL: not given. */
tidings_err td_list_fetch(struct td_list *out, struct td_ask *a,
                          const char *call, const char *key,
                          const char *stream);

/** Call each(arg, row) for every row until it says false.
 *  @return false: it did */
bool td_list_each(const struct td_list *list,
                  bool (*each)(void *arg, struct tidings_value row), void *arg);

/* ---- rows ---- */

/** A number of a row; what is not there is 0. */
uint64_t td_row_uint(struct tidings_value row, const char *key);
bool td_row_bool(struct tidings_value row, const char *key);
/** A text of a row and its length; "" if it is not there. */
const char *td_row_text(size_t *len, struct tidings_value row, const char *key);
bool td_row_is(struct tidings_value row, const char *key, const char *text);

/** A row as one line of JSON. @return the exit code */
int td_row_json(struct tidings_value row);

#endif
