/* What the files of the client's session share, and nobody else includes.
 *
 * session.c            the link: opening, losing, messages, time
 * session_send.c       frames, and options in them
 * session_greet.c      HELLO and WELCOME: new sessions and resumed ones
 * session_publish.c    what is packed, sent, taken
 * session_confirm.c    … and confirmed
 * session_subscribe.c  subscriptions beginning and ending
 * session_credit.c     deliveries, gaps, and credit for them
 * session_pace.c       how many events a member of a durable group has
 * session_settle.c     what has become of deliveries of durable groups
 * session_question.c   STATS, PING and CALL
 * session_request.c    requests and their answers
 * session_retry.c      … and what becomes of them in time
 * session_service.c    services, and what they are asked */
#ifndef TD_CLIENT_SESSION_INTERNAL_H
#define TD_CLIENT_SESSION_INTERNAL_H

#include "client/session.h"

/* session.c */
void td_client_enter(struct td_client *c, enum td_client_state state);
/* About the bus, not about a subscription. */
void td_client_status(struct td_client *c, enum tidings_status_kind kind,
                      tidings_err err, const char *text, uint64_t count);
uint64_t td_client_random(struct td_client *c);
/* The broker broke the rules: TIDINGS_EPROTO, and why, a static text. */
tidings_err td_client_breach(struct td_client *c, const char *why);
/* … and the link is lost for it. */
void td_client_lost_breach(struct td_client *c);

/* session_send.c */

/* false: the link takes nothing any more; the next tick closes it. */
bool td_client_send(struct td_client *c, const struct td_frame *frame,
                    struct td_body *body);
/* A map of options in scratch: begun, filled, and then sent with a frame; false
 * as td_client_send(), and for want of memory. */
void td_client_options_begin(struct td_client *c, uint32_t pairs);
void td_client_option_key(struct td_client *c, const char *key);
void td_client_option_str(struct td_client *c, const char *key,
                          const char *value);
void td_client_option_uint(struct td_client *c, const char *key,
                           uint64_t value);
void td_client_option_int(struct td_client *c, const char *key, int64_t value);
struct td_str td_client_scratch(const struct td_client *c);
bool td_client_send_scratch(struct td_client *c, const struct td_frame *frame);

/* session_greet.c */
void td_client_hello(struct td_client *c);
tidings_err td_client_on_welcome(struct td_client *c, const struct td_frame *f);

/* Another process has taken the producer's name: nothing is sent any more, and
 * what was not confirmed never will be. */
void td_client_fence(struct td_client *c, const char *text);

/* session_publish.c */

/* A new link: all that is not taken and confirmed is sent again. Returns how
 * many events of it were sent before. */
uint64_t td_client_publish_again(struct td_client *c);
/* Everything up to this sequence was taken; false: it was never sent. */
bool td_client_set_taken(struct td_client *c, uint64_t taken);
tidings_err td_client_on_taken(struct td_client *c, const struct td_frame *f);

/* session_confirm.c */
tidings_err td_client_on_confirm(struct td_client *c, const struct td_frame *f);
/* All that is held is told that it was not stored, and let go. */
void td_client_give_up(struct td_client *c, tidings_err err, const char *text);

/* session_subscribe.c */
struct td_csub *td_client_sub_find(struct td_client *c, uint64_t number);
/* Its totals are to be told, or need not be. */
void td_client_sub_dirty(struct td_client *c, struct td_csub *sub, bool dirty);
/* The link is lost, the session perhaps. */
void td_client_subs_lost(struct td_client *c);
/* The broker has ended it for good: it is not asked for again. */
void td_client_sub_over(struct td_client *c, struct td_csub *sub);
/* The broker has them still: resumed. */
void td_client_subs_resumed(struct td_client *c);
/* The broker has none of them. */
void td_client_subs_anew(struct td_client *c);
/* Asks for those that are wanted. */
void td_client_subs_ask(struct td_client *c);
void td_client_subs_on_reply(struct td_client *c, const struct td_frame *f);

/* session_credit.c */
void td_client_send_credit(struct td_client *c);
/* A message has come that counts: DELIVER, HANDLE or RESPONSE. */
/* bytes: of its body; 0: a subscription's credit counts them. */
void td_client_count_message(struct td_client *c, size_t bytes);
/* Its totals have grown: they are sent, or will be. */
void td_client_sub_taken(struct td_client *c, struct td_csub *sub);
tidings_err td_client_on_deliver(struct td_client *c, const struct td_frame *f,
                                 struct td_body *body,
                                 struct td_deliveries *out);
void td_client_on_gap(struct td_client *c, const struct td_frame *f);

/* session_pace.c */
/* Which of its events may be delivered, a total. */
uint64_t td_client_limit(const struct td_csub *sub);
/* The most that are ever delivered and not taken. */
uint64_t td_client_window_max(const struct td_csub *sub);

/* session_settle.c */

/* It has something to send, or has not. */
void td_client_sub_settles(struct td_client *c, struct td_csub *sub,
                           bool settles);
/* All that is not settled is given back. */
void td_client_release(struct td_client *c, struct td_csub *sub);
/* The session is resumed: what may have been lost is sent again. */
void td_client_settle_again(struct td_client *c);
/* … and a message after it asks whether it has arrived. */
void td_client_send_ping(struct td_client *c);
tidings_err td_client_on_settled(struct td_client *c, const struct td_frame *f);

/* Time goes on; askers' threads have read the clock before others have. */
static inline void td_requests_at(struct td_requests *q, int64_t now_ms)
{
    if (now_ms > q->now_ms)
        q->now_ms = now_ms;
}

/* session_request.c */
tidings_err td_client_on_response(struct td_client *c, const struct td_frame *f,
                                  const struct td_body *body);
int64_t td_client_requests_due_ms(const struct td_client *c);
/* It goes with the next message. */
void td_request_unsent(struct td_client *c, struct td_request *r);
/* It is not sent any more, or not waited for under the number it has. */
void td_request_leave(struct td_client *c, struct td_request *r);
/* It has left, and waits until it is tried again. */
void td_request_rest(struct td_client *c, struct td_request *r,
                     int64_t until_ms);
/* It is the asker's again. */
void td_request_end(struct td_client *c, struct td_request *r,
                    const struct td_response *response);
void td_request_fail(struct td_client *c, struct td_request *r,
                     tidings_err code, const char *text);

/* session_retry.c */
/* false: it is not tried again. */
bool td_request_again(struct td_client *c, struct td_request *r,
                      const struct td_response *response);
void td_client_requests_tick(struct td_client *c);
/* The link is lost. */
void td_client_requests_lost(struct td_client *c);
/* None is sent any more, nor answered. */
void td_client_end_requests(struct td_client *c, tidings_err err,
                            const char *text);

/* session_question.c */
/* The link is lost: what cannot be asked again is answered. */
void td_client_questions_lost(struct td_client *c);
void td_client_questions_ask(struct td_client *c);
/* false: it answers no question. */
bool td_client_question_on_reply(struct td_client *c, const struct td_frame *f);
void td_client_on_pong(struct td_client *c, const struct td_frame *f);

/* session_service.c */
void td_client_services_lost(struct td_client *c);
void td_client_services_ask(struct td_client *c);
/* Asks those how they are that are to say so. */
void td_client_services_tick(struct td_client *c);
/* false: it is about no service. */
bool td_client_service_on_reply(struct td_client *c, const struct td_frame *f);
tidings_err td_client_on_health(struct td_client *c, const struct td_frame *f);
tidings_err td_client_on_handle(struct td_client *c, const struct td_frame *f,
                                struct td_body *body,
                                struct td_deliveries *out);

#endif
