#include "proto/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many streams as a broker may have, with as many patterns, are 4 MiB. */
#define FILE_BYTES_MAX (8u << 20)

/* Lists and maps within each other: what is known has 5. libyaml looks at each
 * of those that are open for each word, while whoever reads waits. */
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
    if (!S_ISREG(st.st_mode)) /* one may never end */
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
