#include "broker/yaml.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

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
