/* The registry of services: its lists, its events, draining, weights, and
 * instances that fall silent. */
#include "tests/unit/registry_fixture.h"

/* ---- lists ---- */

static void test_registry_lists_who_is_there(void **state)
{
    struct fixture *f = *state;
    struct td_str list, row, endpoint;

    hello(f, "a");
    hello(f, "b");
    list = call(f, "a", TIDINGS_OK, "service.list", "{}");
    assert_int_equal(count(list, "revision"), 0);
    assert_int_equal(count(list, "services_total"), 0);
    assert_int_equal(length_of(list, "services"), 0);
    serve(f, "b", "users", "1.2.0",
          USERS " \"id\" \"b-1\" \"description\" \"all of them\" "
                "\"metadata\" {\"host\" \"h\"} \"text\" \"well\"");
    f->now += 40;
    list = call(f, "a", TIDINGS_OK, "service.list", "{}");
    assert_int_equal(count(list, "revision"), 1);
    assert_int_equal(count(list, "services_total"), 1);
    row = row_of(list, "services", 0);
    assert_true(is_text(text_of(row, "service"), "users"));
    assert_true(is_text(text_of(row, "id"), "b-1"));
    assert_true(is_text(text_of(row, "version"), "1.2.0"));
    assert_int_equal(count(row, "state"), TD_HEALTH_RUNNING);
    assert_true(is_text(text_of(row, "text"), "well"));
    assert_false(flag_of(row, "draining"));
    assert_int_equal(count(row, "session"), session_of(f, "b")->number);
    assert_true(is_text(text_of(row, "client"), "b"));
    assert_int_equal(count(row, "since_ms"), 40);
    assert_int_equal(count(row, "in_flight"), 0);
    assert_true(is_text(text_of(map_of(row, "metadata"), "host"), "h"));
    assert_int_equal(length_of(row, "endpoints"), 1);

    list = call(f, "a", TIDINGS_OK, "service.info", "{}");
    row = row_of(list, "services", 0);
    assert_true(is_text(text_of(row, "description"), "all of them"));
    endpoint = row_of(row, "endpoints", 0);
    assert_true(is_text(text_of(endpoint, "name"), "get"));
    assert_true(is_text(text_of(endpoint, "type"), "user.get"));
    assert_true(is_text(text_of(endpoint, "group"), "users"));
    assert_true(is_text(text_of(endpoint, "balance"), "round_robin"));
    assert_int_equal(count(endpoint, "max_in_flight"), TD_TASKS_OUT);
}

/* Lists and infos, of a name or an id. */
static void test_registry_lists_what_is_asked_for(void **state)
{
    static const struct {
        const char *options;
        uint32_t rows;
    } rows[] = {
        {"{}", 3},
        {"{\"name\" \"users\"}", 2},
        {"{\"name\" \"orders\"}", 1},
        {"{\"name\" \"user\"}", 0},
        {"{\"name\" \"\"}", 3},
        {"{\"id\" \"u2\"}", 1},
        {"{\"id\" \"u2\" \"name\" \"orders\"}", 0},
        {"{\"from\" 2}", 1},
        {"{\"from\" 3}", 0},
        {"{\"from\" 9223372036854775807}", 0},
        {"{\"name\" \"users\" \"from\" 1}", 1},
        {"{\"other\" [1 2]}", 3},
    };
    static const char *const calls[] = {"service.list", "service.info",
                                        "service.stats"};
    struct fixture *f = *state;

    hello(f, "a");
    hello(f, "b");
    hello(f, "c");
    serve(f, "a", "users", "1.0.0", "\"id\" \"u1\"");
    serve(f, "b", "users", "1.0.0", "\"id\" \"u2\"");
    serve(f, "c", "orders", "1.0.0", "\"id\" \"o1\"");
    for (size_t c = 0; c < TD_ARRAY_LEN(calls); c++) {
        for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
            struct td_str list =
                call(f, "a", TIDINGS_OK, calls[c], rows[i].options);

            assert_row(rows[i].options,
                       length_of(list, "services") == rows[i].rows);
            forget(f);
        }
    }
}

static void test_registry_refuses_wrong_options(void **state)
{
    static const struct {
        const char *name;
        const char *options;
        tidings_err code;
    } rows[] = {
        {"service.list", "{\"from\" -1}", TIDINGS_EINVAL},
        {"service.list", "{\"from\" \"1\"}", TIDINGS_EINVAL},
        {"service.info", "{\"name\" 7}", TIDINGS_EINVAL},
        {"service.stats", "{\"id\" ['x']}", TIDINGS_EINVAL},
        {"service.drain", "{}", TIDINGS_EINVAL},
        {"service.drain", "{\"name\" \"\"}", TIDINGS_EINVAL},
        {"service.drain", "{\"name\" 1}", TIDINGS_EINVAL},
        {"service.drain", "{\"name\" \"nobody\"}", TIDINGS_ENOTFOUND},
        {"service.drain", "{\"name\" \"users\" \"id\" 5}", TIDINGS_EINVAL},
        {"service.drain", "{\"name\" \"users\" \"id\" \"x\"}",
         TIDINGS_ENOTFOUND},
        {"service.drain", "{\"name\" \"users\" \"undo\" 1}", TIDINGS_EINVAL},
        {"service.weight", "{}", TIDINGS_EINVAL},
        {"service.weight", "{\"name\" \"users\"}", TIDINGS_EINVAL},
        {"service.weight", "{\"name\" \"us ers\" \"version\" \"1.0.0\"}",
         TIDINGS_EINVAL},
        {"service.weight", "{\"name\" s(65) \"version\" \"1.0.0\"}",
         TIDINGS_EINVAL},
        {"service.weight", "{\"name\" \"users\" \"version\" \"new\"}",
         TIDINGS_EINVAL},
        {"service.weight", "{\"name\" \"users\" \"version\" s(65)}",
         TIDINGS_EINVAL},
        {"service.weight",
         "{\"name\" \"users\" \"version\" \"1.0.0\" \"percent\" 101}",
         TIDINGS_EINVAL},
        {"service.weight",
         "{\"name\" \"users\" \"version\" \"1.0.0\" \"percent\" -1}",
         TIDINGS_EINVAL},
        {"service.weight",
         "{\"name\" \"users\" \"version\" \"1.0.0\" \"percent\" \"5\"}",
         TIDINGS_EINVAL},
        {"service.lisst", "{}", TIDINGS_ENOTSUP},
    };
    struct fixture *f = *state;

    hello(f, "a");
    serve(f, "a", "users", "1.0.0", USERS);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        call(f, "a", rows[i].code, rows[i].name, rows[i].options);
        forget(f);
    }
    assert_int_equal(f->engine->serving.revision, 1);
    assert_int_equal(sessions(f), 1);
}

/* Six peers, 60 services each. */
static void serve_many(struct fixture *f)
{
    char peer[4], id[8];

    for (unsigned p = 0; p < 6; p++) {
        snprintf(peer, sizeof(peer), "p%u", p);
        hello(f, peer);
        for (unsigned n = 1; n <= 60; n++) {
            snprintf(id, sizeof(id), "%u-%u", p, n);
            givef(f, peer,
                  "[19 %u %u \"s%u\" \"1.0.0\" {\"id\" \"%s\" \"metadata\" "
                  "{\"k\" s(300)}}]",
                  n, n, n % 7, id);
        }
        assert_ok(code_of_reply(f, peer));
        forget(f);
    }
}

static void test_registry_comes_in_pages(void **state)
{
    static const struct {
        const char *name;
        uint32_t most;
    } rows[] = {{"service.list", TD_SERVICE_ROWS_MAX},
                {"service.info", TD_SERVICE_DETAILS_MAX},
                {"service.stats", TD_SERVICE_DETAILS_MAX}};
    struct fixture *f = *state;

    f->unjudged = true;
    serve_many(f);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        bool seen[6][61] = {{false}};
        uint32_t from = 0, totals = 0;

        while (from < 360) {
            char options[40];
            struct td_str list;
            uint32_t n;

            snprintf(options, sizeof(options), "{\"from\" %u}", from);
            list = call(f, "p0", TIDINGS_OK, rows[i].name, options);
            n = length_of(list, "services");
            assert_int_equal(count(list, "services_total"), 360);
            assert_true(n > 0 && n <= rows[i].most);
            if (i == 2)
                totals += length_of(list, "totals");
            for (uint32_t r = 0; r < n; r++) {
                struct td_str id = text_of(row_of(list, "services", r), "id");
                unsigned at = (unsigned)atoi(id.data + 2);
                bool *one = &seen[id.data[0] - '0'][at];

                assert_false(*one);
                *one = true;
            }
            from += n;
            forget(f);
        }
        assert_int_equal(from, 360);
        assert_int_equal(totals, i == 2 ? 7 : 0);
    }
}

/* Names that have as many weights as they may, and no instances but the first:
 * each comes once. */
static void test_names_without_instances_come_in_pages(void **state)
{
    struct fixture *f = *state;
    uint64_t from = 0;
    uint32_t names = 0, pages = 0;

    f->unjudged = true;
    serve_many(f); /* 7 names */
    for (unsigned n = 0; n < TD_SERVICE_NAMES_MAX; n++) {
        char name[16], version[TD_VERSION_BYTES_MAX + 1] = "";
        struct td_service *service;
        tidings_err err;

        snprintf(name, sizeof(name), "s%u", n);
        service = td_service_get(f->engine, td_str_of(name), &err);
        assert_non_null(service);
        memset(version, 'x', TD_VERSION_BYTES_MAX);
        for (int w = 0; w < 64; w++) {
            version[0] = (char)('0' + w);
            assert_ok(td_weight_set(f->engine, service, version, 0));
        }
    }
    do {
        char options[40];
        struct td_str list;

        snprintf(options, sizeof(options), "{\"from\" %u}", (unsigned)from);
        list = call(f, "p0", TIDINGS_OK, "service.stats", options);
        assert_int_equal(count(list, "services_total"), 360);
        names += length_of(list, "totals");
        assert_true(count(list, "next") == 0 || count(list, "next") > from);
        from = count(list, "next");
        pages++;
        forget(f);
    } while (from > 0);
    assert_int_equal(names, TD_SERVICE_NAMES_MAX);
    assert_true(pages > 360 / TD_SERVICE_DETAILS_MAX + 1);

    call(f, "p0", TIDINGS_OK, "service.stats", "{\"name\" \"s7\"}");
    forget(f);
    call(f, "p0", TIDINGS_OK, "service.stats",
         "{\"from\" 9223372036854775807}");
    forget(f);
}

/* An instance as large as it may be, and its neighbours: each answer can be
 * read, and holds one at least. */
static void test_registry_answers_are_bounded(void **state)
{
    struct fixture *f = *state;
    static char endpoints[TD_ENDPOINTS_MAX * 320],
        text[sizeof(endpoints) + 200];
    size_t used = 0;
    char peer[4];

    f->unjudged = true;
    for (unsigned i = 0; i < TD_ENDPOINTS_MAX; i++) {
        char type[230];

        memset(type, 'x', sizeof(type));
        snprintf(type, sizeof(type), "t%u.", i);
        type[strlen(type)] = 'x';
        type[sizeof(type) - 1] = '\0';
        used += (size_t)snprintf(
            endpoints + used, sizeof(endpoints) - used,
            "{\"name\" s(64) \"type\" \"%s\" \"group\" s(64)}", type);
    }
    for (unsigned p = 0; p < 3; p++) {
        snprintf(peer, sizeof(peer), "p%u", p);
        hello(f, peer);
        snprintf(text, sizeof(text),
                 "[19 1 1 s(64) \"1.0.0\" {\"description\" s(255) \"text\" "
                 "s(255) \"metadata\" {\"k\" s(4000)} \"endpoints\" [%s]}]",
                 endpoints);
        give(f, peer, text);
        assert_ok(code_of_reply(f, peer));
    }
    for (struct td_instance *i = f->engine->serving.instances; i;
         i = i->hh.next) {
        for (uint32_t n = 0; n < i->endpoints_len; n++) {
            char error[TD_ANSWER_TEXT_BYTES_MAX];
            struct td_answer_row row = {.code = TIDINGS_EREMOTE,
                                        .text = {error, sizeof(error)}};

            memset(error, 'e', sizeof(error));
            for (uint64_t us = 1; us < UINT64_MAX / 2; us += 1 + us / 8) {
                row.took_us = row.held_us = us;
                td_task_done(f->engine, &i->endpoints[n], &row);
            }
        }
    }
    for (uint32_t from = 0; from < 3;) {
        char options[40];
        struct td_str list;

        snprintf(options, sizeof(options), "{\"from\" %u}", from);
        list = call(f, "p0", TIDINGS_OK, "service.stats", options);
        assert_true(length_of(list, "services") > 0);
        from += length_of(list, "services");
        for (uint32_t n = 0; n < f->sent_len; n++)
            assert_true(f->sent[n].control.len <= TD_CONTROL_BYTES_MAX);
        forget(f);
    }
    call(f, "p0", TIDINGS_OK, "service.info", "{}");
    call(f, "p0", TIDINGS_OK, "service.list", "{}");
}

/* ---- events ---- */

static void watch(struct fixture *f)
{
    subscriber(f, "w", "$service.*", WIDE);
    flush(f);
    forget(f);
}

/* What "w" was told in the last step: one event of this type. */
static struct td_str told(struct fixture *f, const char *type)
{
    static const char *const types[] = {"$service.up", "$service.health",
                                        "$service.down", "$service.breaker"};
    struct td_str data = {NULL, 0}, other;

    flush(f);
    for (size_t i = 0; i < TD_ARRAY_LEN(types); i++) {
        bool is = strcmp(types[i], type) == 0;

        assert_row(types[i],
                   advised(f, "w", types[i], is ? &data : &other) == is);
    }
    return data;
}

static void test_registry_tells_of_each_change(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    watch(f);
    hello(f, "b");
    serve(f, "b", "users", "1.2.0", USERS " \"id\" \"b-1\"");
    data = told(f, "$service.up");
    assert_int_equal(count(data, "revision"), 1);
    assert_true(is_text(text_of(data, "id"), "b-1"));
    assert_int_equal(length_of(data, "endpoints"), 1);
    forget(f);
    give(f, "b", "[21 1 3 \"slow disk\"]");
    data = told(f, "$service.health");
    assert_int_equal(count(data, "revision"), 2);
    assert_int_equal(count(data, "state"), TD_HEALTH_DEGRADED);
    assert_true(is_text(text_of(data, "text"), "slow disk"));
    forget(f);
    give(f, "b", "[21 1 3 \"slow disk\"]"); /* nothing new */
    flush(f);
    assert_null(find(f, "w", TD_DELIVER, 0));
    give(f, "b", "[20 2 1]");
    data = told(f, "$service.down");
    assert_int_equal(count(data, "revision"), 3);
    assert_true(is_text(text_of(data, "service"), "users"));
    assert_true(is_text(text_of(data, "id"), "b-1"));
    assert_int_equal(length_of(data, "endpoints"), 1);
    assert_true(text_of(data, "reason").len > 0);
    forget(f);
    serve(f, "b", "users", "1.2.0", USERS);
    assert_int_equal(count(told(f, "$service.up"), "revision"), 4);
    forget(f);
    gone(f, "b");
    data = told(f, "$service.down");
    assert_int_equal(count(data, "revision"), 5);
    assert_true(is_text(text_of(data, "client"), "b"));
    assert_int_equal(
        count(call(f, "w", TIDINGS_OK, "service.list", "{}"), "revision"), 5);
}

static void test_registry_tells_nobody_who_did_not_ask(void **state)
{
    struct fixture *f = *state;

    hello(f, "b");
    subscriber(f, "x", ">", WIDE);
    serve(f, "b", "users", "1.2.0", USERS);
    give(f, "b", "[21 1 3 \"\"]");
    gone(f, "b");
    flush(f);
    assert_int_equal(f->engine->advised, 0);
    assert_int_equal(f->engine->serving.revision, 3);
    assert_int_equal(events_to(f, "x"), 0);
}

/* A list and the events above its revision are the registry. */
static void test_registry_revisions_have_no_holes(void **state)
{
    struct fixture *f = *state;
    uint64_t revision = 0;

    watch(f);
    hello(f, "w2");
    hello(f, "b");
    flush(f);
    for (unsigned round = 0; round < 30; round++) {
        static const char *const types[] = {"$service.up", "$service.health",
                                            "$service.down"};
        static const char *const steps[] = {
            "[19 1 1 \"users\" \"1.0.0\" {\"state\" 1}]", "[21 1 2 \"\"]",
            "[21 1 2 \"\"]", "[21 1 5 \"no\"]", "[20 1 1]"};
        struct td_str data;
        uint64_t changes = 0;

        forget(f);
        give(f, "b", steps[round % 5]);
        flush(f);
        for (size_t i = 0; i < TD_ARRAY_LEN(types); i++) {
            if (advised(f, "w", types[i], &data) == 0)
                continue;
            changes++;
            assert_int_equal(count(data, "revision"), ++revision);
        }
        assert_int_equal(changes, round % 5 != 2);
        givef(f, "w", "[9 %u [[1 %u 100000 100000000]]]",
              (unsigned)session_of(f, "w")->messages_out,
              (unsigned)sub_of(f, "w", 1)->sent);
        assert_int_equal(
            count(call(f, "w2", TIDINGS_OK, "service.list", "{}"), "revision"),
            revision);
    }
    assert_int_equal(revision, 24);
}

/* ---- drain ---- */

static bool fit(struct fixture *f, const char *id)
{
    return td_instance_is_fit(td_instance_find(f->engine, td_str_of(id)));
}

static void test_registry_drains(void **state)
{
    struct fixture *f = *state;
    struct td_str data;
    const struct td_frame *health;

    watch(f);
    hello(f, "a");
    hello(f, "b");
    hello(f, "c");
    serve(f, "a", "users", "1.0.0", USERS " \"id\" \"a1\"");
    serve(f, "b", "users", "1.0.0", USERS " \"id\" \"b1\"");
    flush(f);
    forget(f);
    data = call(f, "c", TIDINGS_OK, "service.drain",
                "{\"name\" \"users\" \"id\" \"a1\"}");
    assert_int_equal(count(data, "instances"), 1);
    health = frame(f, "a", TD_HEALTH, 0);
    assert_int_equal(health->u.health.service, 1);
    assert_int_equal(health->u.health.state, TD_HEALTH_STOPPING);
    assert_null(find(f, "b", TD_HEALTH, 0));
    data = told(f, "$service.health");
    assert_true(flag_of(data, "draining"));
    assert_int_equal(count(data, "state"), TD_HEALTH_RUNNING);
    forget(f);

    give(f, "a", "[21 1 2 \"\"]"); /* it may say what it likes */
    assert_false(fit(f, "a1"));
    assert_true(fit(f, "b1"));
    forget(f);
    data = call(f, "c", TIDINGS_OK, "service.drain", "{\"name\" \"users\"}");
    assert_int_equal(count(data, "instances"), 2);
    assert_false(fit(f, "b1"));
    forget(f);

    data = call(f, "c", TIDINGS_OK, "service.drain",
                "{\"name\" \"users\" \"id\" \"a1\" \"undo\" true}");
    assert_int_equal(count(data, "instances"), 1);
    assert_int_equal(frame(f, "a", TD_HEALTH, 0)->u.health.state,
                     TD_HEALTH_RUNNING);
    assert_null(find(f, "b", TD_HEALTH, 0));
    assert_true(fit(f, "a1"));
    assert_false(fit(f, "b1"));
}

/* Who is told takes nothing: it goes, and the others are told. */
static void test_registry_drains_past_a_dead_peer(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    hello(f, "a");
    hello(f, "b");
    hello(f, "c");
    serve(f, "a", "users", "1.0.0", USERS);
    give(f, "a", "[19 2 2 \"users\" \"1.0.0\" {" USERS "}]");
    serve(f, "b", "users", "1.0.0", USERS);
    flush(f);
    forget(f);
    f->deaf = "a";
    data = call(f, "c", TIDINGS_OK, "service.drain", "{\"name\" \"users\"}");
    assert_int_equal(count(data, "instances"), 3);
    assert_non_null(find(f, "b", TD_HEALTH, 0));
    data = call(f, "c", TIDINGS_OK, "service.list", "{}");
    assert_int_equal(length_of(data, "services"), 1);
}

/* ---- weights ---- */

static void weigh(struct fixture *f, tidings_err code, const char *version,
                  const char *percent)
{
    char options[200];

    snprintf(options, sizeof(options),
             "{\"name\" \"users\" \"version\" \"%s\" \"percent\" %s}", version,
             percent);
    call(f, "c", code, "service.weight", options);
    flush(f);
    forget(f);
}

static void test_registry_weights_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct td_str list, totals;
    char version[20];

    hello(f, "c");
    weigh(f, TIDINGS_OK, "2.0.0", "5"); /* before there is an instance */
    list = call(f, "c", TIDINGS_OK, "service.stats", "{}");
    assert_int_equal(length_of(list, "services"), 0);
    totals = row_of(list, "totals", 0);
    assert_true(is_text(text_of(totals, "name"), "users"));
    assert_int_equal(count(map_of(totals, "weights"), "2.0.0"), 5);
    forget(f);
    hello(f, "a");
    serve(f, "a", "users", "2.0.0", USERS);
    assert_int_equal(f->engine->serving.instances->weight, 1);
    weigh(f, TIDINGS_OK, "2.0.0", "nil");
    assert_int_equal(f->engine->serving.instances->weight, 0);
    list = call(f, "c", TIDINGS_OK, "service.stats", "{}");
    assert_int_equal(length_of(list, "totals"), 1);
    forget(f);
    for (unsigned i = 1; i <= TD_WEIGHTS_MAX; i++) {
        snprintf(version, sizeof(version), "3.0.%u", i);
        weigh(f, TIDINGS_OK, version, "1");
    }
    weigh(f, TIDINGS_ELIMIT, "2.0.0", "1");
    weigh(f, TIDINGS_OK, "3.0.1", "2"); /* one that is there */
    for (unsigned i = 1; i <= TD_WEIGHTS_MAX; i++) {
        snprintf(version, sizeof(version), "3.0.%u", i);
        weigh(f, TIDINGS_OK, version, "nil");
    }
    weigh(f, TIDINGS_OK, "3.0.1", "nil"); /* there is none: no error */
    gone(f, "a");
    flush(f);
    assert_null(f->engine->serving.services);
}

/* ---- silence ---- */

static uint64_t state_of(struct fixture *f)
{
    return f->engine->serving.instances->state;
}

/* 999 ms and it is there, 1,000 and it is down: the engine asks to be called
 * then. */
static void test_registry_silence_is_down(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    watch(f);
    hello(f, "a");
    serve(f, "a", "users", "1.0.0", USERS " \"health_ms\" 300");
    flush(f);
    forget(f);
    for (int i = 0; i < 5; i++) {
        pass(f, 899);
        assert_int_equal(state_of(f), TD_HEALTH_RUNNING);
        give(f, "a", "[21 1 2 \"\"]");
        give(f, "w", "[12 1]");
    }
    flush(f);
    assert_int_equal(advised(f, "w", "$service.health", &data), 0);
    pass(f, 900);
    assert_int_equal(state_of(f), TD_HEALTH_DOWN);
    data = told(f, "$service.health");
    assert_int_equal(count(data, "state"), TD_HEALTH_DOWN);
    assert_true(text_of(data, "text").len > 0);
    forget(f);
    assert_false(td_instance_is_fit(f->engine->serving.instances));
    give(f, "a", "[12 1]"); /* its link is well */
    pass(f, 2000);          /* once */
    assert_int_equal(advised(f, "w", "$service.health", &data), 0);

    give(f, "a", "[21 1 2 \"\"]");
    data = told(f, "$service.health");
    assert_int_equal(count(data, "state"), TD_HEALTH_RUNNING);
    forget(f);
    assert_true(td_instance_is_fit(f->engine->serving.instances));
    pass(f, 900); /* and again */
    assert_int_equal(state_of(f), TD_HEALTH_DOWN);
}

static void test_registry_silence_is_allowed_to_some(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    serve(f, "a", "users", "1.0.0", USERS);
    for (int i = 0; i < 10; i++) {
        pass(f, 4000);
        give(f, "a", "[12 1]");
    }
    assert_int_equal(state_of(f), TD_HEALTH_RUNNING);
}

/* It was the broker that heard nothing. */
static void test_registry_forgives_what_the_broker_missed(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    serve(f, "a", "users", "1.0.0", USERS " \"health_ms\" 300");
    flush(f);
    pass(f, 500);
    f->now += 10000;
    flush(f);
    assert_int_equal(state_of(f), TD_HEALTH_RUNNING);
    pass(f, 1000);
    assert_int_equal(state_of(f), TD_HEALTH_DOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registry_lists_who_is_there),
        TEST(test_registry_lists_what_is_asked_for),
        TEST(test_registry_refuses_wrong_options),
        TEST(test_registry_comes_in_pages),
        TEST(test_names_without_instances_come_in_pages),
        TEST(test_registry_answers_are_bounded),
        TEST(test_registry_tells_of_each_change),
        TEST(test_registry_tells_nobody_who_did_not_ask),
        TEST(test_registry_revisions_have_no_holes),
        TEST(test_registry_drains),
        TEST(test_registry_drains_past_a_dead_peer),
        TEST(test_registry_weights_come_and_go),
        TEST(test_registry_silence_is_down),
        TEST(test_registry_silence_is_allowed_to_some),
        TEST(test_registry_forgives_what_the_broker_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
