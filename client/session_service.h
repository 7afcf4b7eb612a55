/* The session's side of services: PROTOCOL.md 11.2. One of them:
 *
 *             SERVE          REPLY            UNSERVE          REPLY
 *   WANTED ----------> ASKED ------> LIVE -------------> ENDING ----> ENDED
 *     ^ ^    link lost |  | refused   |                    |
 *     | +--------------+  v           |                    | link lost
 *     |   ^            REFUSED        |                    v
 *     |   +--- later, if it was live  |                  ENDED
 *     +-------------------------------+
 *       link lost: an instance lives as long as the link
 */
#ifndef TD_CLIENT_SESSION_SERVICE_H
#define TD_CLIENT_SESSION_SERVICE_H

#include "client/answers.h"
#include "client/session.h"

enum td_cservice_state {
    TD_CSERVICE_WANTED,  /* the broker is to be asked when there is a link */
    TD_CSERVICE_ASKED,   /* SERVE is on its way */
    TD_CSERVICE_LIVE,    /* the broker has it */
    TD_CSERVICE_REFUSED, /* the broker said no: code and text say why */
    TD_CSERVICE_ENDING,  /* UNSERVE is on its way */
    TD_CSERVICE_ENDED
};

/* An instance; owned by the client, freed with td_client_service_forget(). */
struct td_cservice {
    struct td_cservice *prev;
    struct td_cservice *next;
    void *owner;     /* the bus's side of it */
    uint32_t number; /* 1..TD_SERVICES_MAX */
    uint32_t endpoints_len;
    enum td_cservice_state state;
    bool renewing; /* it has been live before: a refusal is news, and it is
                      asked for again */
    bool draining; /* an operator wants it to: as long as this link */
    bool unsaid;   /* ASKED: SERVE says less of how it is than we know by now */
    uint64_t request;
    tidings_err code;
    char text[128];
    char id[TD_INSTANCE_BYTES_MAX + 1]; /* "": the broker is to make one */
    char name[TD_SERVICE_BYTES_MAX + 1];
    char version[TD_VERSION_BYTES_MAX + 1];
    struct td_buf options; /* pairs of SERVE that stay the same … */
    uint32_t options_len;  /* … so many */
    enum td_health health; /* as it was said last … */
    char why[TD_HEALTH_TEXT_BYTES_MAX + 1];
    uint64_t health_ms; /* and so often it is to be; 0: only at changes */
    int64_t beat_ms;    /* LIVE: when it is asked next; TD_CLIENT_NEVER: it has
                           been; REFUSED: when the broker is */
};

/* How one begins. */
struct td_cserving {
    const char *name;
    const char *version;
    struct td_buf *options; /* pairs of SERVE; taken over on success */
    uint32_t options_len;
    uint32_t endpoints_len;
    enum td_health health;
    uint64_t health_ms;
};

/* TIDINGS_ELIMIT: TD_SERVICES_MAX; TIDINGS_ENOMEM. */
tidings_err td_client_serve(struct td_client *c, struct td_cservice **out,
                            const struct td_cserving *how);
/* Asks the broker to end it; at once ENDED when the broker does not have it. */
void td_client_unserve(struct td_client *c, struct td_cservice *s);
/* Forgets and frees it. */
void td_client_service_forget(struct td_client *c, struct td_cservice *s);

/* How it is: said at once if the broker has it, or as soon as it has. */
void td_client_health(struct td_client *c, struct td_cservice *s,
                      enum td_health health, const char *why);

/* A request in the hands of an instance. Borrows the message. */
struct td_handed {
    struct td_cservice *service; /* NULL: there are no more */
    struct td_handle_row row;
    struct td_str event; /* row.bytes of the body */
};

/* The next request of a message; pings and what is for nobody are answered
 * here. Not TIDINGS_OK: as td_client_message(). */
tidings_err td_client_next_task(struct td_client *c, struct td_deliveries *from,
                                struct td_handed *out);

/* Sends a bundle, if its link is there still, and empties it. */
void td_client_send_answers(struct td_client *c, struct td_answers *answers);

#endif
