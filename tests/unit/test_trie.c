/* The trie against td_pattern_match(), and its life. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/trie.h"
#include "proto/type.h"
#include "tests/support/alloc.h"

static const char *const patterns[] = {
    "a",      "a.b",    "a.b.c",     "*",       "*.*",   "*.b",   "a.*",
    ">",      "a.>",    "*.>",       "a.*.>",   "a.*.c", "*.*.c", "a.b.>",
    "b.a",    "ab",     "a.bb",      "*.*.*.*", "a.b",   ">",     "x.y.z.w.v",
    "user.*", "user.>", "*.created", "A.b",     "$a",    "$a.b",  "$a.*",
    "$a.>",   "$b.>",   "a.$a",
};

static const char *const types[] = {
    "a",     "a.b",          "a.b.c", "a.b.c.d", "b",         "b.a",     "ab",
    "a.bb",  "user.created", "user",  "A.b",     "x.y.z.w.v", "a.a.a.a", "z.b",
    "a.x.c", "$a",           "$a.b",  "$a.b.c",  "$c.b",      "a.$a",
};

#define PATTERNS TD_ARRAY_LEN(patterns)

struct fixture {
    struct td_trie trie;
    struct td_trie_entry entries[PATTERNS];
    unsigned found[PATTERNS];
    unsigned stop_after; /* 0: never */
};

static bool found(void *ctx, struct td_trie_entry *entry)
{
    struct fixture *f = ctx;

    f->found[entry - f->entries]++;
    return f->stop_after == 0 || --f->stop_after > 0;
}

static bool keep_last(void *ctx, struct td_trie_entry *entry)
{
    struct td_trie_entry **last = ctx;

    *last = entry;
    return true;
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_trie_fini(&f->trie);
    free(f);
    return 0;
}

static void add_all(struct fixture *f)
{
    for (size_t i = 0; i < PATTERNS; i++)
        assert_ok(td_trie_add(&f->trie, &f->entries[i], patterns[i],
                              strlen(patterns[i])));
}

/* Every pattern that is in answers as td_pattern_match() does, once. */
static void check_all(struct fixture *f)
{
    for (size_t t = 0; t < TD_ARRAY_LEN(types); t++) {
        memset(f->found, 0, sizeof(f->found));
        assert_true(
            td_trie_match(&f->trie, types[t], strlen(types[t]), found, f));
        for (size_t i = 0; i < PATTERNS; i++) {
            bool matches = td_pattern_match(patterns[i], strlen(patterns[i]),
                                            types[t], strlen(types[t]));

            assert_row_at(types[t], i,
                          f->found[i] == (f->entries[i].node && matches));
        }
    }
}

static void test_trie_matches_as_patterns_do(void **state)
{
    struct fixture *f = *state;

    check_all(f);
    add_all(f);
    check_all(f);
}

static uint64_t count_matches(struct fixture *f, const char *type)
{
    uint64_t n = 0;

    memset(f->found, 0, sizeof(f->found));
    td_trie_match(&f->trie, type, strlen(type), found, f);
    for (size_t i = 0; i < PATTERNS; i++)
        n += f->found[i];
    return n;
}

/* A wildcard in the first place is not for the system's types; elsewhere a $
 * is a letter. */
static void test_trie_shows_no_system_type_to_a_wildcard(void **state)
{
    static const struct {
        const char *pattern;
        const char *type;
        bool matches;
    } rows[] = {
        {">", "$tidings.drop", false},
        {"*", "$tidings", false},
        {"*.drop", "$tidings.drop", false},
        {"*.>", "$tidings.drop", false},
        {"*.*.up", "$tidings.session.up", false},
        {"$tidings.>", "$tidings.drop", true},
        {"$tidings.>", "$tidings.session.up", true},
        {"$tidings.>", "$tidings", false},
        {"$tidings.*", "$tidings.drop", true},
        {"$tidings.*", "$tidings.session.up", false},
        {"$tidings.drop", "$tidings.drop", true},
        {"$tiding.>", "$tidings.drop", false},
        {"$.>", "$.a", true},
        {">", "$", false},
        {"$", "$", true},
        {">", "a.$b", true},
        {"a.*", "a.$b", true},
        {"*.$b", "a.$b", true},
        {"$tidings.>", "tidings.drop", false},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f = *state;

        assert_ok(td_trie_add(&f->trie, &f->entries[0], rows[i].pattern,
                              strlen(rows[i].pattern)));
        assert_row(rows[i].pattern,
                   count_matches(f, rows[i].type) == rows[i].matches);
        assert_row(rows[i].pattern,
                   td_pattern_match(rows[i].pattern, strlen(rows[i].pattern),
                                    rows[i].type,
                                    strlen(rows[i].type)) == rows[i].matches);
        td_trie_remove(&f->trie, &f->entries[0]);
    }
}

static void test_trie_forgets_what_is_removed(void **state)
{
    struct fixture *f = *state;

    add_all(f);
    for (size_t i = 0; i < PATTERNS; i++) { /* in some order */
        struct td_trie_entry *entry = &f->entries[i * 7 % PATTERNS];

        td_trie_remove(&f->trie, entry);
        assert_null(entry->node);
        check_all(f);
    }
    assert_null(f->trie.root); /* and keeps nothing */
}

static void test_trie_remove_does_nothing_to_a_stranger(void **state)
{
    struct fixture *f = *state;

    td_trie_remove(&f->trie, &f->entries[0]);
    assert_ok(td_trie_add(&f->trie, &f->entries[0], "a", 1));
    td_trie_remove(&f->trie, &f->entries[1]);
    check_all(f);
}

static void test_trie_match_ends_when_it_is_told(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;

    add_all(f);
    f->stop_after = 2;
    assert_false(td_trie_match(&f->trie, "a.b", 3, found, f));
    for (size_t i = 0; i < PATTERNS; i++)
        n += f->found[i];
    assert_int_equal(n, 2);
}

/* By its tokens, and those that two patterns share once. */
static void test_trie_says_what_its_nodes_take(void **state)
{
    struct fixture *f = *state;
    struct td_trie_entry *e = f->entries;
    size_t one, two;

    assert_ok(td_trie_add(&f->trie, &e[0], "a.b.*.d.e.f.g.h.i.j.k", 21));
    one = f->trie.bytes;
    assert_in_range(one / 11, sizeof(void *) * 4, 192);
    assert_ok(td_trie_add(&f->trie, &e[1], "a.b.*.d.e.f.g.h.i.j.l", 21));
    two = f->trie.bytes;
    assert_int_equal((two - one) * 11, one);
    assert_ok(td_trie_add(&f->trie, &e[2], "a.b.*.d", 7));
    assert_ok(td_trie_add(&f->trie, &e[3], "a.b.>", 5));
    assert_ok(td_trie_add(&f->trie, &e[4], ">", 1));
    assert_int_equal(f->trie.bytes, two);
    for (int i = 4; i > 0; i--)
        td_trie_remove(&f->trie, &e[i]);
    assert_int_equal(f->trie.bytes, one);
    td_trie_remove(&f->trie, &e[0]);
    assert_int_equal(f->trie.bytes, 0);
}

/* A table for each node would be an allocation or two more for each. */
static void test_trie_allocates_once_for_a_token(void **state)
{
    struct fixture *f = *state;
    size_t live = td_alloc_live();
    size_t first;

    assert_ok(td_trie_add(&f->trie, &f->entries[0], "a.b", 3));
    first = td_alloc_live();
    assert_ok(td_trie_add(&f->trie, &f->entries[1], "a.c.d.*.f.g.h.i", 15));
    assert_int_equal(td_alloc_live() - first, 7);
    td_trie_remove(&f->trie, &f->entries[0]);
    td_trie_remove(&f->trie, &f->entries[1]);
    assert_int_equal(td_alloc_live(), live);
}

/* More nodes than the table begins with, under one parent and under each. */
static void test_trie_finds_each_of_many(void **state)
{
    enum { MANY = 5000 };
    struct fixture *f = *state;
    struct td_trie_entry *entries = calloc(MANY, sizeof(*entries));
    char text[32];

    assert_non_null(entries);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "t%d.%d", i, i % 7);
        assert_ok(td_trie_add(&f->trie, &entries[i], text, strlen(text)));
    }
    for (int i = 0; i < MANY; i++) {
        struct td_trie_entry *last = NULL;

        snprintf(text, sizeof(text), "t%d.%d", i, i % 7);
        assert_true(
            td_trie_match(&f->trie, text, strlen(text), keep_last, &last));
        assert_ptr_equal(last, &entries[i]);
        snprintf(text, sizeof(text), "t%d.%d", i, i % 7 + 1);
        last = NULL;
        td_trie_match(&f->trie, text, strlen(text), keep_last, &last);
        assert_null(last);
        td_trie_remove(&f->trie, &entries[i]);
    }
    assert_null(f->trie.root);
    assert_int_equal(f->trie.bytes, 0);
    free(entries);
}

static void test_trie_fini_unlinks_its_entries(void **state)
{
    struct fixture *f = *state;

    add_all(f);
    td_trie_fini(&f->trie);
    for (size_t i = 0; i < PATTERNS; i++)
        assert_null(f->entries[i].node);
}

static tidings_err add_deep(void *arg)
{
    struct td_trie trie = {0};
    struct td_trie_entry entries[2] = {0};
    tidings_err err;

    (void)arg;
    err = td_trie_add(&trie, &entries[0], "a.*.c.>", 7);
    if (!err)
        err = td_trie_add(&trie, &entries[1], "a.*.d.e.f", 9);
    if (err && !entries[0].node)
        assert_null(trie.root); /* nothing has changed */
    td_trie_remove(&trie, &entries[0]);
    td_trie_remove(&trie, &entries[1]);
    assert_null(trie.root);
    return err;
}

static void test_trie_add_without_memory_changes_nothing(void **state)
{
    (void)state;
    assert_true(td_alloc_each(add_deep, NULL) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trie_matches_as_patterns_do, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_trie_shows_no_system_type_to_a_wildcard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trie_forgets_what_is_removed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_trie_remove_does_nothing_to_a_stranger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trie_match_ends_when_it_is_told,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_trie_says_what_its_nodes_take,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_trie_allocates_once_for_a_token,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_trie_finds_each_of_many, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_trie_fini_unlinks_its_entries,
                                        setup, teardown),
        cmocka_unit_test(test_trie_add_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
