#include "tests/support/operate.h"

#include <poll.h>

#include "tests/support/proc.h"

#define LOOK_MS 5 /* between two looks */

/* ---- calls ---- */

tidings_err operate(void **out, size_t *len, tidings_bus *bus, const char *name,
                    const struct operate_option *options)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    size_t bytes_len;
    uint32_t n = 0;
    tidings_err err;

    assert_non_null(w);
    while (options[n].key)
        n++;
    tidings_put_map(w, n);
    for (uint32_t i = 0; i < n; i++) {
        tidings_put_string(w, options[i].key);
        if (options[i].text)
            tidings_put_string(w, options[i].text);
        else
            tidings_put_uint(w, options[i].number);
    }
    assert_ok(tidings_writer_bytes(w, &bytes, &bytes_len));
    err = tidings_call(out, len, bus, name, bytes, bytes_len, OPERATE_MS);
    tidings_writer_free(w);
    return err;
}

tidings_err operate_group(tidings_bus *bus, const char *name,
                          const char *stream, const char *group,
                          const char *key, uint64_t number)
{
    const struct operate_option options[] = {
        {"stream", stream, 0}, {"group", group, 0}, {key, NULL, number}, {0}};

    return operate(NULL, NULL, bus, name, options);
}

/* ---- rows ---- */

static bool is_text(struct tidings_value map, const char *key, const char *text)
{
    char value[256];

    return !tidings_get_string(value, sizeof(value), map, key) &&
           strcmp(value, text) == 0;
}

/* The row of a list whose name, and group, are these; freed by who asked. */
static void *find_row(struct tidings_value *row, tidings_bus *bus,
                      const char *stream, const char *group)
{
    const char *call = group ? "group.list" : "stream.list";
    const char *rows = group ? "groups" : "streams";
    uint64_t from = 0;
    size_t count;

    do {
        const struct operate_option options[] = {{"from", NULL, from}, {0}};
        struct tidings_value map;
        struct tidings_value list;
        void *bytes;
        size_t len;

        assert_ok(operate(&bytes, &len, bus, call, options));
        assert_ok(tidings_value_read(&map, bytes, len));
        assert_ok(tidings_get(&list, map, rows));
        count = tidings_value_count(list);
        for (size_t i = 0; i < count; i++) {
            assert_ok(tidings_at(row, list, i));
            if (is_text(*row, group ? "stream" : "name", stream) &&
                (!group || is_text(*row, "group", group)))
                return bytes;
        }
        tidings_free(bytes);
        from += count;
    } while (count > 0);
    fail_msg("no %s %s in %s", stream, group ? group : "", call);
    return NULL;
}

static uint64_t figure(tidings_bus *bus, const char *stream, const char *group,
                       const char *key)
{
    struct tidings_value row;
    void *bytes = find_row(&row, bus, stream, group);
    uint64_t value = 0;

    assert_row(key, !tidings_get_uint(&value, row, key));
    tidings_free(bytes);
    return value;
}

uint64_t operate_stream_figure(tidings_bus *bus, const char *stream,
                               const char *key)
{
    return figure(bus, stream, NULL, key);
}

uint64_t operate_group_figure(tidings_bus *bus, const char *stream,
                              const char *group, const char *key)
{
    return figure(bus, stream, group, key);
}

bool operate_group_flag(tidings_bus *bus, const char *stream, const char *group,
                        const char *key)
{
    struct tidings_value row;
    struct tidings_value value;
    void *bytes = find_row(&row, bus, stream, group);
    bool flag = false;

    assert_row(key, !tidings_get(&value, row, key));
    assert_row(key, !tidings_as_bool(&flag, value));
    tidings_free(bytes);
    return flag;
}

bool operate_group_until(tidings_bus *bus, const char *stream,
                         const char *group, const char *key, uint64_t at_least,
                         int timeout_ms)
{
    int64_t end = td_proc_now_ms() + timeout_ms;

    while (operate_group_figure(bus, stream, group, key) < at_least) {
        if (td_proc_now_ms() > end)
            return false;
        poll(NULL, 0, LOOK_MS);
    }
    return true;
}

bool operate_until_settled(tidings_bus *bus, const char *stream,
                           const char *group, int timeout_ms)
{
    uint64_t last = operate_stream_figure(bus, stream, "last");

    return operate_group_until(bus, stream, group, "floor", last + 1,
                               timeout_ms);
}

/* ---- dead letters ---- */

static void read_dead(struct operate_dead *d, struct tidings_value row)
{
    struct tidings_value redriven;

    assert_ok(tidings_get_uint(&d->number, row, "number"));
    assert_ok(tidings_get_uint(&d->sequence, row, "sequence"));
    assert_ok(tidings_get_uint(&d->deliveries, row, "deliveries"));
    assert_ok(tidings_get_int(&d->first_ms, row, "first_ms"));
    assert_ok(tidings_get_int(&d->last_ms, row, "last_ms"));
    assert_ok(tidings_get_string(d->type, sizeof(d->type), row, "type"));
    assert_ok(tidings_get_string(d->reason, sizeof(d->reason), row, "reason"));
    assert_ok(tidings_get_string(d->error, sizeof(d->error), row, "error"));
    assert_ok(tidings_get_string(d->stream, sizeof(d->stream), row, "stream"));
    assert_ok(
        tidings_get_string(d->handler, sizeof(d->handler), row, "handler"));
    assert_ok(tidings_get(&redriven, row, "redriven"));
    assert_ok(tidings_as_bool(&d->redriven, redriven));
}

struct operate_dead operate_dead_at(tidings_bus *bus, const char *stream,
                                    const char *group, uint64_t from)
{
    const struct operate_option options[] = {{"stream", stream, 0},
                                             {"group", group, 0},
                                             {"from", NULL, from},
                                             {"limit", NULL, 1},
                                             {0}};
    struct operate_dead d = {0};
    struct tidings_value map;
    struct tidings_value list;
    struct tidings_value row;
    void *bytes;
    size_t len;

    assert_ok(operate(&bytes, &len, bus, "dlq.list", options));
    assert_ok(tidings_value_read(&map, bytes, len));
    assert_ok(tidings_get_uint(&d.total, map, "dead_total"));
    assert_ok(tidings_get(&list, map, "dead"));
    if (!tidings_at(&row, list, 0))
        read_dead(&d, row);
    tidings_free(bytes);
    return d;
}

uint64_t operate_dead_all(tidings_bus *bus, const char *name,
                          const char *stream, const char *group)
{
    uint64_t first = 1;
    uint64_t all = 0;

    do {
        const struct operate_option options[] = {{"stream", stream, 0},
                                                 {"group", group, 0},
                                                 {"first", NULL, first},
                                                 {0}};
        struct tidings_value map;
        uint64_t events;
        void *bytes;
        size_t len;

        assert_ok(operate(&bytes, &len, bus, name, options));
        assert_ok(tidings_value_read(&map, bytes, len));
        assert_ok(tidings_get_uint(&events, map, "events"));
        assert_ok(tidings_get_uint(&first, map, "next"));
        tidings_free(bytes);
        all += events;
    } while (first > 0);
    return all;
}
