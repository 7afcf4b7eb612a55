#include "tests/support/store_rig.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/td_test.h"

#define FACE(rig) ((rig)->store->face)

void td_rig_folder(char *path)
{
    const char *base = getenv("TMPDIR");

    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, 100, "%.60s/tidings-store-XXXXXX", base);
    assert_non_null(mkdtemp(path));
}

void td_rig_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[512];

    if (!dir) {
        unlink(path);
        return;
    }
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof(name), "%.200s/%.255s", path, entry->d_name);
        td_rig_remove(name);
    }
    closedir(dir);
    rmdir(path);
}

void td_rig_init(struct td_rig *rig, bool is_model)
{
    memset(rig, 0, sizeof(*rig));
    rig->is_model = is_model;
    if (is_model) {
        rig->model = td_model_new();
        assert_non_null(rig->model);
        return;
    }
    td_rig_folder(rig->dir);
    rig->options.reserve_bytes = 256 << 10;
}

void td_rig_fini(struct td_rig *rig)
{
    if (rig->store)
        td_rig_close(rig);
    if (rig->is_model)
        td_model_free(rig->model);
    else
        td_rig_remove(rig->dir);
}

void td_rig_open(struct td_rig *rig)
{
    char why[TD_STORE_WHY_BYTES] = "";

    if (rig->is_model) {
        rig->store = td_model_open(rig->model);
        assert_non_null(rig->store);
        return;
    }
    if (td_lmdb_open(&rig->store, rig->dir, &rig->options, why) != TIDINGS_OK)
        fail_msg("%s", why);
}

void td_rig_close(struct td_rig *rig)
{
    FACE(rig)->close(rig->store);
    rig->store = NULL;
}

struct td_str td_rig_str(const char *text)
{
    return (struct td_str){text, strlen(text)};
}

void td_rig_put(struct td_txn *txn, const char *key, const char *value)
{
    td_txn_put(txn, td_rig_str(key), td_rig_str(value), NULL, 0, 0);
}

uint64_t td_rig_submit(struct td_rig *rig, struct td_txn *txn,
                       enum td_level level)
{
    td_txn_raise(txn, level);
    FACE(rig)->submit(rig->store, txn, ++rig->ticket);
    return rig->ticket;
}

struct td_store_answer *td_rig_answer(struct td_rig *rig)
{
    struct td_store_answer *answer = FACE(rig)->next(rig->store);
    struct pollfd p = {.fd = FACE(rig)->fd(rig->store), .events = POLLIN};

    if (!answer && rig->is_model) {
        if (td_model_commit(rig->model, 1) == 0)
            td_model_serve(rig->model, 1);
    } else if (!answer) {
        assert_int_equal(poll(&p, 1, RIG_DEADLINE_MS), 1);
    }
    if (!answer)
        answer = FACE(rig)->next(rig->store);
    assert_non_null(answer);
    return answer;
}

tidings_err td_rig_commit(struct td_rig *rig, struct td_txn *txn,
                          enum td_level level)
{
    uint64_t ticket = td_rig_submit(rig, txn, level);
    struct td_store_answer *answer = td_rig_answer(rig);
    tidings_err err = answer->err;

    assert_int_equal(answer->kind, TD_STORE_WRITTEN);
    assert_int_equal(answer->ticket, ticket);
    td_store_answer_free(answer);
    return err;
}

struct td_store_answer *td_rig_read(struct td_rig *rig, struct td_str from,
                                    struct td_str to, bool backwards,
                                    uint32_t records, size_t bytes)
{
    struct td_store_answer *answer;

    assert_true(FACE(rig)->read(rig->store, from, to, backwards, records, bytes,
                                ++rig->ticket));
    answer = td_rig_answer(rig);
    assert_int_equal(answer->kind, TD_STORE_READ);
    assert_int_equal(answer->ticket, rig->ticket);
    return answer;
}

const char *td_rig_text(struct td_rig *rig, const char *from, const char *to,
                        bool backwards, uint32_t records, size_t bytes)
{
    static char text[4096];
    struct td_store_answer *answer = td_rig_read(
        rig, td_rig_str(from), td_rig_str(to), backwards, records, bytes);
    size_t at = 0;

    text[0] = '\0';
    if (answer->err)
        snprintf(text, sizeof(text), "%s", tidings_err_name(answer->err));
    for (uint32_t i = 0; i < answer->records_len; i++) {
        const struct td_record *r = &answer->records[i];

        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s%s%.*s",
                               i ? " " : "", (int)r->key.len, r->key.data,
                               r->damaged ? "!" : "=", (int)r->value.len,
                               r->value.data);
        assert_true(at < sizeof(text));
    }
    if (answer->more)
        snprintf(text + at, sizeof(text) - at, " ...");
    td_store_answer_free(answer);
    return text;
}

const char *td_rig_get(struct td_rig *rig, const char *key)
{
    static char value[256];
    struct td_store_answer *answer = td_rig_read(
        rig, td_rig_str(key), (struct td_str){NULL, 0}, false, 1, SIZE_MAX);
    const struct td_record *r = answer->records;

    if (answer->err)
        snprintf(value, sizeof(value), "%s", tidings_err_name(answer->err));
    else if (answer->records_len == 0 || r->key.len != strlen(key) ||
             memcmp(r->key.data, key, r->key.len) != 0)
        snprintf(value, sizeof(value), "-");
    else
        snprintf(value, sizeof(value), "%.*s",
                 r->damaged ? 1 : (int)r->value.len,
                 r->damaged ? "!" : r->value.data);
    td_store_answer_free(answer);
    return value;
}
