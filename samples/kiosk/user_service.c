/* The user service: keeps the users, tells everybody when there is a new one.
 */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

struct users {
    const struct kiosk_place *place;
    struct kiosk_user_created *list;
    size_t len;
    size_t room;
};

static tidings_err start(void *state, const struct kiosk_place *place)
{
    struct users *users = state;

    users->place = place;
    return TIDINGS_OK;
}

static tidings_err make_room(struct users *users)
{
    size_t room = users->room ? users->room * 2 : 16;
    struct kiosk_user_created *list;

    if (users->len < users->room)
        return TIDINGS_OK;
    list = realloc(users->list, room * sizeof(*list));
    if (!list)
        return TIDINGS_ENOMEM;
    users->list = list;
    users->room = room;
    return TIDINGS_OK;
}

static tidings_err check_new(const struct users *users, const char *username)
{
    for (size_t i = 0; i < users->len; i++) {
        if (strcmp(users->list[i].username, username) == 0) {
            tidings_set_detail("this username is taken");
            return TIDINGS_EEXIST;
        }
    }
    return TIDINGS_OK;
}

/* create-user USERNAME EMAIL NAME */
static tidings_err create_user(struct users *users, char **argv)
{
    struct kiosk_user_created user = {0};
    tidings_err err;

    snprintf(user.user_id, sizeof(user.user_id), "user-%zu", users->len + 1);
    if ((err = record_set_text(user.username, sizeof(user.username), argv[1])) ||
        (err = record_set_text(user.email, sizeof(user.email), argv[2])) ||
        (err = record_set_text(user.name, sizeof(user.name), argv[3])) ||
        (err = check_new(users, user.username)) || (err = make_room(users)) ||
        (err = kiosk_publish_user_created(users->place->bus, &user)))
        return err;

    users->list[users->len++] = user;
    kiosk_say(users->place, "created %s: %s <%s>", user.user_id, user.username,
              user.email);
    return TIDINGS_OK;
}

static tidings_err command(void *state, int argc, char **argv)
{
    if (strcmp(argv[0], "create-user") != 0)
        return TIDINGS_ENOTFOUND;
    if (argc != 4) {
        tidings_set_detail("wants USERNAME EMAIL NAME");
        return TIDINGS_EINVAL;
    }
    return create_user(state, argv);
}

static void finish(void *state)
{
    struct users *users = state;

    kiosk_say(users->place, "final users=%zu", users->len);
    free(users->list);
}

const struct kiosk_service kiosk_user_service = {
    .name = "user_service",
    .commands = "create-user USERNAME EMAIL NAME",
    .state_size = sizeof(struct users),
    .start = start,
    .command = command,
    .finish = finish,
};
