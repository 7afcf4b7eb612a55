#include "client/cli/up/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/up/order.h"
#include "client/cli/up/service.h"

struct reading {
    struct td_up_file *file;
    const yaml_node_t *nodes[TD_UP_SERVICES_MAX]; /* of the services */
    const yaml_node_t *needs[TD_UP_SERVICES_MAX]; /* NULL: none are named */
};

/* ---- names ---- */

static bool find(uint32_t *out, const struct td_up_spec *spec, const char *name)
{
    for (uint32_t i = 0; i < spec->len; i++) {
        if (strcmp(spec->services[i].name, name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool resolve_one(struct td_reader *r, const struct td_up_spec *spec,
                        struct td_up_service *service, const yaml_node_t *item)
{
    const char *name = td_key_word(item);
    uint32_t need;

    if (!name)
        return td_key_refuse(r, item, "needs is a list of names: [NAME, ...]");
    if (!find(&need, spec, name))
        return td_key_refuse(r, item,
                             "%s needs %s, which is no service of this file",
                             service->name, name);
    for (uint32_t i = 0; i < service->needs_len; i++) {
        if (service->needs[i] == need)
            return td_key_refuse(r, item, "%s needs %s twice: leave one out",
                                 service->name, name);
    }
    service->needs[service->needs_len++] = need;
    return true;
}

static bool resolve(struct td_reader *r, struct reading *reading)
{
    struct td_up_spec *spec = &reading->file->spec;

    for (uint32_t i = 0; i < spec->len; i++) {
        const yaml_node_t *needs = reading->needs[i];

        for (size_t n = 0; needs && n < td_node_items(needs); n++) {
            if (!resolve_one(r, spec, &spec->services[i],
                             td_node_item(r, needs, n)))
                return false;
        }
    }
    return true;
}

static bool put_in_order(struct td_reader *r, struct reading *reading)
{
    struct td_up_spec *spec = &reading->file->spec;
    uint32_t circle[TD_UP_SERVICES_MAX + 1];
    uint32_t len = td_up_order(spec, circle);
    char all[TD_YAML_WHY_BYTES / 2] = "";

    if (len == 0)
        return true;
    for (uint32_t i = 0; i < len; i++)
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
                 i ? " needs " : "", spec->services[circle[i]].name);
    return td_key_refuse(r, reading->nodes[circle[0]],
                         "%s: none of them could be the first; take one of "
                         "these needs away",
                         all);
}

/* ---- the top of the file ---- */

static bool read_bus(struct td_reader *r, void *into, const yaml_node_t *value)
{
    struct reading *reading = into;
    const char *word = td_key_word(value);

    if (!word ||
        (strncmp(word, "tcp://", 6) != 0 && strncmp(word, "ipc:///", 7) != 0))
        return td_key_refuse(r, value,
                             "bus %s: wants tcp://HOST:PORT or ipc:///PATH",
                             word ? word : "");
    reading->file->spec.bus = word;
    return true;
}

static bool read_service(struct td_reader *r, struct reading *reading,
                         const yaml_node_t *map)
{
    struct td_up_spec *spec = &reading->file->spec;
    struct td_up_entry entry = {
        .service = &spec->services[spec->len],
        .folder = reading->file->folder,
    };
    uint32_t other = 0;

    reading->nodes[spec->len] = map;
    spec->len++; /* what it allocates is freed even if it is wrong */
    if (!td_up_service_read(r, &entry, map))
        return false;
    reading->needs[spec->len - 1] = entry.needs;
    find(&other, spec, entry.service->name);
    if (other + 1 < spec->len)
        return td_key_refuse(r, map,
                             "a second service %s, the first is in line %zu; "
                             "for two of one kind there is instances: 2",
                             entry.service->name, spec->services[other].line);
    return true;
}

static bool read_services(struct td_reader *r, void *into,
                          const yaml_node_t *value)
{
    struct reading *reading = into;
    struct td_up_spec *spec = &reading->file->spec;
    unsigned processes = 0;
    size_t len;

    if (value->type != YAML_SEQUENCE_NODE || td_node_items(value) == 0)
        return td_key_refuse(r, value,
                             "services is a list: - {name: NAME, command: "
                             "...}");
    len = td_node_items(value);
    if (len > TD_UP_SERVICES_MAX)
        return td_key_refuse(r, value, "more than %u services",
                             TD_UP_SERVICES_MAX);
    spec->services = calloc(len, sizeof(*spec->services));
    if (!spec->services)
        return td_key_refuse(r, value, "out of memory");
    for (size_t i = 0; i < len; i++) {
        if (!read_service(r, reading, td_node_item(r, value, i)))
            return false;
        processes += spec->services[i].instances;
    }
    return processes <= TD_UP_PROCESSES_MAX ||
           td_key_refuse(r, value, "%u instances in all: more than %u",
                         processes, TD_UP_PROCESSES_MAX);
}

/* Absolute, so that it holds whatever folder the process is in later. */
static char *folder_of(const char *path)
{
    char real[PATH_MAX];
    char *slash;

    if (!realpath(path, real))
        return NULL;
    slash = strrchr(real, '/');
    slash[slash == real] = '\0';
    return strdup(real);
}

bool td_up_file_read(struct td_up_file *f, const char *path, char *why)
{
    static const struct td_key keys[] = {
        {"bus", false, read_bus},
        {"services", true, read_services},
    };
    struct reading reading = {.file = f};
    struct td_reader r = {.yaml = &f->yaml, .why = why};
    const yaml_node_t *root;

    *f = (struct td_up_file){0};
    if (!td_yaml_read(&f->yaml, path, why))
        return false;
    f->folder = folder_of(path);
    if (!f->folder)
        return td_yaml_complain(&f->yaml, 0, why, "%s", strerror(errno));
    root = yaml_document_get_root_node(&f->yaml.document);
    if (!root)
        return td_yaml_complain(&f->yaml, 0, why,
                                "it says nothing: it needs services");
    return td_keys_read(&r, &reading, root, "the file", keys,
                        sizeof(keys) / sizeof(keys[0])) &&
           resolve(&r, &reading) && put_in_order(&r, &reading);
}

void td_up_file_fini(struct td_up_file *f)
{
    for (uint32_t i = 0; i < f->spec.len; i++)
        td_up_service_fini(&f->spec.services[i]);
    free(f->spec.services);
    free(f->folder);
    td_yaml_fini(&f->yaml);
}
