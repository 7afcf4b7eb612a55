#include "client/cli/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/connect.h"
#include "client/cli/out.h"

/* One msgpack bin that is `size` bytes with its head, as near as can be. */
static tidings_err make_data(struct td_load *load, size_t size)
{
    size_t head = size <= 257 ? 2 : size <= 65538 ? 3 : 5;
    tidings_writer *w = tidings_writer_new();
    unsigned char *zeros = calloc(1, size);
    const void *bytes, *content;
    struct tidings_value value;
    size_t len;
    tidings_err err = TIDINGS_ENOMEM;

    if (zeros && size > head) {
        tidings_put_binary(w, zeros, size - head);
        err = tidings_writer_bytes(w, &bytes, &load->data_len);
    }
    if (!err && !tidings_value_read(&value, bytes, load->data_len) &&
        !tidings_as_binary(&content, &len, value)) {
        load->stamp_at = (size_t)((const char *)content - (const char *)bytes);
        load->data = malloc(load->data_len);
        if (load->data)
            memcpy(load->data, bytes, load->data_len);
        else
            err = TIDINGS_ENOMEM;
    }
    free(zeros);
    tidings_writer_free(w);
    return err;
}

/* Of this process and moment, so that two benches do not meet. */
static void make_types(struct td_load *load)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    for (unsigned i = 0; i < load->types_len; i++)
        snprintf(load->types[i], sizeof(load->types[i]),
                 "tidings.bench.%lx%lx-%lx.%u", (unsigned long)now.tv_sec,
                 (unsigned long)now.tv_nsec, (unsigned long)getpid(), i);
    snprintf(load->pattern, sizeof(load->pattern), "%s", load->types[0]);
    strcpy(strrchr(load->pattern, '.') + 1, ">");
}

static tidings_err make_room(struct td_load *load)
{
    const struct td_bench_settings *b = &load->settings->bench;
    tidings_err err;

    load->publishers_len = b->publishers ? b->publishers : 1;
    load->subscribers_len = b->subscribers ? b->subscribers : 1;
    load->types_len = b->types ? b->types : 1;
    load->publishers = calloc(load->publishers_len, sizeof(*load->publishers));
    load->subscribers =
        calloc(load->subscribers_len, sizeof(*load->subscribers));
    load->types = calloc(load->types_len, sizeof(*load->types));
    if (!load->publishers || !load->subscribers || !load->types)
        return TIDINGS_ENOMEM;
    err = make_data(load, b->size ? b->size : TD_CLI_BENCH_SIZE);
    if (err)
        return err;
    make_types(load);
    for (unsigned i = 0; i < load->publishers_len; i++) {
        struct td_load_publisher *p = &load->publishers[i];

        p->load = load;
        p->index = i;
        p->data = malloc(load->data_len);
        if (!p->data)
            return TIDINGS_ENOMEM;
        memcpy(p->data, load->data, load->data_len);
    }
    return TIDINGS_OK;
}

int td_load_begin(struct td_load *load)
{
    struct tidings_options options = {.name = "tidings-bench",
                                      .source = "/tidings",
                                      .publish_timeout_ms = TD_LOAD_SLICE_MS,
                                      .close_timeout_ms = -1};
    tidings_err err = make_room(load);
    int code = err ? td_complain_err(err, "bench") : td_load_keep(load);

    options.confirm = td_load_level(load);
    for (unsigned i = 0; code == TD_EXIT_DONE && i < load->subscribers_len; i++)
        code = td_load_subscribe(load, &load->subscribers[i]);
    for (unsigned i = 0; code == TD_EXIT_DONE && i < load->publishers_len; i++)
        code = td_connect(&load->publishers[i].bus, load->settings, &options);
    return code;
}

/* Buses first: their handlers use what is freed then. */
void td_load_end(struct td_load *load)
{
    for (unsigned i = 0; load->publishers && i < load->publishers_len; i++) {
        tidings_close(load->publishers[i].bus);
        free(load->publishers[i].data);
    }
    for (unsigned i = 0; load->subscribers && i < load->subscribers_len; i++)
        tidings_close(load->subscribers[i].bus);
    td_load_forget(load);
    free(load->publishers);
    free(load->subscribers);
    free(load->types);
    free(load->data);
}
