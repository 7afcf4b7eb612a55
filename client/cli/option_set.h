/* option_set.h: what each option of the table does with its value: takes it,
 * or says what it wants instead. Flags are given NULL. */
#ifndef TD_CLI_OPTION_SET_H
#define TD_CLI_OPTION_SET_H

#include "client/cli/cli.h"

/* option_set.c */
const char *td_set_url(struct td_settings *settings, const char *value);
const char *td_set_timeout(struct td_settings *settings, const char *value);
const char *td_set_interval(struct td_settings *settings, const char *value);
const char *td_set_rate(struct td_settings *settings, const char *value);
const char *td_set_count(struct td_settings *settings, const char *value);
const char *td_set_json(struct td_settings *settings, const char *value);
const char *td_set_help(struct td_settings *settings, const char *value);
const char *td_set_version(struct td_settings *settings, const char *value);
const char *td_set_attr(struct td_settings *settings, const char *value);
const char *td_set_key(struct td_settings *settings, const char *value);
const char *td_set_event(struct td_settings *settings, const char *value);
const char *td_set_policy(struct td_settings *settings, const char *value);
const char *td_set_group(struct td_settings *settings, const char *value);
const char *td_set_group_policy(struct td_settings *settings,
                                const char *value);
const char *td_set_window_events(struct td_settings *settings,
                                 const char *value);
const char *td_set_queue_events(struct td_settings *settings,
                                const char *value);
const char *td_set_queue_bytes(struct td_settings *settings, const char *value);
const char *td_set_rows(struct td_settings *settings, const char *value);
const char *td_set_watch(struct td_settings *settings, const char *value);
const char *td_set_once(struct td_settings *settings, const char *value);
const char *td_set_sort(struct td_settings *settings, const char *value);
const char *td_set_publishers(struct td_settings *settings, const char *value);
const char *td_set_subscribers(struct td_settings *settings, const char *value);
const char *td_set_types(struct td_settings *settings, const char *value);
const char *td_set_rounds(struct td_settings *settings, const char *value);
const char *td_set_size(struct td_settings *settings, const char *value);
const char *td_set_duration(struct td_settings *settings, const char *value);

/* option_set.c: of services as processes */
const char *td_set_state(struct td_settings *settings, const char *value);
const char *td_set_check(struct td_settings *settings, const char *value);
const char *td_set_detach(struct td_settings *settings, const char *value);
const char *td_set_abort(struct td_settings *settings, const char *value);

/* option_set_service.c: of the commands about services and requests */
const char *td_set_id(struct td_settings *settings, const char *value);
const char *td_set_undo(struct td_settings *settings, const char *value);
const char *td_set_wait(struct td_settings *settings, const char *value);
const char *td_set_request_timeout(struct td_settings *settings,
                                   const char *value);
const char *td_set_service(struct td_settings *settings, const char *value);
const char *td_set_instance(struct td_settings *settings, const char *value);
const char *td_set_of_version(struct td_settings *settings, const char *value);
const char *td_set_balance(struct td_settings *settings, const char *value);
const char *td_set_many(struct td_settings *settings, const char *value);
const char *td_set_quiet(struct td_settings *settings, const char *value);
const char *td_set_idempotent(struct td_settings *settings, const char *value);
const char *td_set_attempts(struct td_settings *settings, const char *value);

/* option_set_durable.c: of the commands about streams */
const char *td_set_durable(struct td_settings *settings, const char *value);
const char *td_set_patterns(struct td_settings *settings, const char *value);
const char *td_set_pattern(struct td_settings *settings, const char *value);
const char *td_set_stream(struct td_settings *settings, const char *value);
const char *td_set_start(struct td_settings *settings, const char *value);
const char *td_set_until_time(struct td_settings *settings, const char *value);
const char *td_set_until(struct td_settings *settings, const char *value);
const char *td_set_before(struct td_settings *settings, const char *value);
const char *td_set_yes(struct td_settings *settings, const char *value);
const char *td_set_follow(struct td_settings *settings, const char *value);
const char *td_set_original_pace(struct td_settings *settings,
                                 const char *value);
const char *td_set_confirm(struct td_settings *settings, const char *value);
const char *td_set_max_age(struct td_settings *settings, const char *value);
const char *td_set_max_bytes(struct td_settings *settings, const char *value);
const char *td_set_max_events(struct td_settings *settings, const char *value);
const char *td_set_dedup(struct td_settings *settings, const char *value);
const char *td_set_dedup_events(struct td_settings *settings,
                                const char *value);
const char *td_set_on_full(struct td_settings *settings, const char *value);
const char *td_set_compact(struct td_settings *settings, const char *value);
const char *td_set_tombstone(struct td_settings *settings, const char *value);
const char *td_set_keyed(struct td_settings *settings, const char *value);
const char *td_set_expect(struct td_settings *settings, const char *value);
const char *td_set_expect_key(struct td_settings *settings, const char *value);
const char *td_set_storage(struct td_settings *settings, const char *value);
const char *td_set_max_in_flight(struct td_settings *settings,
                                 const char *value);
const char *td_set_ack_wait(struct td_settings *settings, const char *value);
const char *td_set_max_deliver(struct td_settings *settings, const char *value);
const char *td_set_backoff(struct td_settings *settings, const char *value);
const char *td_set_backoff_max(struct td_settings *settings, const char *value);
const char *td_set_at(struct td_settings *settings, const char *value);
const char *td_set_producer(struct td_settings *settings, const char *value);
const char *td_set_sequence(struct td_settings *settings, const char *value);
const char *td_set_after(struct td_settings *settings, const char *value);
const char *td_set_expires(struct td_settings *settings, const char *value);
const char *td_set_first(struct td_settings *settings, const char *value);
const char *td_set_last(struct td_settings *settings, const char *value);
const char *td_set_limit(struct td_settings *settings, const char *value);

#endif
