/* What is published arrives as it was given, and what is out of bounds is
 * refused (FAULTS D24). */
#include "tests/conformance/conformance.h"

#include <stdlib.h>
#include <time.h>

#define PUBLISHERS 4
#define EACH       2000

/* ---- one event, kept whole ---- */

struct kept {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    uint64_t count;
    struct tidings_event event; /* its pointers are malloc'ed */
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX];
};

static char *copy_text(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void *copy_bytes(const void *bytes, size_t len)
{
    void *copy = malloc(len ? len : 1);

    if (copy && len)
        memcpy(copy, bytes, len);
    return copy;
}

static void kept_clear(struct kept *k)
{
    struct tidings_event *e = &k->event;

    for (size_t i = 0; i < e->attrs_len; i++) {
        free((void *)k->attrs[i].name);
        free((void *)k->attrs[i].string);
        free((void *)k->attrs[i].binary);
    }
    free((void *)e->type);
    free((void *)e->id);
    free((void *)e->source);
    free((void *)e->subject);
    free((void *)e->datacontenttype);
    free((void *)e->dataschema);
    free((void *)e->data);
    memset(e, 0, sizeof(*e));
}

static tidings_err keep(void *arg, const struct tidings_event *event)
{
    struct kept *k = arg;
    struct tidings_event *e = &k->event;

    pthread_mutex_lock(&k->lock);
    kept_clear(k);
    *e = *event;
    e->type = copy_text(event->type);
    e->id = copy_text(event->id);
    e->source = copy_text(event->source);
    e->subject = copy_text(event->subject);
    e->datacontenttype = copy_text(event->datacontenttype);
    e->dataschema = copy_text(event->dataschema);
    e->data = event->data_len ? copy_bytes(event->data, event->data_len) : NULL;
    e->attrs = k->attrs;
    for (size_t i = 0; i < event->attrs_len; i++) {
        k->attrs[i] = event->attrs[i];
        k->attrs[i].name = copy_text(event->attrs[i].name);
        k->attrs[i].string = copy_text(event->attrs[i].string);
        k->attrs[i].binary =
            copy_bytes(event->attrs[i].binary, event->attrs[i].binary_len);
    }
    k->count++;
    pthread_cond_broadcast(&k->arrived);
    pthread_mutex_unlock(&k->lock);
    return TIDINGS_OK;
}

struct echo {
    tidings_bus *bus;
    struct kept kept;
};

static int echo_setup(void **state)
{
    const struct tidings_options o = {.name = "echo"};
    struct echo *x = calloc(1, sizeof(*x));
    void *conf = NULL;

    if (!x || conf_setup(&conf))
        return -1;
    free(conf); /* it only chose the URL */
    pthread_mutex_init(&x->kept.lock, NULL);
    pthread_cond_init(&x->kept.arrived, NULL);
    *state = x;
    if (tidings_open(&x->bus, conf_url(), &o))
        return -1;
    return tidings_subscribe(NULL, x->bus, ">", keep, &x->kept, NULL) ? -1 : 0;
}

static int echo_teardown(void **state)
{
    struct echo *x = *state;

    tidings_close(x->bus);
    kept_clear(&x->kept);
    pthread_cond_destroy(&x->kept.arrived);
    pthread_mutex_destroy(&x->kept.lock);
    free(x);
    return 0;
}

/* Publishes it and waits until it came back; the n-th of this test. */
static const struct tidings_event *echo(struct echo *x,
                                        const struct tidings_event *event,
                                        uint64_t n)
{
    struct timespec deadline;
    uint64_t count;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += CONF_MS / 1000;
    assert_ok(tidings_publish_event(x->bus, event));
    pthread_mutex_lock(&x->kept.lock);
    while (x->kept.count < n &&
           pthread_cond_timedwait(&x->kept.arrived, &x->kept.lock, &deadline) ==
               0)
        ;
    count = x->kept.count;
    pthread_mutex_unlock(&x->kept.lock);
    assert_int_equal(count, n);
    return &x->kept.event; /* nobody writes it: nothing else is published */
}

/* ---- defaults ---- */

static bool is_generated_id(const char *id)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    return strlen(id) == 40 && strspn(id, digits) == 26 && id[26] == '-' &&
           strspn(id + 27, digits) == 13;
}

static void test_publish_sets_the_defaults(void **state)
{
    struct echo *x = *state;
    const struct tidings_event bare = {.type = "defaults"};
    int64_t before = conf_unix_us();
    const struct tidings_event *e = echo(x, &bare, 1);

    assert_string_equal(e->type, "defaults");
    assert_true(is_generated_id(e->id));
    assert_string_equal(e->source, "/echo");
    assert_true(e->time_us >= before && e->time_us <= conf_unix_us());
    assert_null(e->subject);
    assert_null(e->datacontenttype);
    assert_null(e->dataschema);
    assert_int_equal(e->data_len, 0);
    assert_int_equal(e->attrs_len, 0);
    assert_null(tidings_event_attr(e, "subject"));
    assert_null(tidings_event_attr(NULL, "x"));
    assert_null(tidings_event_attr(e, NULL));
}

static void test_publish_takes_the_source_from_the_options(void **state)
{
    static const struct {
        struct tidings_options o;
        const char *source;
    } rows[] = {
        {{.name = NULL}, "/tidings"},
        {{.name = "shop"}, "/shop"},
        {{.name = "shop", .source = "urn:x:1"}, "urn:x:1"},
    };
    struct conf *c = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_bus *bus = conf_open(c, &rows[i].o);
        struct tally *t = conf_subscribe(c, bus, "of.*");

        assert_ok(tidings_publish(bus, "of.me", "x", 1));
        assert_true(tally_wait(t, 1, CONF_MS));
        assert_row(rows[i].source,
                   strcmp(tally_now(t).source, rows[i].source) == 0);
        conf_forget(c, bus);
        assert_ok(tidings_close(bus));
    }
}

/* ---- ids ---- */

struct ids {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    size_t len;
    size_t unsorted; /* not above the last of its bus */
    char last[2][64];
    char all[PUBLISHERS * EACH][64];
};

static tidings_err note_id(void *arg, const struct tidings_event *event)
{
    struct ids *ids = arg;
    int bus = event->type[3] - 'a';

    pthread_mutex_lock(&ids->lock);
    if (strcmp(event->id, ids->last[bus]) <= 0)
        ids->unsorted++;
    snprintf(ids->last[bus], sizeof(ids->last[bus]), "%s", event->id);
    if (ids->len < PUBLISHERS * EACH)
        snprintf(ids->all[ids->len], sizeof(ids->all[0]), "%s", event->id);
    ids->len++;
    pthread_cond_broadcast(&ids->arrived);
    pthread_mutex_unlock(&ids->lock);
    return TIDINGS_OK;
}

struct publisher {
    tidings_bus *bus;
    const char *type;
    unsigned who;
    tidings_err err;
};

static void *publish_each(void *arg)
{
    struct publisher *p = arg;

    p->err = conf_publish_many(p->bus, p->type, p->who, EACH);
    return NULL;
}

static void publish_from_threads(struct publisher *p)
{
    pthread_t threads[PUBLISHERS];

    for (int i = 0; i < PUBLISHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_each, &p[i]),
                         0);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PUBLISHERS; i++)
        assert_ok(p[i].err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void test_ids_are_unique_and_sort_as_published(void **state)
{
    struct conf *c = *state;
    tidings_bus *a = conf_open(c, NULL);
    tidings_bus *b = conf_open(c, NULL);
    struct publisher p[PUBLISHERS] = {{a, "id.a", 0, 0},
                                      {a, "id.a", 1, 0},
                                      {b, "id.b", 2, 0},
                                      {b, "id.b", 3, 0}};
    struct ids *ids = calloc(1, sizeof(*ids));
    struct timespec deadline;
    size_t same = 0;

    assert_non_null(ids);
    pthread_mutex_init(&ids->lock, NULL);
    pthread_cond_init(&ids->arrived, NULL);
    assert_ok(tidings_subscribe(NULL, a, "id.*", note_id, ids, NULL));
    publish_from_threads(p);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += CONF_MS / 1000;
    pthread_mutex_lock(&ids->lock);
    while (ids->len < PUBLISHERS * EACH &&
           pthread_cond_timedwait(&ids->arrived, &ids->lock, &deadline) == 0)
        ;
    pthread_mutex_unlock(&ids->lock);
    assert_ok(tidings_drain(a, CONF_MS));
    assert_int_equal(ids->len, PUBLISHERS * EACH);
    assert_int_equal(ids->unsorted, 0);
    qsort(ids->all, ids->len, sizeof(ids->all[0]), by_text);
    for (size_t i = 1; i < ids->len; i++)
        same += strcmp(ids->all[i - 1], ids->all[i]) == 0;
    assert_int_equal(same, 0);
    for (size_t i = 0; i < ids->len; i++)
        assert_row(ids->all[i], is_generated_id(ids->all[i]));
    pthread_cond_destroy(&ids->arrived);
    pthread_mutex_destroy(&ids->lock);
    free(ids);
}

/* ---- attributes ---- */

static void assert_same_text(const char *got, const char *want)
{
    assert_int_equal(!got, !want);
    if (want)
        assert_string_equal(got, want);
}

static void assert_same_event(const struct tidings_event *got,
                              const struct tidings_event *want)
{
    assert_string_equal(got->type, want->type);
    if (want->id)
        assert_string_equal(got->id, want->id);
    if (want->source)
        assert_string_equal(got->source, want->source);
    if (want->time_us)
        assert_true(got->time_us == want->time_us);
    assert_same_text(got->subject, want->subject);
    assert_same_text(got->datacontenttype, want->datacontenttype);
    assert_same_text(got->dataschema, want->dataschema);
    assert_int_equal(got->data_len, want->data_len);
    if (want->data_len)
        assert_memory_equal(got->data, want->data, want->data_len);
    assert_int_equal(got->attrs_len, want->attrs_len);
    for (size_t i = 0; i < want->attrs_len; i++) {
        const struct tidings_attr *a = &got->attrs[i];
        const struct tidings_attr *b = &want->attrs[i];

        assert_string_equal(a->name, b->name);
        assert_int_equal(a->kind, b->kind);
        assert_same_text(a->string, b->string);
        assert_int_equal(a->integer, b->integer);
        assert_int_equal(a->boolean, b->boolean);
        assert_int_equal(a->binary_len, b->binary_len);
        if (b->binary_len)
            assert_memory_equal(a->binary, b->binary, b->binary_len);
    }
}

static void test_attributes_travel_untouched(void **state)
{
    static const struct tidings_attr attrs[] = {
        {.name = "traceparent",
         .kind = TIDINGS_ATTR_STRING,
         .string = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {.name = "partitionkey", .kind = TIDINGS_ATTR_STRING, .string = "u1"},
        {.name = "expirytime",
         .kind = TIDINGS_ATTR_STRING,
         .string = "2030-01-01T00:00:00Z"},
        {.name = "empty", .kind = TIDINGS_ATTR_STRING, .string = ""},
        {.name = "utf8", .kind = TIDINGS_ATTR_STRING, .string = "\xe2\x82\xac"},
        {.name = "least", .kind = TIDINGS_ATTR_INTEGER, .integer = INT32_MIN},
        {.name = "most", .kind = TIDINGS_ATTR_INTEGER, .integer = INT32_MAX},
        {.name = "zero", .kind = TIDINGS_ATTR_INTEGER},
        {.name = "yes", .kind = TIDINGS_ATTR_BOOLEAN, .boolean = true},
        {.name = "no", .kind = TIDINGS_ATTR_BOOLEAN},
        {.name = "bin",
         .kind = TIDINGS_ATTR_BINARY,
         .binary = "a\0b\xff",
         .binary_len = 4},
        {.name = "nobin", .kind = TIDINGS_ATTR_BINARY, .binary = ""},
        {.name = "a2345678901234567890",
         .kind = TIDINGS_ATTR_INTEGER,
         .integer = 20},
    };
    const struct tidings_event event = {
        .type = "all.of.it",
        .id = "my id, \xe2\x82\xac",
        .source = "https://example.com/x?y#z",
        .time_us = -1,
        .subject = "a subject",
        .datacontenttype = "text/plain",
        .dataschema = "https://example.com/schema",
        .data = "hello\0world",
        .data_len = 11,
        .attrs = attrs,
        .attrs_len = TD_ARRAY_LEN(attrs),
    };
    struct echo *x = *state;
    const struct tidings_event *e = echo(x, &event, 1);

    assert_same_event(e, &event);
    assert_string_equal(tidings_event_attr(e, "partitionkey"), "u1");
    assert_null(tidings_event_attr(e, "least")); /* no string */
    assert_null(tidings_event_attr(e, "absent"));
}

/* Nothing of one event shows in the next. */
static void test_attributes_do_not_stick(void **state)
{
    const struct tidings_attr attr = {
        .name = "one", .kind = TIDINGS_ATTR_STRING, .string = "1"};
    const struct tidings_event full = {.type = "stick",
                                       .id = "mine",
                                       .source = "/other",
                                       .subject = "s",
                                       .attrs = &attr,
                                       .attrs_len = 1};
    const struct tidings_event bare = {.type = "stick"};
    struct echo *x = *state;
    const struct tidings_event *e;

    for (uint64_t n = 1; n < 20; n += 2) {
        echo(x, &full, n);
        e = echo(x, &bare, n + 1);
        assert_true(is_generated_id(e->id));
        assert_string_equal(e->source, "/echo");
        assert_null(e->subject);
        assert_int_equal(e->attrs_len, 0);
    }
}

static void test_bad_events_are_refused(void **state)
{
    static char text[70000];
    const char *end = text + sizeof(text) - 1;
    const struct tidings_attr ok = {
        .name = "ok", .kind = TIDINGS_ATTR_STRING, .string = "x"};
    const struct tidings_attr twice[] = {ok, ok};
    const struct {
        const char *row;
        struct tidings_attr attr; /* when it has a name */
        struct tidings_event event;
    } rows[] = {
        {"no type", .event = {.type = NULL}},
        {"empty type", .event = {.type = ""}},
        {"wildcard", .event = {.type = "a.*"}},
        {"rest wildcard", .event = {.type = "a.>"}},
        {"system type", .event = {.type = "$SYS.x"}},
        {"data NULL", .event = {.type = "a", .data_len = 1}},
        {"empty id", .event = {.type = "a", .id = ""}},
        {"long id", .event = {.type = "a", .id = end - 256}},
        {"empty source", .event = {.type = "a", .source = ""}},
        {"long source", .event = {.type = "a", .source = end - 1024}},
        {"empty subject", .event = {.type = "a", .subject = ""}},
        {"long subject", .event = {.type = "a", .subject = end - 65536}},
        {"subject, not UTF-8", .event = {.type = "a", .subject = "\xff"}},
        {"id, not UTF-8", .event = {.type = "a", .id = "\xc3"}},
        {"year 0", .event = {.type = "a", .time_us = INT64_MIN}},
        {"year 10000", .event = {.type = "a", .time_us = INT64_MAX}},
        {"attrs NULL", .event = {.type = "a", .attrs_len = 1}},
        {"twice", .event = {.type = "a", .attrs = twice, .attrs_len = 2}},
        {"empty name", {.name = "", .string = "x"}, {.type = "a"}},
        {"upper case", {.name = "Key", .string = "x"}, {.type = "a"}},
        {"dash", {.name = "a-b", .string = "x"}, {.type = "a"}},
        {"21 bytes",
         {.name = "a23456789012345678901", .string = "x"},
         {.type = "a"}},
        {"own: id", {.name = "id", .string = "x"}, {.type = "a"}},
        {"own: subject", {.name = "subject", .string = "x"}, {.type = "a"}},
        {"own: time", {.name = "time", .string = "x"}, {.type = "a"}},
        {"own: data", {.name = "data", .string = "x"}, {.type = "a"}},
        {"own: specversion",
         {.name = "specversion", .string = "1.0"},
         {.type = "a"}},
        {"string NULL", {.name = "x"}, {.type = "a"}},
        {"string, not UTF-8", {.name = "x", .string = "\xff"}, {.type = "a"}},
        {"binary NULL",
         {.name = "x", .kind = TIDINGS_ATTR_BINARY, .binary_len = 1},
         {.type = "a"}},
        {"unknown kind",
         {.name = "x", .kind = (enum tidings_attr_kind)9, .string = "x"},
         {.type = "a"}},
        {"more than 64 KiB",
         {.name = "x", .string = end - 65536},
         {.type = "a"}},
    };
    struct echo *x = *state;
    struct tidings_info info;

    memset(text, 'x', sizeof(text) - 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct tidings_event event = rows[i].event;

        if (rows[i].attr.name) {
            event.attrs = &rows[i].attr;
            event.attrs_len = 1;
        }
        assert_row(rows[i].row,
                   tidings_publish_event(x->bus, &event) == TIDINGS_EINVAL);
        assert_row(rows[i].row, *tidings_detail());
    }
    assert_err(tidings_publish_event(x->bus, NULL), TIDINGS_EINVAL);
    assert_ok(tidings_info(&info, x->bus));
    assert_int_equal(info.published, 0);
}

/* ---- limits ---- */

static void test_types_end_at_255_bytes_and_16_tokens(void **state)
{
    static const size_t lens[] = {1,   2,   100, 244, 245, 246, 247, 248,
                                  249, 250, 251, 252, 253, 254, 255};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *all = conf_subscribe(c, bus, ">");
    char type[300];

    for (size_t i = 0; i < TD_ARRAY_LEN(lens); i++) {
        struct tally *exact;

        memset(type, 'a' + (int)(i % 26), lens[i]);
        type[lens[i]] = '\0';
        exact = conf_subscribe(c, bus, type);
        assert_ok(tidings_publish(bus, type, NULL, 0));
        assert_true(tally_wait(exact, 1, CONF_MS));
        assert_true(tally_wait(all, i + 1, CONF_MS));
        assert_string_equal(tally_now(exact).type, type);
    }
    memset(type, 'a', 256);
    type[256] = '\0';
    assert_err(tidings_publish(bus, type, NULL, 0), TIDINGS_EINVAL);
    assert_err(tidings_subscribe(NULL, bus, type, tally_event, all, NULL),
               TIDINGS_EINVAL);
    assert_ok(tidings_publish(bus, "1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.g", "", 0));
    assert_true(tally_wait(all, TD_ARRAY_LEN(lens) + 1, CONF_MS));
    assert_err(tidings_publish(bus, "1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.g.h", "", 0),
               TIDINGS_EINVAL);
}

static void test_data_ends_at_1_mib(void **state)
{
    struct echo *x = *state;
    unsigned char *data = malloc(TIDINGS_DATA_MAX + 1);
    struct tidings_event event = {.type = "large", .data = data};
    uint32_t random = 7;

    assert_non_null(data);
    for (size_t i = 0; i <= TIDINGS_DATA_MAX; i++)
        data[i] = (unsigned char)conf_random(&random, 256);
    event.data_len = TIDINGS_DATA_MAX;
    assert_same_event(echo(x, &event, 1), &event);
    event.data_len = TIDINGS_DATA_MAX - 1;
    assert_same_event(echo(x, &event, 2), &event);
    event.data_len = TIDINGS_DATA_MAX + 1;
    assert_err(tidings_publish_event(x->bus, &event), TIDINGS_EINVAL);
    assert_err(tidings_publish(x->bus, "large", data, TIDINGS_DATA_MAX + 1),
               TIDINGS_EINVAL);
    free(data);
}

static void test_attributes_end_at_64_and_64_kib(void **state)
{
    static char value[TIDINGS_ATTRS_BYTES_MAX + 1];
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX + 1];
    char names[TIDINGS_ATTRS_MAX + 1][8];
    struct tidings_event event = {.type = "attrs", .attrs = attrs};
    struct tidings_attr one = {.name = "x", .kind = TIDINGS_ATTR_STRING};
    unsigned char *data = calloc(1, TIDINGS_DATA_MAX);
    struct echo *x = *state;

    assert_non_null(data);
    memset(attrs, 0, sizeof(attrs));
    for (size_t i = 0; i <= TIDINGS_ATTRS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "a%zu", i);
        attrs[i].name = names[i];
        attrs[i].kind = TIDINGS_ATTR_INTEGER;
        attrs[i].integer = (int32_t)i;
    }
    event.attrs_len = TIDINGS_ATTRS_MAX;
    assert_same_event(echo(x, &event, 1), &event);
    event.attrs_len = TIDINGS_ATTRS_MAX + 1;
    assert_err(tidings_publish_event(x->bus, &event), TIDINGS_EINVAL);
    event.attrs_len = TIDINGS_ATTRS_MAX;
    event.subject = "one too many";
    assert_err(tidings_publish_event(x->bus, &event), TIDINGS_EINVAL);

    /* Encoded: the map 1, the name 2, the string's head 3. */
    memset(value, 'v', sizeof(value) - 1);
    one.string = value + sizeof(value) - 1 - (TIDINGS_ATTRS_BYTES_MAX - 6);
    event = (struct tidings_event){.type = "attrs",
                                   .attrs = &one,
                                   .attrs_len = 1,
                                   .data = data,
                                   .data_len = TIDINGS_DATA_MAX};
    assert_same_event(echo(x, &event, 2), &event);
    one.string--;
    assert_err(tidings_publish_event(x->bus, &event), TIDINGS_EINVAL);
    free(data);
}

/* ---- many threads ---- */

/* While one thread waits for room, the others' attributes are not mixed up
 * with its own. */
struct marked {
    pthread_mutex_t lock;
    uint64_t count;
    uint64_t wrong;
};

static tidings_err check_mark(void *arg, const struct tidings_event *event)
{
    struct marked *m = arg;
    const char *mark = tidings_event_attr(event, "mark");
    const char *subject = event->subject;

    pthread_mutex_lock(&m->lock);
    m->count++;
    m->wrong += !mark || !subject || event->data_len != strlen(mark) ||
                memcmp(event->data, mark, event->data_len) != 0 ||
                strcmp(mark, subject) != 0;
    pthread_mutex_unlock(&m->lock);
    return TIDINGS_OK;
}

static void *publish_marked(void *arg)
{
    struct publisher *p = arg;
    char mark[256];

    memset(mark, 'a' + (int)p->who, sizeof(mark));
    for (int i = 0; i < EACH / 4 && !p->err; i++) {
        const struct tidings_attr attr = {
            .name = "mark", .kind = TIDINGS_ATTR_STRING, .string = mark};
        const struct tidings_event event = {.type = p->type,
                                            .subject = mark,
                                            .data = mark,
                                            .data_len = 50 * (p->who + 1),
                                            .attrs = &attr,
                                            .attrs_len = 1};

        mark[event.data_len] = '\0';
        p->err = tidings_publish_event(p->bus, &event);
    }
    return NULL;
}

static void test_attributes_of_threads_that_wait_are_their_own(void **state)
{
    const struct tidings_options o = {.unconfirmed_events = 4};
    struct marked m = {.count = 0};
    struct publisher p[PUBLISHERS];
    pthread_t threads[PUBLISHERS];
    tidings_bus *bus;
    tidings_bus *reader;

    (void)state;
    pthread_mutex_init(&m.lock, NULL);
    assert_ok(tidings_open(&bus, conf_url(), &o));
    assert_ok(tidings_open(&reader, conf_url(), NULL));
    assert_ok(tidings_subscribe(NULL, reader, "marked", check_mark, &m, NULL));
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        p[i] = (struct publisher){bus, "marked", i, TIDINGS_OK};
        assert_int_equal(
            pthread_create(&threads[i], NULL, publish_marked, &p[i]), 0);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_close(bus));
    for (int64_t end = td_proc_now_ms() + CONF_MS; td_proc_now_ms() < end;) {
        struct tidings_info info;

        assert_ok(tidings_info(&info, reader));
        if (info.delivered == PUBLISHERS * (EACH / 4))
            break;
        conf_pause_us(1000);
    }
    assert_ok(tidings_close(reader));
    for (int i = 0; i < PUBLISHERS; i++)
        assert_ok(p[i].err);
    assert_int_equal(m.count, PUBLISHERS * (EACH / 4));
    assert_int_equal(m.wrong, 0);
    pthread_mutex_destroy(&m.lock);
}

#define ECHO_TEST(test)                                                        \
    cmocka_unit_test_setup_teardown(test, echo_setup, echo_teardown)

int conf_run_publish(void)
{
    const struct CMUnitTest tests[] = {
        ECHO_TEST(test_publish_sets_the_defaults),
        CONF_TEST(test_publish_takes_the_source_from_the_options),
        CONF_TEST(test_ids_are_unique_and_sort_as_published),
        ECHO_TEST(test_attributes_travel_untouched),
        ECHO_TEST(test_attributes_do_not_stick),
        ECHO_TEST(test_bad_events_are_refused),
        CONF_TEST(test_types_end_at_255_bytes_and_16_tokens),
        ECHO_TEST(test_data_ends_at_1_mib),
        ECHO_TEST(test_attributes_end_at_64_and_64_kib),
        CONF_TEST(test_attributes_of_threads_that_wait_are_their_own),
    };

    return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
