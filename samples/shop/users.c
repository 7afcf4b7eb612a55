/* The user service: who there is. */
#include "service.h"

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS users ("
    "  id TEXT PRIMARY KEY,"
    "  username TEXT NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 50),"
    "  email TEXT NOT NULL UNIQUE CHECK (email LIKE '%_@_%'),"
    "  name TEXT NOT NULL,"
    "  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)";

static void copy(struct shop_user *user, const struct shop_new_user *from)
{
    record_set_text(user->username, sizeof(user->username), from->username);
    record_set_text(user->email, sizeof(user->email), from->email);
    record_set_text(user->name, sizeof(user->name), from->name);
}

/* The user, and that there is one, in one transaction. */
static tidings_err insert(struct shop *shop, struct shop_user *user)
{
    sqlite3 *db = shop->db.db;
    tidings_err err = shop_db_begin(&shop->db);

    if (err)
        return err;
    err = shop_new_id(user->user_id, db);
    if (!err)
        err = shop_run(NULL, db,
                       "INSERT INTO users (id, username, email, name) "
                       "VALUES (?, ?, ?, ?)",
                       "tttt", user->user_id, user->username, user->email,
                       user->name);
    if (!err)
        err = shop_publish_user(db, "user.created", user->user_id, user);
    if (!err)
        return shop_db_commit(&shop->db);
    shop_db_rollback(&shop->db);
    return err;
}

static tidings_err create(void *arg, tidings_task *task,
                          const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_new_user wanted;
    struct shop_user user = {0};
    tidings_err err;

    if (!shop_take_new_user(&wanted, task, request))
        return TIDINGS_OK;
    copy(&user, &wanted);
    err = insert(shop, &user);
    if (err == TIDINGS_EEXIST)
        return shop_refuse(task, 409, "refused: %s", tidings_detail());
    if (err)
        return shop_failed(task, err);
    tidings_relay_wake(shop->relay);
    shop_say("created %s: %s", user.user_id, user.username);
    return shop_answer_user(task, &user);
}

static tidings_err get(void *arg, tidings_task *task,
                       const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_user_ref wanted;
    struct shop_user user = {0};
    tidings_err err;

    if (!shop_take_user_ref(&wanted, task, request))
        return TIDINGS_OK;
    err = shop_look(
        &shop->db, "SELECT id, username, email, name FROM users WHERE id = ?",
        "t", "tttt", wanted.user_id, user.user_id, sizeof(user.user_id),
        user.username, sizeof(user.username), user.email, sizeof(user.email),
        user.name, sizeof(user.name));
    if (err == TIDINGS_ENOTFOUND)
        return shop_refuse(task, 404, "no user %s", wanted.user_id);
    return err ? shop_failed(task, err) : shop_answer_user(task, &user);
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_user_count counted = {0};
    tidings_err err = shop_look(&shop->db, "SELECT count(*) FROM users", "",
                                "i", &counted.users);

    (void)request;
    return err ? shop_failed(task, err)
               : shop_answer_user_count(task, &counted);
}

static const struct tidings_endpoint endpoints[] = {
    {.type = "user.create", .handler = create},
    {.type = "user.get", .handler = get},
    {.type = "user.count", .handler = count},
};

const struct shop_service shop_users = {
    .name = "users",
    .version = "1.0.0",
    .description = "who there is",
    .schema = schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
};
