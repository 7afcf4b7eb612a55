/* Matching, three ways that must agree: td_pattern_match, the engine's trie,
 * and a slow one here that is the grammar written down.
 * Input: lines. The first is a type, the others are patterns. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "broker/engine/trie.h"
#include "proto/type.h"

#define PATTERNS_MAX 24
#define TOKENS_ROOM  4096

struct token {
    const char *s;
    size_t len;
};

struct name {
    const char *s;
    size_t len;
    struct token tokens[TOKENS_ROOM];
    size_t tokens_len;
};

struct pattern {
    struct td_trie_entry entry;
    struct name name;
    bool in_trie;
    unsigned found;
};

static struct name type;
static struct pattern patterns[PATTERNS_MAX];

/* ---- the reference ---- */

static void split(struct name *name, const char *s, size_t len)
{
    struct token token = {s, 0};

    name->s = s;
    name->len = len;
    name->tokens_len = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && s[i] != '.') {
            token.len++;
            continue;
        }
        if (name->tokens_len < TOKENS_ROOM)
            name->tokens[name->tokens_len++] = token;
        token.s = s + i + 1;
        token.len = 0;
    }
}

static bool is(struct token token, char c)
{
    return token.len == 1 && *token.s == c;
}

static bool is_literal(struct token token)
{
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = (unsigned char)token.s[i];

        if (c < 33 || c > 126 || c == '*' || c == '>')
            return false;
    }
    return token.len > 0;
}

static bool ref_valid(const struct name *name, bool wildcards)
{
    size_t n = name->tokens_len;

    if (name->len < 1 || name->len > 255 || n > 16)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool wild = is(name->tokens[i], '*') ||
                    (is(name->tokens[i], '>') && i == n - 1);

        if (!is_literal(name->tokens[i]) && !(wildcards && wild))
            return false;
    }
    return true;
}

static bool ref_match(const struct token *p, size_t pn, const struct token *t,
                      size_t tn)
{
    if (pn == 0 || tn == 0)
        return pn == tn;
    if (is(*p, '>'))
        return true;
    if (!is(*p, '*') && (p->len != t->len || memcmp(p->s, t->s, p->len) != 0))
        return false;
    return ref_match(p + 1, pn - 1, t + 1, tn - 1);
}

static bool ref_matches(const struct pattern *pattern)
{
    /* the system's types are only for who names them */
    if (*type.s == '$' && *pattern->name.s != '$')
        return false;
    return ref_match(pattern->name.tokens, pattern->name.tokens_len,
                     type.tokens, type.tokens_len);
}

/* ---- the trie ---- */

static bool count(void *ctx, struct td_trie_entry *entry)
{
    (void)ctx;
    ((struct pattern *)entry)->found++; /* entry is its first member */
    return true;
}

static void check_trie(const struct td_trie *trie, size_t n)
{
    for (size_t i = 0; i < n; i++)
        patterns[i].found = 0;
    FUZZ_CHECK(td_trie_match(trie, type.s, type.len, count, NULL));
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(patterns[i].found ==
                   (patterns[i].in_trie && ref_matches(&patterns[i])));
}

static void add_and_remove(size_t n)
{
    struct td_trie trie = {0};

    for (size_t i = 0; i < n; i++) {
        memset(&patterns[i].entry, 0, sizeof(patterns[i].entry));
        FUZZ_CHECK(td_trie_add(&trie, &patterns[i].entry, patterns[i].name.s,
                               patterns[i].name.len) == TIDINGS_OK);
        patterns[i].in_trie = true;
    }
    check_trie(&trie, n);
    for (size_t i = 0; i < n; i += 2) {
        td_trie_remove(&trie, &patterns[i].entry);
        td_trie_remove(&trie, &patterns[i].entry); /* does nothing */
        patterns[i].in_trie = false;
    }
    check_trie(&trie, n);
    td_trie_fini(&trie);
}

/* ---- overlaps ---- */

/* The type proves it of those that match it; and nothing depends on which of
 * the two comes first. */
static void check_overlaps(size_t n)
{
    bool system = td_type_is_system(type.s, type.len);

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k <= i; k++) {
            const struct name *a = &patterns[i].name;
            const struct name *b = &patterns[k].name;
            bool overlap = td_pattern_overlaps(a->s, a->len, b->s, b->len);

            FUZZ_CHECK(overlap ==
                       td_pattern_overlaps(b->s, b->len, a->s, a->len));
            if (!system && ref_matches(&patterns[i]) &&
                ref_matches(&patterns[k]))
                FUZZ_CHECK(overlap);
        }
    }
}

/* ---- the input ---- */

static void check_type(void)
{
    FUZZ_CHECK(td_type_valid(type.s, type.len) == ref_valid(&type, false));
    FUZZ_CHECK(td_pattern_valid(type.s, type.len) == ref_valid(&type, true));
}

/* Whether the line is a pattern that goes into the trie. */
static bool check_pattern(const struct pattern *pattern)
{
    const struct name *name = &pattern->name;

    FUZZ_CHECK(td_pattern_valid(name->s, name->len) == ref_valid(name, true));
    FUZZ_CHECK(td_type_valid(name->s, name->len) == ref_valid(name, false));
    if (!ref_valid(name, true) || !ref_valid(&type, false))
        return false;
    FUZZ_CHECK(td_pattern_match(name->s, name->len, type.s, type.len) ==
               ref_matches(pattern));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *s = (const char *)data;
    const char *end = s + len;
    size_t n = 0;
    bool first = true;

    if (len == 0 || len > TOKENS_ROOM)
        return 0;
    while (s && n < PATTERNS_MAX) {
        const char *newline = memchr(s, '\n', (size_t)(end - s));
        size_t line = newline ? (size_t)(newline - s) : (size_t)(end - s);

        split(first ? &type : &patterns[n].name, s, line);
        if (first)
            check_type();
        else
            n += check_pattern(&patterns[n]);
        first = false;
        s = newline ? newline + 1 : NULL;
    }
    if (ref_valid(&type, false)) {
        check_overlaps(n);
        add_and_remove(n);
    }
    return 0;
}
