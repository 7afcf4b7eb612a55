/* The match cache over the trie. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/route.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"

struct fixture {
    struct td_trie trie;
    struct td_routes routes;
    struct td_trie_entry entries[3];
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_routes_fini(&f->routes);
    td_trie_fini(&f->trie);
    free(f);
    return 0;
}

static void add(struct fixture *f, int n, const char *pattern)
{
    assert_ok(td_trie_add(&f->trie, &f->entries[n], pattern, strlen(pattern)));
    td_routes_changed(&f->routes);
}

static const struct td_route *find(struct fixture *f, const char *type)
{
    const struct td_str text = {type, strlen(type)};
    const struct td_route *route = td_routes_find(&f->routes, &f->trie, text);

    assert_non_null(route);
    return route;
}

static void test_route_finds_all_that_match(void **state)
{
    struct fixture *f = *state;
    const struct td_route *route;

    add(f, 0, "a.*");
    add(f, 1, "b");
    add(f, 2, ">");
    route = find(f, "a.b");
    assert_int_equal(route->len, 2);
    assert_true((route->entries[0] == &f->entries[0] &&
                 route->entries[1] == &f->entries[2]) ||
                (route->entries[0] == &f->entries[2] &&
                 route->entries[1] == &f->entries[0]));
}

static void test_route_caches_also_what_nobody_wants(void **state)
{
    struct fixture *f = *state;
    const struct td_route *route = find(f, "nobody.cares");

    assert_int_equal(route->len, 0);
    assert_int_equal(td_routes_cached(&f->routes), 1);
    assert_ptr_equal(find(f, "nobody.cares"), route);
    assert_int_equal(td_routes_cached(&f->routes), 1);
}

static void test_route_follows_the_trie(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(find(f, "a")->len, 0);
    add(f, 0, "a");
    assert_int_equal(find(f, "a")->len, 1);
    td_trie_remove(&f->trie, &f->entries[0]);
    td_routes_changed(&f->routes);
    assert_int_equal(find(f, "a")->len, 0);
}

static struct td_str str_of(const char *type)
{
    return (struct td_str){type, strlen(type)};
}

/* Types are the publishers' choice, so their number has to have a bound; what
 * was counted of the one that has to go is kept in a sum. */
static void test_route_forgets_the_oldest_when_it_is_full(void **state)
{
    const struct td_type_count some = {7, 1, 2, 4, 90};
    struct fixture *f = *state;
    char type[16];

    add(f, 0, ">");
    for (unsigned i = 0; i < TD_TYPES_CACHED_MAX; i++) {
        snprintf(type, sizeof(type), "t.%u", i);
        assert_int_equal(find(f, type)->len, 1);
    }
    assert_int_equal(td_routes_cached(&f->routes), TD_TYPES_CACHED_MAX);
    *td_routes_count(&f->routes, &f->trie, str_of("t.0")) = some;
    *td_routes_count(&f->routes, &f->trie, str_of("t.1")) = some;
    for (int i = 0; i < 2; i++) { /* and is not forgotten twice */
        assert_int_equal(find(f, "one.more")->len, 1);
        assert_int_equal(td_routes_cached(&f->routes), TD_TYPES_CACHED_MAX);
        assert_memory_equal(&f->routes.other, &some, sizeof(some));
    }
    assert_int_equal(
        td_routes_count(&f->routes, &f->trie, str_of("t.1"))->bytes, 90);
    assert_int_equal(
        td_routes_count(&f->routes, &f->trie, str_of("t.0"))->bytes, 0);
    assert_int_equal(f->routes.other.published, 14); /* it was t.1's turn */
}

/* Many subscriptions that match everything. */
static struct td_trie_entry *add_many(struct fixture *f, size_t len)
{
    struct td_trie_entry *entries = calloc(len, sizeof(*entries));

    assert_non_null(entries);
    for (size_t i = 0; i < len; i++)
        assert_ok(td_trie_add(&f->trie, &entries[i], ">", 1));
    td_routes_changed(&f->routes);
    return entries;
}

static uint64_t listed(const struct fixture *f)
{
    const struct td_route *route;
    uint64_t sum = 0;

    DL_FOREACH(f->routes.lists, route)
    {
        sum += route->len;
    }
    assert_int_equal(sum, f->routes.listed);
    return sum;
}

/* Types times subscriptions are many: what the oldest types match is forgotten,
 * not what was counted of them. */
static void test_route_bounds_what_all_types_match(void **state)
{
    const uint32_t each = 4096;
    const unsigned fit = TD_ROUTES_ENTRIES_MAX / each;
    struct fixture *f = *state;
    struct td_trie_entry *entries = add_many(f, each);
    const struct td_route *first = find(f, "t.0");
    char type[16];

    td_routes_count(&f->routes, &f->trie, str_of("t.0"))->published = 5;
    for (unsigned i = 1; i < fit; i++) {
        snprintf(type, sizeof(type), "t.%u", i);
        find(f, type);
    }
    assert_int_equal(listed(f), TD_ROUTES_ENTRIES_MAX);
    assert_int_equal(first->len, each);

    assert_int_equal(find(f, "t.more")->len, each);
    assert_int_equal(listed(f), TD_ROUTES_ENTRIES_MAX);
    assert_int_equal(first->len, 0); /* but is there */
    assert_int_equal(td_routes_cached(&f->routes), fit + 1);

    assert_ptr_equal(find(f, "t.0"), first); /* in the place of t.1's */
    assert_int_equal(first->len, each);
    assert_int_equal(first->count.published, 5);
    assert_int_equal(listed(f), TD_ROUTES_ENTRIES_MAX);
    assert_int_equal(find(f, "t.1")->len, each);
    assert_int_equal(f->routes.other.published, 0);
    td_trie_fini(&f->trie);
    free(entries);
}

static void test_route_finds_more_than_it_may_keep(void **state)
{
    const uint32_t many = TD_ROUTES_ENTRIES_MAX + 1;
    struct fixture *f = *state;
    struct td_trie_entry *entries = add_many(f, many);

    for (int i = 0; i < 2; i++) { /* each in the place of the other */
        assert_int_equal(find(f, "a")->len, many);
        assert_int_equal(listed(f), many);
        assert_int_equal(find(f, "b")->len, many);
        assert_int_equal(listed(f), many);
    }
    for (uint32_t i = 3; i < many; i++)
        td_trie_remove(&f->trie, &entries[i]);
    td_routes_changed(&f->routes);
    assert_int_equal(find(f, "a")->len, 3);
    assert_int_equal(find(f, "b")->len, 3);
    assert_int_equal(listed(f), 6);
    td_trie_fini(&f->trie);
    free(entries);
}

static tidings_err find_twice(void *arg)
{
    struct fixture *f = arg;
    const struct td_str a = {"a", 1};
    bool found = td_routes_find(&f->routes, &f->trie, a) != NULL;

    found = found && td_routes_find(&f->routes, &f->trie, a)->len == 3;
    td_routes_fini(&f->routes);
    return found ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static void test_route_without_memory_says_so(void **state)
{
    struct fixture *f = *state;

    add(f, 0, "a");
    add(f, 1, "*");
    add(f, 2, ">");
    assert_true(td_alloc_each(find_twice, f) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_route_finds_all_that_match, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_route_caches_also_what_nobody_wants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_route_follows_the_trie, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_route_forgets_the_oldest_when_it_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_route_bounds_what_all_types_match,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_route_finds_more_than_it_may_keep,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_route_without_memory_says_so,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
