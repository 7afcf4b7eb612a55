#include "client/cli/equation.h"

#include <inttypes.h>
#include <stdio.h>

#include "tidings/json.h"

bool td_equation_holds(const struct td_equation *e)
{
    return !e->missing && e->left == e->right;
}

static void add_number(struct td_table *t, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    td_table_add(t, text);
}

static void add_verdict(struct td_table *t, const struct td_equation *e)
{
    char text[64];

    if (td_equation_holds(e))
        snprintf(text, sizeof(text), "ok");
    else if (e->missing)
        snprintf(text, sizeof(text), "NOT TOLD: %.40s", e->missing);
    else
        snprintf(text, sizeof(text), "OFF BY %s%" PRIu64,
                 e->left < e->right ? "-" : "+",
                 e->left < e->right ? e->right - e->left : e->left - e->right);
    td_table_add(t, text);
}

void td_equation_add(struct td_table *t, const struct td_equation *e)
{
    td_table_add(t, e->of);
    td_table_add(t, e->name);
    add_number(t, e->left);
    td_table_add(t, "=");
    add_number(t, e->right);
    for (size_t i = 0; e->form && e->form->right[i]; i++)
        add_number(t, e->terms[i]);
    add_verdict(t, e);
}

void td_equation_columns(struct td_table *t, const struct td_form *form,
                         const char *left, const char *right)
{
    td_table_column(t, "of", false);
    td_table_column(t, "name", false);
    td_table_column(t, left, true);
    td_table_column(t, "=", false);
    td_table_column(t, right, true);
    for (size_t i = 0; form && form->right[i]; i++)
        td_table_column(t, form->right[i], true);
    td_table_column(t, "verdict", false);
}

/* ---- as JSON ---- */

static void put_pair(tidings_writer *w, const char *key, const char *value)
{
    tidings_put_string(w, key);
    tidings_put_string(w, value);
}

static void put_number(tidings_writer *w, const char *key, uint64_t value)
{
    tidings_put_string(w, key);
    tidings_put_uint(w, value);
}

static uint32_t count_terms(const struct td_form *form)
{
    uint32_t terms = 0;

    while (form->right[terms])
        terms++;
    return terms;
}

tidings_err td_equation_put_json(tidings_writer *w, const struct td_equation *e)
{
    const void *data;
    size_t len;
    char *json = NULL;
    tidings_err err;

    tidings_writer_reset(w);
    tidings_put_map(w, e->form ? 7 : 6);
    put_pair(w, "of", e->of);
    put_pair(w, "name", e->name);
    put_pair(w, "equation", e->text);
    put_number(w, "left", e->left);
    put_number(w, "right", e->right);
    if (e->form) {
        tidings_put_string(w, "terms");
        tidings_put_map(w, count_terms(e->form));
        for (size_t i = 0; e->form->right[i]; i++)
            put_number(w, e->form->right[i], e->terms[i]);
    }
    tidings_put_string(w, "balanced");
    tidings_put_bool(w, td_equation_holds(e));
    err = tidings_writer_bytes(w, &data, &len);
    if (!err)
        err = tidings_data_to_json(&json, data, len);
    if (!err)
        fputs(json, stdout);
    tidings_free(json);
    return err;
}
