#include "client/registry.h"

#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/option.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->forgotten = true)

#include <uthash.h>
#include <utlist.h>

struct td_listing {
    atomic_uint refs;
    struct tidings_instances list; /* what the user has */
};

/* What is known of an instance: its map, and the fields in it. */
struct known {
    struct known *prev; /* by id */
    struct known *next;
    struct td_str service;
    struct td_str id;
    struct td_str version;
    struct td_str text;
    uint64_t health;
    bool draining;
    struct td_str metadata; /* a map … */
    uint32_t metadata_len;
    struct td_str endpoints; /* … and a list, or empty */
    uint32_t endpoints_len;
    size_t len; /* of the map */
    char map[];
};

struct td_known_name {
    UT_hash_handle hh;
    bool forgotten; /* there was no memory to find it by */
    struct known *instances;
    struct td_listing *listing; /* NULL: not made */
    size_t len;
    char name[TD_SERVICE_BYTES_MAX + 1];
};

/* ---- reading a map ---- */

static bool read_metadata(struct known *k)
{
    struct td_reader r;
    struct td_str s;

    if (!td_map_find((struct td_str){k->map, k->len}, "metadata", &k->metadata))
        return true;
    r = td_reader_of(k->metadata.data, k->metadata.len);
    if (!td_read_map(&r, &k->metadata_len))
        return false;
    for (uint32_t i = 0; i < 2 * k->metadata_len; i++) {
        if (!td_read_str(&r, &s))
            return false;
    }
    return true;
}

/* [name, type, …] */
static bool read_endpoint(struct td_reader *r, struct td_str *type)
{
    struct td_reader row;
    struct td_str raw;
    struct td_str name;
    uint32_t fields;

    if (!td_read_raw(r, &raw))
        return false;
    row = td_reader_of(raw.data, raw.len);
    return td_read_array(&row, &fields) && fields >= 2 &&
           td_read_str(&row, &name) && td_read_str(&row, type);
}

static bool read_endpoints(struct known *k)
{
    struct td_reader r;
    struct td_str type;

    if (!td_map_find((struct td_str){k->map, k->len}, "endpoints",
                     &k->endpoints))
        return true;
    r = td_reader_of(k->endpoints.data, k->endpoints.len);
    if (!td_read_array(&r, &k->endpoints_len))
        return false;
    for (uint32_t i = 0; i < k->endpoints_len; i++) {
        if (!read_endpoint(&r, &type))
            return false;
    }
    return true;
}

static bool is_text(struct td_str s, size_t max)
{
    return s.len >= 1 && s.len <= max && !memchr(s.data, '\0', s.len);
}

static bool read_names(struct td_str map, struct td_str *service,
                       struct td_str *id)
{
    *service = *id = (struct td_str){"", 0};
    return td_map_str(map, "service", service) && td_map_str(map, "id", id) &&
           is_text(*service, TD_SERVICE_BYTES_MAX) &&
           is_text(*id, TD_INSTANCE_BYTES_MAX);
}

static bool read_known(struct known *k)
{
    struct td_str map = {k->map, k->len};

    k->version = k->text = (struct td_str){"", 0};
    return read_names(map, &k->service, &k->id) &&
           td_map_str(map, "version", &k->version) &&
           td_map_str(map, "text", &k->text) &&
           td_map_uint(map, "state", &k->health) &&
           k->health >= TIDINGS_STARTING && k->health <= TIDINGS_SICK &&
           td_map_bool(map, "draining", &k->draining) && read_metadata(k) &&
           read_endpoints(k);
}

/* ---- the copy ---- */

static void unref(struct td_listing **listing)
{
    if (*listing)
        tidings_instances_free(&(*listing)->list);
    *listing = NULL;
}

static void drop_listings(struct td_registry *r)
{
    struct td_known_name *n;

    unref(&r->all);
    unref(&r->none);
    for (n = r->names; n; n = n->hh.next)
        unref(&n->listing);
}

static void forget_name(struct td_registry *r, struct td_known_name *n)
{
    unref(&n->listing);
    HASH_DEL(r->names, n);
    free(n);
}

void td_registry_fini(struct td_registry *r)
{
    struct td_known_name *n;
    struct td_known_name *next_name;
    struct known *k;
    struct known *next;

    drop_listings(r);
    HASH_ITER(hh, r->names, n, next_name)
    {
        DL_FOREACH_SAFE(n->instances, k, next)
        {
            free(k);
        }
        forget_name(r, n);
    }
    memset(r, 0, sizeof(*r));
}

static struct td_known_name *find_name(struct td_registry *r,
                                       struct td_str name)
{
    struct td_known_name *n;

    HASH_FIND(hh, r->names, name.data, name.len, n);
    return n;
}

static struct known *find(struct td_known_name *n, struct td_str id)
{
    struct known *k;

    DL_FOREACH(n->instances, k)
    {
        if (td_bytes_equal(k->id, id))
            return k;
    }
    return NULL;
}

static struct td_known_name *name_of(struct td_registry *r, struct td_str name)
{
    struct td_known_name *n = find_name(r, name);

    if (n)
        return n;
    n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    memcpy(n->name, name.data, name.len);
    HASH_ADD_KEYPTR(hh, r->names, n->name, name.len, n);
    if (!n->forgotten)
        return n;
    free(n);
    return NULL;
}

static int by_id(const struct known *a, const struct known *b)
{
    size_t len = a->id.len < b->id.len ? a->id.len : b->id.len;
    int order = memcmp(a->id.data, b->id.data, len);

    return order ? order : (a->id.len > b->id.len) - (a->id.len < b->id.len);
}

static void take_out(struct td_registry *r, struct td_known_name *n,
                     struct known *k)
{
    DL_DELETE(n->instances, k);
    n->len--;
    r->len--;
    free(k);
}

static void changed(struct td_registry *r, struct td_known_name *n)
{
    unref(&n->listing);
    unref(&r->all);
}

tidings_err td_registry_put(struct td_registry *r, struct td_str map)
{
    struct known *k = calloc(1, sizeof(*k) + map.len);
    struct td_known_name *n;
    struct known *before;

    if (!k)
        return TIDINGS_ENOMEM;
    k->len = map.len;
    memcpy(k->map, map.data, map.len);
    if (!read_known(k)) {
        free(k);
        return TIDINGS_EPROTO;
    }
    if (r->len >= TD_REGISTRY_MAX) {
        free(k);
        return TIDINGS_ELIMIT;
    }
    n = name_of(r, k->service);
    if (!n) {
        free(k);
        return TIDINGS_ENOMEM;
    }
    before = find(n, k->id);
    if (before)
        take_out(r, n, before);
    DL_INSERT_INORDER(n->instances, k, by_id);
    n->len++;
    r->len++;
    changed(r, n);
    return TIDINGS_OK;
}

tidings_err td_registry_remove(struct td_registry *r, struct td_str map)
{
    struct td_known_name *n;
    struct td_str service;
    struct td_str id;
    struct known *k;

    if (!read_names(map, &service, &id))
        return TIDINGS_EPROTO;
    n = find_name(r, service);
    k = n ? find(n, id) : NULL;
    if (!k)
        return TIDINGS_OK; /* it was gone before */
    take_out(r, n, k);
    changed(r, n);
    if (!n->instances)
        forget_name(r, n);
    return TIDINGS_OK;
}

void td_registry_set_stale(struct td_registry *r, bool stale)
{
    if (r->stale == stale)
        return;
    r->stale = stale;
    drop_listings(r);
}

/* ---- lists ---- */

/* A list's one block of memory: instances, pairs, types, and texts. */
struct block {
    struct td_listing *listing;
    struct tidings_instance *instance; /* the next of each */
    struct tidings_pair *pair;
    const char **type;
    char *text;
};

struct sizes {
    size_t instances;
    size_t pairs;
    size_t types;
    size_t bytes;
};

/* A text's NUL takes no more than its head in the map did. */
static void add_sizes(struct sizes *s, const struct td_known_name *n)
{
    const struct known *k;

    DL_FOREACH(n->instances, k)
    {
        s->instances++;
        s->pairs += k->metadata_len;
        s->types += k->endpoints_len;
        s->bytes += k->len + 2; /* two that may be missing there */
    }
}

static bool block_new(struct block *b, const struct sizes *s)
{
    struct td_listing *l =
        calloc(1, sizeof(*l) + s->instances * sizeof(*b->instance) +
                      s->pairs * sizeof(*b->pair) +
                      s->types * sizeof(*b->type) + s->bytes);

    if (!l)
        return false;
    b->listing = l;
    b->instance = (struct tidings_instance *)(l + 1);
    b->pair = (struct tidings_pair *)(b->instance + s->instances);
    b->type = (const char **)(b->pair + s->pairs);
    b->text = (char *)(b->type + s->types);
    atomic_init(&l->refs, 1);
    l->list.list = b->instance;
    return true;
}

static const char *put_text(struct block *b, struct td_str s)
{
    char *text = b->text;

    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    b->text += s.len + 1;
    return text;
}

static void put_pairs(struct block *b, const struct known *k)
{
    struct td_reader r = td_reader_of(k->metadata.data, k->metadata.len);
    struct td_str key = {"", 0};
    struct td_str value = {"", 0};
    uint32_t pairs = 0;

    td_read_map(&r, &pairs);
    for (; pairs > 0; pairs--, b->pair++) {
        td_read_str(&r, &key);
        td_read_str(&r, &value);
        b->pair->key = put_text(b, key);
        b->pair->value = put_text(b, value);
    }
}

static void put_types(struct block *b, const struct known *k)
{
    struct td_reader r = td_reader_of(k->endpoints.data, k->endpoints.len);
    struct td_str type = {"", 0};
    uint32_t rows = 0;

    td_read_array(&r, &rows);
    for (; rows > 0; rows--) {
        read_endpoint(&r, &type);
        *b->type++ = put_text(b, type);
    }
}

static void put_known(struct block *b, const struct known *k)
{
    struct tidings_instance *to = b->instance++;

    to->service = put_text(b, k->service);
    to->id = put_text(b, k->id);
    to->version = put_text(b, k->version);
    to->text = put_text(b, k->text);
    to->health = (enum tidings_health)k->health;
    to->draining = k->draining;
    to->metadata = b->pair;
    to->metadata_len = k->metadata_len;
    if (k->metadata_len > 0)
        put_pairs(b, k);
    to->types = b->type;
    to->types_len = k->endpoints_len;
    if (k->endpoints_len > 0)
        put_types(b, k);
    b->listing->list.len++;
}

static void put_name(struct block *b, const struct td_known_name *n)
{
    const struct known *k;

    DL_FOREACH(n->instances, k)
    {
        put_known(b, k);
    }
}

static int by_name(const struct td_known_name *a, const struct td_known_name *b)
{
    return strcmp(a->name, b->name);
}

/* Of one name; NULL: of all, or of none. */
static struct td_listing *make(struct td_registry *r, struct td_known_name *of,
                               bool all)
{
    struct sizes sizes = {0};
    struct td_known_name *n;
    struct block b;

    if (of)
        add_sizes(&sizes, of);
    for (n = all ? r->names : NULL; n; n = n->hh.next)
        add_sizes(&sizes, n);
    if (!block_new(&b, &sizes))
        return NULL;
    b.listing->list.stale = r->stale;
    if (of)
        put_name(&b, of);
    if (all)
        HASH_SORT(r->names, by_name);
    for (n = all ? r->names : NULL; n; n = n->hh.next)
        put_name(&b, n);
    return b.listing;
}

struct tidings_instances *td_registry_list(struct td_registry *r,
                                           const char *name)
{
    struct td_known_name *n = name ? find_name(r, td_str_of(name)) : NULL;
    struct td_listing **at = !name ? &r->all : n ? &n->listing : &r->none;

    if (!*at)
        *at = make(r, n, !name);
    if (!*at)
        return NULL;
    atomic_fetch_add_explicit(&(*at)->refs, 1, memory_order_relaxed);
    return &(*at)->list;
}

void tidings_instances_free(struct tidings_instances *list)
{
    struct td_listing *l;

    if (!list)
        return;
    l = (struct td_listing *)((char *)list - offsetof(struct td_listing, list));
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
        free(l);
}
