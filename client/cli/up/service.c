#include "client/cli/up/service.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/cli/up/words.h"

static bool no_memory(struct td_reader *r, const yaml_node_t *value)
{
    return td_key_refuse(r, value, "out of memory");
}

static struct td_up_service *service_of(void *entry)
{
    return ((struct td_up_entry *)entry)->service;
}

/* ---- words ---- */

/* As on the bus: PROTOCOL.md 11.2. */
static bool name_of(struct td_reader *r, const char **out,
                    const yaml_node_t *value, const char *key)
{
    const char *word = td_key_word(value);
    size_t len = 0;

    while (word && (isalnum((unsigned char)word[len]) || word[len] == '_' ||
                    word[len] == '-'))
        len++;
    if (!word || len == 0 || word[len] || len > TD_UP_NAME_MAX)
        return td_key_refuse(r, value,
                             "%s %s: wants 1 to %u letters, digits, _ or -",
                             key, word ? word : "", TD_UP_NAME_MAX);
    *out = word;
    return true;
}

static bool read_name(struct td_reader *r, void *into, const yaml_node_t *value)
{
    return name_of(r, &service_of(into)->name, value, "name");
}

static bool read_bus_name(struct td_reader *r, void *into,
                          const yaml_node_t *value)
{
    return name_of(r, &service_of(into)->bus_name, value, "service");
}

static bool read_ready(struct td_reader *r, void *into,
                       const yaml_node_t *value)
{
    static const char *const words[] = {
        [TD_UP_READY_STARTED] = "started",
        [TD_UP_READY_BUS] = "bus",
        [TD_UP_READY_SERVICE] = "service",
        NULL,
    };
    unsigned ready;

    if (!td_key_choice(r, &ready, value, "ready", words))
        return false;
    service_of(into)->ready = (enum td_up_ready)ready;
    return true;
}

static bool read_ready_timeout(struct td_reader *r, void *into,
                               const yaml_node_t *value)
{
    return td_key_time(r, &service_of(into)->ready_timeout_ms, value,
                       "ready_timeout");
}

static bool read_instances(struct td_reader *r, void *into,
                           const yaml_node_t *value)
{
    return td_key_number(r, &service_of(into)->instances, value, "instances",
                         TD_UP_INSTANCES_MAX);
}

static bool read_needs(struct td_reader *r, void *into,
                       const yaml_node_t *value)
{
    if (value->type != YAML_SEQUENCE_NODE)
        return td_key_refuse(r, value, "needs is a list: [NAME, ...]");
    if (td_node_items(value) > TD_UP_SERVICES_MAX)
        return td_key_refuse(r, value, "needs: more than %u",
                             TD_UP_SERVICES_MAX);
    ((struct td_up_entry *)into)->needs = value;
    return true;
}

/* ---- what is run ---- */

static bool read_list(struct td_reader *r, struct td_up_service *service,
                      const yaml_node_t *list)
{
    size_t len = td_node_items(list);

    if (len == 0)
        return td_key_refuse(r, list, "command: no command");
    if (len > TD_UP_WORDS_MAX)
        return td_key_refuse(r, list, "command: more than %u words",
                             TD_UP_WORDS_MAX);
    for (size_t i = 0; i < len; i++) {
        const yaml_node_t *item = td_node_item(r, list, i);

        if (!td_key_word(item))
            return td_key_refuse(r, item, "command: its items are words");
        service->command[i] = (char *)item->data.scalar.value;
    }
    service->command[len] = NULL;
    return *service->command[0] ||
           td_key_refuse(r, list, "command: no command");
}

static bool read_command(struct td_reader *r, void *into,
                         const yaml_node_t *value)
{
    struct td_up_service *service = service_of(into);
    const char *wrong;

    service->command = calloc(TD_UP_WORDS_MAX + 1, sizeof(char *));
    if (!service->command)
        return no_memory(r, value);
    if (value->type == YAML_SEQUENCE_NODE)
        return read_list(r, service, value);
    if (!td_key_word(value))
        return td_key_refuse(r, value, "command is a text or a list of words");
    wrong = td_up_words(service->command, TD_UP_WORDS_MAX, td_key_word(value));
    service->words = service->command[0];
    if (!wrong && !*service->command[0])
        wrong = "no command";
    return !wrong || td_key_refuse(r, value, "command: %s", wrong);
}

static bool read_directory(struct td_reader *r, void *into,
                           const yaml_node_t *value)
{
    struct td_up_entry *entry = into;
    const char *word = td_key_word(value);
    size_t len = word ? strlen(entry->folder) + strlen(word) + 2 : 0;
    struct stat st;

    if (!word || !*word)
        return td_key_refuse(r, value, "directory: wants a folder");
    free(entry->service->directory);
    entry->service->directory = malloc(len);
    if (!entry->service->directory)
        return no_memory(r, value);
    snprintf(entry->service->directory, len, "%s%s%s",
             *word == '/' ? "" : entry->folder, *word == '/' ? "" : "/", word);
    if (stat(entry->service->directory, &st) != 0 || !S_ISDIR(st.st_mode))
        return td_key_refuse(r, value,
                             "directory %s: there is no such folder; it is "
                             "relative to the file",
                             word);
    return true;
}

static bool read_variable(struct td_reader *r, struct td_up_service *service,
                          const yaml_node_t *key, const yaml_node_t *value)
{
    const char *name = td_key_word(key);
    size_t len = service->environment_len;

    if (!*name || strchr(name, '='))
        return td_key_refuse(r, key, "environment: \"%s\" is no name", name);
    if (!td_key_word(value))
        return td_key_refuse(r, value, "environment: %s wants a text", name);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(service->environment[i].name, name) == 0)
            return td_key_refuse(r, key, "a second %s: leave one out", name);
    }
    service->environment[len].name = name;
    service->environment[len].value = td_key_word(value);
    service->environment_len++;
    return true;
}

static bool read_environment(struct td_reader *r, void *into,
                             const yaml_node_t *value)
{
    struct td_up_service *service = service_of(into);
    size_t len;

    if (value->type != YAML_MAPPING_NODE)
        return td_key_refuse(r, value, "environment is a map: {NAME: TEXT}");
    len = td_node_pairs(value);
    if (len > TD_UP_ENVIRONMENT_MAX)
        return td_key_refuse(r, value, "environment: more than %u variables",
                             TD_UP_ENVIRONMENT_MAX);
    service->environment = calloc(len + 1, sizeof(*service->environment));
    if (!service->environment)
        return no_memory(r, value);
    for (size_t i = 0; i < len; i++) {
        const yaml_node_t *name, *text;

        td_node_pair(r, &name, &text, value, i);
        if (!read_variable(r, service, name, text))
            return false;
    }
    return true;
}

/* ---- restart ---- */

static bool read_policy(struct td_reader *r, void *into,
                        const yaml_node_t *value)
{
    static const char *const words[] = {
        [TD_UP_ON_FAILURE] = "on-failure",
        [TD_UP_ALWAYS] = "always",
        [TD_UP_NEVER] = "never",
        NULL,
    };
    unsigned policy;

    if (!td_key_choice(r, &policy, value, "policy", words))
        return false;
    service_of(into)->policy = (enum td_up_policy)policy;
    return true;
}

static bool read_backoff(struct td_reader *r, void *into,
                         const yaml_node_t *value)
{
    return td_key_time(r, &service_of(into)->backoff_ms, value, "backoff");
}

static bool read_backoff_max(struct td_reader *r, void *into,
                             const yaml_node_t *value)
{
    return td_key_time(r, &service_of(into)->backoff_max_ms, value,
                       "backoff_max");
}

static bool read_max(struct td_reader *r, void *into, const yaml_node_t *value)
{
    return td_key_number(r, &service_of(into)->restarts_max, value, "max",
                         TD_UP_RESTARTS_MAX);
}

static bool read_window(struct td_reader *r, void *into,
                        const yaml_node_t *value)
{
    return td_key_time(r, &service_of(into)->restart_window_ms, value,
                       "window");
}

/* A word is its policy; the rest has defaults. */
static bool read_restart(struct td_reader *r, void *into,
                         const yaml_node_t *value)
{
    static const struct td_key keys[] = {
        {"policy", false, read_policy},
        {"backoff", false, read_backoff},
        {"backoff_max", false, read_backoff_max},
        {"max", false, read_max},
        {"window", false, read_window},
    };
    struct td_up_service *service = service_of(into);

    if (td_key_word(value))
        return read_policy(r, into, value);
    if (!td_keys_read(r, into, value, "restart", keys,
                      sizeof(keys) / sizeof(keys[0])))
        return false;
    return service->backoff_ms <= service->backoff_max_ms ||
           td_key_refuse(r, value, "backoff is longer than backoff_max");
}

/* ---- stop ---- */

static bool read_signal(struct td_reader *r, void *into,
                        const yaml_node_t *value)
{
    static const char *const words[] = {"TERM", "INT",  "HUP",  "QUIT",
                                        "USR1", "USR2", "KILL", NULL};
    static const int signals[] = {SIGTERM, SIGINT,  SIGHUP, SIGQUIT,
                                  SIGUSR1, SIGUSR2, SIGKILL};
    unsigned place;

    if (!td_key_choice(r, &place, value, "signal", words))
        return false;
    service_of(into)->stop_signal = signals[place];
    return true;
}

static bool read_stop_timeout(struct td_reader *r, void *into,
                              const yaml_node_t *value)
{
    return td_key_time(r, &service_of(into)->stop_timeout_ms, value, "timeout");
}

static bool read_stop(struct td_reader *r, void *into, const yaml_node_t *value)
{
    static const struct td_key keys[] = {
        {"signal", false, read_signal},
        {"timeout", false, read_stop_timeout},
    };

    return td_keys_read(r, into, value, "stop", keys,
                        sizeof(keys) / sizeof(keys[0]));
}

/* ---- a service ---- */

static const struct td_key service_keys[] = {
    {"name", true, read_name},
    {"command", true, read_command},
    {"directory", false, read_directory},
    {"environment", false, read_environment},
    {"needs", false, read_needs},
    {"ready", false, read_ready},
    {"service", false, read_bus_name},
    {"ready_timeout", false, read_ready_timeout},
    {"instances", false, read_instances},
    {"restart", false, read_restart},
    {"stop", false, read_stop},
};

bool td_up_service_read(struct td_reader *r, struct td_up_entry *entry,
                        const yaml_node_t *map)
{
    struct td_up_service *service = entry->service;

    *service = (struct td_up_service){
        .line = map->start_mark.line + 1,
        .ready_timeout_ms = TD_UP_READY_TIMEOUT_MS,
        .instances = 1,
        .backoff_ms = TD_UP_BACKOFF_MS,
        .backoff_max_ms = TD_UP_BACKOFF_MAX_MS,
        .restarts_max = TD_UP_RESTARTS,
        .restart_window_ms = TD_UP_RESTART_WINDOW_MS,
        .stop_signal = SIGTERM,
        .stop_timeout_ms = TD_UP_STOP_TIMEOUT_MS,
        .directory = strdup(entry->folder),
    };
    if (!service->directory)
        return no_memory(r, map);
    if (!td_keys_read(r, entry, map, "a service", service_keys,
                      sizeof(service_keys) / sizeof(service_keys[0])))
        return false;
    if (service->bus_name && service->ready != TD_UP_READY_SERVICE)
        return td_key_refuse(r, map,
                             "service %s is for ready: service; write that, "
                             "too",
                             service->bus_name);
    if (!service->bus_name)
        service->bus_name = service->name;
    return true;
}

void td_up_service_fini(struct td_up_service *service)
{
    free(service->command);
    free(service->words);
    free(service->directory);
    free(service->environment);
}
