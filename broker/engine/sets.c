/* What instances answer: endpoints of one pattern and one group are a set, and
 * a type leads to sets. Groups are known by when they came, so that of those
 * that a type leads to the sets of a group stand beside one another, and that
 * of too many the oldest stay. */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

static void group_leave(struct td_serving *sv, struct td_endpoint_group *group)
{
    if (--group->sets > 0)
        return;
    HASH_DELETE(hh, sv->groups, group);
    free(group);
}

/* NULL: no memory. */
static struct td_endpoint_group *group_get(struct td_serving *sv,
                                           struct td_str name)
{
    struct td_endpoint_group *group;

    HASH_FIND(hh, sv->groups, name.data, name.len, group);
    if (group)
        return group;
    group = calloc(1, sizeof(*group) + name.len);
    if (!group)
        return NULL;
    group->number = ++sv->sets_made;
    memcpy(group->name, name.data, name.len);
    HASH_ADD(hh, sv->groups, name, name.len, group);
    if (!group->hh_failed)
        return group;
    free(group);
    return NULL;
}

/* ---- sets ---- */

/* Group, NUL, pattern: neither has a NUL. */
static size_t key_of(char key[TD_GROUP_BYTES_MAX + 1 + TD_TYPE_BYTES_MAX],
                     struct td_str group, struct td_str pattern)
{
    memcpy(key, group.data, group.len);
    key[group.len] = '\0';
    memcpy(key + group.len + 1, pattern.data, pattern.len);
    return group.len + 1 + pattern.len;
}

static void set_free(struct td_serving *sv, struct td_endpoint_set *set)
{
    group_leave(sv, set->group);
    free(set->members);
    free(set);
}

static void set_drop(struct td_engine *e, struct td_endpoint_set *set)
{
    struct td_serving *sv = &e->serving;

    if (set->members_len > 0)
        return;
    HASH_DELETE(hh, sv->sets, set);
    td_trie_remove(&sv->trie, &set->entry);
    td_routes_changed(&sv->routes);
    set_free(sv, set);
}

static struct td_endpoint_set *set_new(struct td_serving *sv, const char *key,
                                       size_t len, struct td_str group)
{
    struct td_endpoint_set *set = calloc(1, sizeof(*set) + len);

    if (!set)
        return NULL;
    set->group = group_get(sv, group);
    if (!set->group) {
        free(set);
        return NULL;
    }
    set->group->sets++;
    set->number = ++sv->sets_made;
    memcpy(set->key, key, len);
    return set;
}

/* Into the tables; false: no memory, and it is in none. */
static bool set_link(struct td_serving *sv, struct td_endpoint_set *set,
                     size_t len, struct td_str pattern)
{
    HASH_ADD_KEYPTR(hh, sv->sets, set->key, len, set);
    if (set->hh_failed)
        return false;
    if (!td_trie_add(&sv->trie, &set->entry, pattern.data, pattern.len))
        return true;
    HASH_DELETE(hh, sv->sets, set);
    return false;
}

/* NULL: no memory. */
static struct td_endpoint_set *set_get(struct td_engine *e, struct td_str group,
                                       struct td_str pattern)
{
    struct td_serving *sv = &e->serving;
    char key[TD_GROUP_BYTES_MAX + 1 + TD_TYPE_BYTES_MAX];
    size_t len = key_of(key, group, pattern);
    struct td_endpoint_set *set;

    HASH_FIND(hh, sv->sets, key, len, set);
    if (set)
        return set;
    set = set_new(sv, key, len, group);
    if (!set)
        return NULL;
    if (!set_link(sv, set, len, pattern)) {
        set_free(sv, set);
        return NULL;
    }
    td_routes_changed(&sv->routes);
    return set;
}

/* ---- members ---- */

static bool set_reserve(struct td_endpoint_set *set)
{
    uint32_t cap = set->members_cap ? set->members_cap * 2 : 4;
    struct td_candidate **members;

    if (set->members_len < set->members_cap)
        return true;
    members = realloc(set->members, cap * sizeof(*members));
    if (!members)
        return false;
    set->members = members;
    set->members_cap = cap;
    return true;
}

/* What its youngest member says holds for all. */
static void set_balance(struct td_endpoint_set *set)
{
    const struct td_endpoint *last;

    if (set->members_len == 0)
        return;
    last = td_endpoint_of(set->members[set->members_len - 1]);
    set->balance = last->balance;
}

static bool join(struct td_engine *e, struct td_endpoint *endpoint)
{
    struct td_endpoint_set *set =
        set_get(e, endpoint->group, endpoint->pattern);

    if (!set)
        return false;
    if (!set_reserve(set)) {
        set_drop(e, set);
        return false;
    }
    set->members[set->members_len++] = &endpoint->candidate;
    set_balance(set);
    endpoint->set = set;
    return true;
}

static void leave(struct td_engine *e, struct td_endpoint *endpoint)
{
    struct td_endpoint_set *set = endpoint->set;
    uint32_t i = 0;

    if (!set)
        return;
    while (set->members[i] != &endpoint->candidate)
        i++;
    set->members_len--;
    memmove(set->members + i, set->members + i + 1,
            (set->members_len - i) * sizeof(struct td_candidate *));
    endpoint->set = NULL;
    set_balance(set);
    set_drop(e, set);
}

/* Its pattern and group stay its own. */
void td_sets_leave(struct td_engine *e, struct td_instance *instance)
{
    for (uint32_t i = 0; i < instance->endpoints_len; i++)
        leave(e, &instance->endpoints[i]);
}

bool td_sets_join(struct td_engine *e, struct td_instance *instance)
{
    for (uint32_t i = 0; i < instance->endpoints_len; i++) {
        if (!join(e, &instance->endpoints[i])) {
            td_sets_leave(e, instance);
            return false;
        }
    }
    return true;
}

/* ---- from a type ---- */

/* By group, the oldest first, and of a group the oldest first. */
static int compare(const void *x, const void *y)
{
    const struct td_endpoint_set *a = *(struct td_endpoint_set *const *)x;
    const struct td_endpoint_set *b = *(struct td_endpoint_set *const *)y;
    uint64_t of_a = a->group == b->group ? a->number : a->group->number;
    uint64_t of_b = a->group == b->group ? b->number : b->group->number;

    return (of_a > of_b) - (of_a < of_b);
}

static uint32_t arrange(struct td_trie_entry **found, uint32_t len)
{
    qsort(found, len, sizeof(struct td_trie_entry *), compare);
    return len < TD_REQUEST_SETS_MAX ? len : TD_REQUEST_SETS_MAX;
}

void td_sets_init(struct td_serving *sv)
{
    sv->routes.arrange = arrange;
}
