#include "broker/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many streams as a broker may have, with as many patterns, are 4 MiB. */
#define FILE_BYTES_MAX (8u << 20)

/* Lists and maps within each other: what is known has 5. libyaml looks at each
 * of those that are open for each word, while the broker waits. */
#define DEPTH_MAX 16u

bool td_yaml_complain(const struct td_yaml *y, size_t line, char *why,
                      const char *format, ...)
{
    size_t len;
    va_list args;

    if (line)
        snprintf(why, TD_YAML_WHY_BYTES, "%s:%zu: ", y->path, line);
    else
        snprintf(why, TD_YAML_WHY_BYTES, "%s: ", y->path);
    len = strlen(why);
    va_start(args, format);
    vsnprintf(why + len, TD_YAML_WHY_BYTES - len, format, args);
    va_end(args);
    return false;
}

/* ---- the file ---- */

static const char *read_all(struct td_yaml *y, int fd)
{
    struct stat st;
    ssize_t n = 1;

    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode)) /* one that never ends would stop the broker */
        return "it is no regular file";
    if (st.st_size > FILE_BYTES_MAX)
        return "it is larger than 8 MiB";
    y->text = malloc((size_t)st.st_size + 1);
    if (!y->text)
        return strerror(ENOMEM);
    while (n > 0 && y->len < (size_t)st.st_size) {
        n = read(fd, y->text + y->len, (size_t)st.st_size - y->len);
        if (n < 0)
            return strerror(errno);
        y->len += (size_t)n;
    }
    return NULL;
}

/* ---- its document ---- */

static bool is_null(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;

    return node->type == YAML_SCALAR_NODE &&
           node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (strcmp(text, "") == 0 || strcmp(text, "~") == 0 ||
            strcmp(text, "null") == 0);
}

/* What libcyaml would take as text, or call an error of its own. */
static bool check_pairs(struct td_yaml *y, const yaml_node_t *map, char *why)
{
    const yaml_node_pair_t *pair = map->data.mapping.pairs.start;

    for (; pair < map->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key =
            yaml_document_get_node(&y->document, pair->key);
        const yaml_node_t *value =
            yaml_document_get_node(&y->document, pair->value);

        if (key->type != YAML_SCALAR_NODE)
            return td_yaml_complain(y, key->start_mark.line + 1, why,
                                    "a key is a word");
        if (is_null(value))
            return td_yaml_complain(y, key->start_mark.line + 1, why,
                                    "%s has no value: give it one, or leave "
                                    "it out",
                                    (const char *)key->data.scalar.value);
    }
    return true;
}

static bool check_nodes(struct td_yaml *y, char *why)
{
    const yaml_node_t *node = y->document.nodes.start;

    for (; node < y->document.nodes.top; node++) {
        if (node->type == YAML_MAPPING_NODE && !check_pairs(y, node, why))
            return false;
        if (node->type == YAML_SCALAR_NODE &&
            strlen((const char *)node->data.scalar.value) !=
                node->data.scalar.length)
            return td_yaml_complain(y, node->start_mark.line + 1, why,
                                    "a NUL in a value");
    }
    return true;
}

static bool has_anchor(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return e->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor;
    default:
        return false;
    }
}

/* One word of the file; *depth of what is open. */
static bool check_event(struct td_yaml *y, const yaml_event_t *e,
                        unsigned *depth, char *why)
{
    size_t line = e->start_mark.line + 1;

    *depth += e->type == YAML_SEQUENCE_START_EVENT ||
              e->type == YAML_MAPPING_START_EVENT;
    *depth -=
        e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT;
    if (*depth > DEPTH_MAX)
        return td_yaml_complain(y, line, why,
                                "more than %u lists and maps within each other",
                                DEPTH_MAX);
    if (has_anchor(e)) /* each is compared with all before it */
        return td_yaml_complain(y, line, why, "no anchors and aliases here");
    return true;
}

/* What would take libyaml long to load is refused before it is. What is no YAML
 * is left to the loading, which says so. */
static bool check_shape(struct td_yaml *y, char *why)
{
    yaml_parser_t parser;
    yaml_event_t event;
    unsigned depth = 0;
    bool ok = true;
    bool more = true;

    if (!yaml_parser_initialize(&parser))
        return td_yaml_complain(y, 0, why, "%s", strerror(ENOMEM));
    yaml_parser_set_input_string(&parser, (const unsigned char *)y->text,
                                 y->len);
    while (ok && more && yaml_parser_parse(&parser, &event)) {
        ok = check_event(y, &event, &depth, why);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return ok;
}

static bool read_document(struct td_yaml *y, char *why)
{
    yaml_document_t more;
    yaml_parser_t parser;
    bool ok;

    if (!yaml_parser_initialize(&parser))
        return td_yaml_complain(y, 0, why, "%s", strerror(ENOMEM));
    yaml_parser_set_input_string(&parser, (const unsigned char *)y->text,
                                 y->len);
    ok = y->has_document = yaml_parser_load(&parser, &y->document);
    if (ok)
        ok = yaml_parser_load(&parser, &more);
    if (!ok) {
        td_yaml_complain(y, parser.problem_mark.line + 1, why, "%s",
                         parser.problem ? parser.problem : strerror(ENOMEM));
    } else {
        if (yaml_document_get_root_node(&more))
            ok = td_yaml_complain(y, more.start_mark.line + 1, why,
                                  "a second document: there is to be one");
        yaml_document_delete(&more);
    }
    yaml_parser_delete(&parser);
    return ok && check_nodes(y, why);
}

bool td_yaml_read(struct td_yaml *y, const char *path, char *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *wrong;

    memset(y, 0, sizeof(*y));
    y->path = path;
    wrong = fd < 0 ? strerror(errno) : read_all(y, fd);
    if (fd >= 0)
        close(fd);
    if (wrong)
        return td_yaml_complain(y, 0, why, "%s", wrong);
    return check_shape(y, why) && read_document(y, why);
}

void td_yaml_fini(struct td_yaml *y)
{
    if (y->has_document)
        yaml_document_delete(&y->document);
    free(y->text);
}

/* ---- where ---- */

static const yaml_node_t *value_of(struct td_yaml *y, const yaml_node_t *map,
                                   const char *key)
{
    const yaml_node_pair_t *pair;

    if (!map || map->type != YAML_MAPPING_NODE || !key)
        return NULL;
    for (pair = map->data.mapping.pairs.start;
         pair < map->data.mapping.pairs.top; pair++) {
        const yaml_node_t *node =
            yaml_document_get_node(&y->document, pair->key);

        if (strcmp((const char *)node->data.scalar.value, key) == 0)
            return yaml_document_get_node(&y->document, pair->value);
    }
    return NULL;
}

size_t td_yaml_line(struct td_yaml *y, const char *key, size_t nth,
                    const char *field)
{
    const yaml_node_t *root = yaml_document_get_root_node(&y->document);
    const yaml_node_t *node = value_of(y, root, key);
    const yaml_node_t *inner;

    if (!node)
        return 0;
    if (node->type == YAML_SEQUENCE_NODE &&
        nth < (size_t)(node->data.sequence.items.top -
                       node->data.sequence.items.start))
        node = yaml_document_get_node(&y->document,
                                      node->data.sequence.items.start[nth]);
    inner = value_of(y, node, field);
    return (inner ? inner : node)->start_mark.line + 1;
}

/* ---- libcyaml ---- */

/* What it says: the reason first, and then where, from within to without. */
struct said {
    char reason[TD_YAML_WHY_BYTES];
    char within[160];
    size_t line; /* from 1, as it counts; 0: it did not say */
    size_t column;
};

static void hear(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct said *said = ctx;
    char text[TD_YAML_WHY_BYTES];
    char *from = text;
    char *where;

    (void)level;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    if (strncmp(from, "Load: ", 6) == 0)
        from += 6;
    if (strcmp(from, "Backtrace:") == 0)
        return;
    where = strstr(from, " (line: ");
    if (!where && !said->reason[0]) {
        snprintf(said->reason, sizeof(said->reason), "%s", from);
    } else if (where && said->line == 0 &&
               sscanf(where, " (line: %zu, column: %zu)", &said->line,
                      &said->column) == 2) {
        *where = '\0';
        from += strspn(from, " ");
        snprintf(said->within, sizeof(said->within), "%.*s",
                 (int)sizeof(said->within) - 1, from);
    }
}

static cyaml_config_t config_of(struct said *said)
{
    const cyaml_config_t config = {
        .log_fn = hear,
        .log_ctx = said,
        .log_level = CYAML_LOG_WARNING,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS, /* nothing here is so large */
    };

    return config;
}

static bool is_before(const yaml_mark_t *mark, const struct said *said)
{
    return mark->line + 1 < said->line ||
           (mark->line + 1 == said->line && mark->column + 1 < said->column);
}

/* Of a key that is wrong it tells the place of what came before it: that key is
 * the first of its name from there on. */
static size_t line_of_key(struct td_yaml *y, const struct said *said,
                          const char *key)
{
    size_t line = 0;

    for (const yaml_node_t *map = y->document.nodes.start;
         map < y->document.nodes.top; map++) {
        const yaml_node_pair_t *pair = map->data.mapping.pairs.start;

        for (; map->type == YAML_MAPPING_NODE &&
               pair < map->data.mapping.pairs.top;
             pair++) {
            const yaml_node_t *node =
                yaml_document_get_node(&y->document, pair->key);

            if (strcmp((const char *)node->data.scalar.value, key) == 0 &&
                !is_before(&node->start_mark, said) &&
                (line == 0 || node->start_mark.line + 1 < line))
                line = node->start_mark.line + 1;
        }
    }
    return line;
}

static size_t line_of(struct td_yaml *y, const struct said *said)
{
    static const char *const of_keys[] = {"Unexpected key: ",
                                          "Mapping field already seen: "};
    const yaml_node_t *root;
    size_t line = 0;

    for (size_t i = 0; i < sizeof(of_keys) / sizeof(of_keys[0]); i++) {
        size_t len = strlen(of_keys[i]);

        if (strncmp(said->reason, of_keys[i], len) == 0)
            line = line_of_key(y, said, said->reason + len);
    }
    if (line || said->line)
        return line ? line : said->line;
    root = yaml_document_get_root_node(&y->document);
    return root ? root->start_mark.line + 1 : 0;
}

bool td_yaml_load(struct td_yaml *y, const cyaml_schema_value_t *schema,
                  void **out, char *why)
{
    struct said said = {.reason = ""};
    const cyaml_config_t config = config_of(&said);
    cyaml_err_t err;

    *out = NULL;
    err = cyaml_load_data((const uint8_t *)y->text, y->len, &config, schema,
                          out, NULL);
    if (err == CYAML_OK)
        return true;
    if (!said.reason[0])
        snprintf(said.reason, sizeof(said.reason), "%s", cyaml_strerror(err));
    /* of other reasons the field is that which came before */
    if (strncmp(said.reason, "Expecting ", 10) != 0)
        said.within[0] = '\0';
    return td_yaml_complain(y, line_of(y, &said), why, "%s%s%s", said.reason,
                            said.within[0] ? ", " : "", said.within);
}

void td_yaml_free(const cyaml_schema_value_t *schema, void *data)
{
    struct said said = {.reason = ""};
    const cyaml_config_t config = config_of(&said);

    cyaml_free(&config, schema, data, 0);
}
