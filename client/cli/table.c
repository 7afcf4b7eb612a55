#include "client/cli/table.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/escape.h"
#include "client/cli/out.h"

#define GAP         "  " /* between columns */
#define CELL_BYTES  2048 /* 255 bytes of a pattern, each as \u00xx, and more */
#define FIRST_CELLS 64
#define PLAIN       "\033[0m"

void td_table_fini(struct td_table *t)
{
    free(t->text);
    free(t->cells);
    *t = (struct td_table){0};
}

void td_table_column(struct td_table *t, const char *title, bool number)
{
    t->columns[t->columns_len].title = title;
    t->columns[t->columns_len].number = number;
    t->columns[t->columns_len].widest = strlen(title);
    t->columns_len++;
}

void td_table_painted(struct td_table *t, td_table_paint paint)
{
    t->columns[t->columns_len - 1].paint = paint;
}

/* old with room for least of unit bytes each; NULL: no memory, old stays. */
static void *with_room(void *old, size_t *cap, size_t least, size_t unit)
{
    size_t more = *cap ? *cap : FIRST_CELLS;
    void *bytes;

    if (least <= *cap)
        return old;
    while (more < least)
        more *= 2;
    bytes = realloc(old, more * unit);
    if (bytes)
        *cap = more;
    return bytes;
}

static bool make_room(struct td_table *t, size_t bytes)
{
    char *text = with_room(t->text, &t->text_cap, t->text_len + bytes, 1);
    size_t *cells = NULL;

    if (text) {
        t->text = text;
        cells = with_room(t->cells, &t->cells_cap, t->cells_len + 1,
                          sizeof(*cells));
    }
    if (cells)
        t->cells = cells;
    else
        t->failed = true;
    return !t->failed;
}

void td_table_add_n(struct td_table *t, const char *text, size_t len)
{
    char cell[CELL_BYTES];
    size_t column = t->cells_len % t->columns_len;
    size_t bytes, wide;

    if (len == 0) {
        text = "-";
        len = 1;
    }
    bytes = td_escape(cell, sizeof(cell), text, len);
    wide = td_escaped_columns(cell, bytes);
    if (t->failed || !make_room(t, bytes + 1))
        return;
    t->cells[t->cells_len++] = t->text_len;
    memcpy(t->text + t->text_len, cell, bytes + 1);
    t->text_len += bytes + 1;
    if (wide > t->columns[column].widest)
        t->columns[column].widest = wide;
}

void td_table_add(struct td_table *t, const char *text)
{
    td_table_add_n(t, text, strlen(text));
}

size_t td_table_rows(const struct td_table *t)
{
    return t->columns_len ? t->cells_len / t->columns_len : 0;
}

const char *td_table_text(const struct td_table *t, size_t row, size_t column)
{
    return t->text + t->cells[row * t->columns_len + column];
}

/* Nothing behind the last of a line: no blanks that nobody sees. */
static void put_cell(const struct td_table *t, FILE *to, const char *text,
                     size_t column, bool title)
{
    td_table_paint paint = t->columns[column].paint;
    const char *code = t->colour && paint && !title ? paint(text) : NULL;
    size_t wide = td_escaped_columns(text, strlen(text));
    int gap = (int)(t->columns[column].widest - wide);

    fputs(column ? GAP : "", to);
    if (t->columns[column].number)
        fprintf(to, "%*s", gap, "");
    fputs(code ? code : "", to);
    fputs(text, to);
    fputs(code ? PLAIN : "", to);
    if (!t->columns[column].number && column + 1 < t->columns_len)
        fprintf(to, "%*s", gap, "");
}

static bool has_titles(const struct td_table *t)
{
    for (size_t c = 0; c < t->columns_len; c++) {
        if (*t->columns[c].title)
            return true;
    }
    return false;
}

void td_table_fold(struct td_table *out, const struct td_table *t, size_t parts)
{
    size_t rows = td_table_rows(t), high = (rows + parts - 1) / parts;

    out->failed = t->failed;
    for (size_t part = 0; part < parts; part++) {
        for (size_t c = 0; c < t->columns_len; c++)
            td_table_column(out, t->columns[c].title, t->columns[c].number);
    }
    for (size_t row = 0; row < high; row++) {
        for (size_t part = 0; part < parts; part++) {
            for (size_t c = 0; c < t->columns_len; c++)
                td_table_add(out, part * high + row < rows
                                      ? td_table_text(t, part * high + row, c)
                                      : " ");
        }
    }
}

bool td_table_put(const struct td_table *t, FILE *to, size_t max,
                  const char *line_end)
{
    size_t rows = td_table_rows(t);

    if (t->failed) {
        td_complain("out of memory");
        return false;
    }
    for (size_t c = 0; c < t->columns_len && has_titles(t); c++)
        put_cell(t, to, t->columns[c].title, c, true);
    if (has_titles(t))
        fputs(line_end, to);
    for (size_t row = 0; row < rows && row < max; row++) {
        for (size_t c = 0; c < t->columns_len; c++)
            put_cell(t, to, td_table_text(t, row, c), c, false);
        fputs(line_end, to);
    }
    if (rows > max)
        fprintf(to, "... and %zu more%s", rows - max, line_end);
    return true;
}
