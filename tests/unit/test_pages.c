/* The registry's list, read page by page while it changes: against a model of
 * the broker's registry, whose events come late and whose changes never end. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/pages.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/option.h"

#define IDS    800u /* that there may be at most */
#define PAGE   50u
#define EVENTS 200000u

struct instance {
    bool there;
    unsigned state;
    uint64_t order; /* rows are in this order */
};

struct event {
    enum td_change change;
    unsigned id;
    unsigned state;
};

struct model {
    struct instance instance[IDS];
    struct event *events; /* the one of revision n at n - 1 */
    uint64_t revision;
    uint64_t told; /* events up to this revision were delivered */
    uint64_t total;
    uint64_t random;
    struct td_pages pages;
};

static unsigned draw(struct model *m, unsigned below)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->random >> 33) % below;
}

static int setup(void **state)
{
    struct model *m = calloc(1, sizeof(*m));

    if (!m)
        return -1;
    m->events = calloc(EVENTS, sizeof(*m->events));
    *state = m;
    return m->events ? 0 : -1;
}

static int teardown(void **state)
{
    struct model *m = *state;

    td_pages_fini(&m->pages);
    free(m->events);
    free(m);
    return 0;
}

/* ---- the broker ---- */

static void change(struct model *m, unsigned id)
{
    struct instance *i = &m->instance[id];
    struct event *event = &m->events[m->revision];

    assert_true(m->revision < EVENTS);
    m->revision++;
    event->id = id;
    event->change = !i->there         ? TD_CHANGE_UP
                    : draw(m, 2) == 0 ? TD_CHANGE_DOWN
                                      : TD_CHANGE_HEALTH;
    if (event->change == TD_CHANGE_UP)
        i->order = draw(m, 1000); /* anywhere among the others */
    i->there = event->change != TD_CHANGE_DOWN;
    m->total += event->change == TD_CHANGE_UP;
    m->total -= event->change == TD_CHANGE_DOWN;
    i->state = event->state = 1 + draw(m, 5);
}

static void pack_row(struct td_buf *b, unsigned id, unsigned state)
{
    msgpack_packer pk;
    char text[16];

    snprintf(text, sizeof(text), "i%u", id);
    msgpack_packer_init(&pk, b, td_buf_pack_write);
    msgpack_pack_map(&pk, 3);
    td_option_pack_str(&pk, "service", td_str_of(id % 3 ? "a" : "b"));
    td_option_pack_str(&pk, "id", td_str_of(text));
    td_option_pack_uint(&pk, "state", state);
}

static const struct model *sorted;

static int by_order(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a;
    unsigned y = *(const unsigned *)b;
    uint64_t i = sorted->instance[x].order;
    uint64_t k = sorted->instance[y].order;

    return i != k ? (i > k) - (i < k) : (x > y) - (x < y);
}

/* As the broker answers service.list now. */
static void pack_page(struct model *m, struct td_buf *b, uint64_t from)
{
    unsigned ids[IDS];
    msgpack_packer pk;
    size_t len = 0;
    size_t rows;

    for (unsigned id = 0; id < IDS; id++) {
        if (m->instance[id].there)
            ids[len++] = id;
    }
    sorted = m;
    qsort(ids, len, sizeof(ids[0]), by_order);
    rows = from >= len ? 0 : len - from < PAGE ? len - from : PAGE;
    msgpack_packer_init(&pk, b, td_buf_pack_write);
    msgpack_pack_map(&pk, 3);
    td_option_pack_uint(&pk, "revision", m->revision);
    td_option_pack_uint(&pk, "services_total", len);
    td_option_pack_one(&pk, td_str_of("services"));
    msgpack_pack_array(&pk, rows);
    for (size_t i = 0; i < rows; i++)
        pack_row(b, ids[from + i], m->instance[ids[from + i]].state);
}

/* ---- the client ---- */

static void tell(struct model *m, uint64_t up_to)
{
    while (m->told < up_to) {
        const struct event *event = &m->events[m->told++];
        struct td_buf b = {0};

        pack_row(&b, event->id, event->state);
        assert_ok(
            td_pages_change(&m->pages, event->change, m->told,
                            (struct td_str){(const char *)b.data, b.len}));
        td_buf_fini(&b);
    }
}

static tidings_err turn_page(struct model *m, uint64_t from)
{
    struct td_buf b = {0};
    tidings_err err;

    pack_page(m, &b, from);
    err =
        td_pages_take(&m->pages, (struct td_str){(const char *)b.data, b.len});
    td_buf_fini(&b);
    return err;
}

/* What is known is what there was when the last event was told. */
static void check(struct model *m)
{
    struct tidings_instances *list;
    unsigned states[IDS] = {0};

    for (uint64_t r = 0; r < m->told; r++)
        states[m->events[r].id] =
            m->events[r].change == TD_CHANGE_DOWN ? 0 : m->events[r].state;
    list = td_registry_list(&m->pages.known, NULL);
    assert_non_null(list);
    for (size_t i = 0; i < list->len; i++) {
        unsigned id = (unsigned)strtoul(list->list[i].id + 1, NULL, 10);

        assert_int_equal(list->list[i].health, states[id]);
        states[id] = 0;
    }
    for (unsigned id = 0; id < IDS; id++)
        assert_int_equal(states[id], 0);
    tidings_instances_free(list);
}

/* Until it is whole; so many changes between any two pages, and events come
 * some time after the pages that know them. Returns how many pages it took. */
static unsigned read_all(struct model *m, unsigned changes)
{
    unsigned pages = 0;

    m->told = m->revision; /* what was before nobody hears */
    while (!td_pages_whole(&m->pages)) {
        assert_true(pages < 500);
        if (td_pages_wait(&m->pages)) {
            tell(m, m->told + 1);
            continue;
        }
        for (unsigned i = 0; i < changes; i++)
            change(m, draw(m, IDS));
        assert_ok(turn_page(m, m->pages.from));
        pages++;
        if (!td_pages_whole(&m->pages))
            tell(m, m->told + draw(m, (unsigned)(m->revision - m->told) + 1));
    }
    return pages;
}

static void fill(struct model *m, unsigned instances)
{
    for (unsigned id = 0; id < instances; id++) {
        change(m, id);
        m->instance[id].order = id;
    }
}

static void test_pages_of_a_quiet_registry_are_read_once(void **state)
{
    struct model *m = *state;

    fill(m, 500);
    assert_int_equal(read_all(m, 0), 10);
    check(m);
}

static void test_pages_come_to_an_end_while_all_changes(void **state)
{
    struct model *m = *state;

    for (unsigned changes = 1; changes <= PAGE; changes++) {
        memset(m->instance, 0, sizeof(m->instance));
        m->revision = m->total = m->told = 0;
        m->random = changes;
        td_pages_fini(&m->pages);
        fill(m, 500);
        read_all(m, changes);
        check(m);
    }
}

static void test_pages_notice_what_does_not_fit(void **state)
{
    struct model *m = *state;
    struct td_str row = {"\x80", 1};

    fill(m, 3);
    assert_ok(turn_page(m, 2)); /* it says that there are more than it has */
    assert_err(turn_page(m, 3), TIDINGS_EPROTO);
    td_pages_fini(&m->pages);
    assert_err(td_pages_take(&m->pages, row), TIDINGS_EPROTO);
    assert_ok(td_pages_change(&m->pages, TD_CHANGE_UP, 4, row));
    assert_err(turn_page(m, 0), TIDINGS_ELOST); /* older than that event */
    td_pages_fini(&m->pages);
    assert_ok(turn_page(m, 0));
    assert_true(td_pages_whole(&m->pages));
    assert_ok(td_pages_change(&m->pages, TD_CHANGE_UP, 3, row));
    assert_err(td_pages_change(&m->pages, TD_CHANGE_UP, 5, row), TIDINGS_ELOST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages_of_a_quiet_registry_are_read_once),
        TEST(test_pages_come_to_an_end_while_all_changes),
        TEST(test_pages_notice_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
