/* Every bound of tidings, once: unit in the name, reason beside it.
 * PROTOCOL.md 9 lists those that a foreign client must know. */
#ifndef TD_LIMITS_H
#define TD_LIMITS_H

#define TD_PROTOCOL_VERSION 1 /* the wire's own number, not the product's */
#define TD_PROTOCOL_MAGIC "tidings"

/* ---- what one message may hold ---- */
#define TD_CONTROL_BYTES_MAX (384u << 10) /* runs and sources at their longest */
#define TD_DATA_BYTES_MAX (1u << 20)      /* as NATS: larger belongs in a store */
#define TD_ATTRS_BYTES_MAX (64u << 10)    /* CloudEvents: forward at least 64 KiB */
#define TD_ATTRS_MAX 64u                  /* per event; keeps lookups linear */
#define TD_ATTR_NAME_BYTES_MAX 20u        /* CloudEvents 3.1 */
/* data, attributes, and the encodings around them */
#define TD_EVENT_BYTES_MAX (TD_DATA_BYTES_MAX + TD_ATTRS_BYTES_MAX + 64u)
/* a batch is closed at TD_BATCH_BYTES, so one event may come after that */
#define TD_BODY_BYTES_MAX ((1u << 20) + (256u << 10))
#define TD_BATCH_BYTES (128u << 10) /* past it forwarding gains nothing more */
#define TD_BATCHES_MAX 64u         /* per message */
#define TD_RUNS_MAX 1024u          /* per message, over all its batches */
#define TD_EVENTS_MAX 65536u       /* per message: a million tiny ones refused */
#define TD_SCAN_DEPTH_MAX 8u       /* control frames need 4 */
#define TD_SCAN_NODES_MAX 16384u   /* 1,024 runs of 6 nodes, twice over */
#define TD_DATA_DEPTH_MAX 32u      /* user data; msgpack-c's own bound */
#define TD_DATA_NODES_MAX (1u << 20)

/* ---- names ---- */
#define TD_TYPE_BYTES_MAX 255u
#define TD_TOKENS_MAX 16u
#define TD_SOURCE_BYTES_MAX 1023u
#define TD_NAME_BYTES_MAX 64u
#define TD_GROUP_BYTES_MAX 64u    /* a group's name */
#define TD_TOKEN_BYTES 16u        /* of a session: guessed never */
#define TD_PEER_BYTES_MAX 255u    /* ZMQ_ROUTING_ID's bound */
#define TD_ID_BYTES_MAX 255u      /* an id chosen by the caller */
#define TD_PRODUCER_BYTES 16u
#define TD_PRODUCER_NAME_BYTES_MAX 64u /* of [A-Za-z0-9_.-], like a group's */
#define TD_ID_TEXT_BYTES 40u      /* 26 + 1 + 13, without the NUL */

/* ---- credit and queues ---- */
#define TD_PUBLISH_EVENTS 65536u        /* credit of a publisher: one message's most */
#define TD_PUBLISH_BYTES (8u << 20)     /* several full bodies: no stall per trip */
#define TD_WINDOW_EVENTS 32768u         /* client: default credit of a subscription */
#define TD_WINDOW_MS 250                /* of a durable group by default: what its
                                           handler does in it, so that others get
                                           the rest … */
#define TD_WINDOW_EVENTS_MIN 16u        /* … at least, for the way there and
                                           back; more with many workers */
#define TD_WINDOW_BYTES (4u << 20)      /* at least one TD_BODY_BYTES_MAX */
#define TD_QUEUE_EVENTS 65536u          /* broker: default queue of a subscription */
#define TD_QUEUE_BYTES (32u << 20)
#define TD_QUEUE_EVENTS_MAX (1u << 20)
#define TD_QUEUE_BYTES_MAX (1u << 30)
#define TD_MEMORY_BYTES (512u << 20)    /* --memory-max: all queues, requests */
#define TD_SESSION_BYTES (256u << 20)   /* --session-memory-max: half of it */
#define TD_PATTERNS_BYTES_MAX (128u << 10) /* of a session's subscriptions */
#define TD_SEQUENCE_MAX (UINT64_C(1) << 62) /* that a publisher may begin at: as
                                               many can follow */
#define TD_UNCONFIRMED_EVENTS 262144u   /* client: kept until taken */
#define TD_UNCONFIRMED_BYTES (32u << 20)
#define TD_MESSAGES_OUT_MAX 256u        /* DELIVER unanswered by one session */
#define TD_SNDHWM 1024                  /* messages; 4 x TD_MESSAGES_OUT_MAX, rest is control */
#define TD_SUBSCRIPTIONS_MAX 1024u      /* per session */
#define TD_MEMBERS_MAX 1024u            /* of a group: dealing looks at each */
#define TD_BLOCK_MS 2000                /* budget of policy block … */
#define TD_BLOCK_WINDOW_MS 10000        /* … in any window of this length */
#define TD_COPY_BYTES 8192u             /* smaller bodies are copied: libzmq pins 15 kB */

/* ---- time ---- */
#define TD_HEARTBEAT_MS 5000
#define TD_DEAD_MS 15000      /* three heartbeats */
#define TD_PROBE_MS 1000      /* a member that has events and was silent so long
                                 is sent a PING: is its link closed? */
#define TD_LAZY_MS 200        /* TAKEN and CREDIT nobody waits for */
#define TD_GRACE_MS 15000     /* a session away is kept so long (--grace) */
#define TD_GRACE_MS_MAX 3600000
#define TD_ADVISE_MS 1000     /* between advisories of a kind on one queue */
#define TD_ROOM_TELL_MS 60000 /* between two lines that the disk is full */
#define TD_LATE_MS 250        /* a broker called so late was stopped itself */
#define TD_GREETING_MS 3000   /* connect and HELLO to WELCOME */
#define TD_RETRY_MIN_MS 50    /* first reconnect */
#define TD_RETRY_MAX_MS 5000  /* doubled up to this */
#define TD_REQUEST_MS 5000    /* default for subscribe and unsubscribe */
#define TD_PUBLISH_MS 5000    /* default publish_timeout_ms */
#define TD_CLOSE_MS 2000      /* default close_timeout_ms */
#define TD_TIMEOUT_MS_MAX (24 * 3600 * 1000)
#define TD_STOP_MS 4000       /* SIGTERM to exit; 5 s is promised */
#define TD_STOP_INPUT_MS 250  /* of it: what was sent before is surely here */
#define TD_PRODUCER_KEEP_MS 600000 /* how long a lost publisher may stay away */
#define TD_PRODUCERS_MAX 65536u    /* 170 bytes each */

/* ---- streams ---- */
#define TD_STREAM_NAME_BYTES_MAX 64u /* of [A-Za-z0-9_.-], like a group's */
#define TD_STREAM_PATTERNS_MAX 16u   /* of one stream */
#define TD_STREAMS_MAX 1024u
#define TD_DEDUP_MS 120000           /* default window of ids that their publishers
                                        chose … */
#define TD_DEDUP_EVENTS 100000u      /* … and events in it */
#define TD_DEDUP_EVENTS_MAX 1048576u /* of a stream: 56 B each */
#define TD_CONSUMERS_MAX 4096u       /* durable groups of all streams */
#define TD_REPLIES_MAX 65536u        /* that wait for the store, of all sessions: it
                                        may stall */
#define TD_REASON_BYTES_MAX 255u     /* of a nak, term or park */
#define TD_GROUP_ROWS_MAX 150u       /* of group.list, of at most 90 values and
                                        2 KiB: within a control frame */
#define TD_IN_FLIGHT 65536u          /* default max_in_flight of a group, events */
#define TD_IN_FLIGHT_MAX 1048576u
#define TD_ACK_GAP_MAX 1048576u      /* from a group's oldest unsettled event to the
                                        next: 128 KiB of bits */
#define TD_GAP_EVENTS_MAX 1048576u   /* in one gap of a compacted stream: groups
                                        pass over it in bits like those */
#define TD_RETAIN_HOLES_MAX 4096u    /* ranges that were gone before retention came,
                                        until groups have passed them: 64 KiB */
#define TD_ACK_WAIT_MS 30000
#define TD_ACK_WAIT_MS_MAX (24 * 3600 * 1000)
#define TD_MAX_DELIVER 10u
#define TD_MAX_DELIVER_MAX 250u      /* it is kept in a byte */
#define TD_BACKOFF_MS 200
#define TD_BACKOFF_MAX_MS 60000
#define TD_BACKOFF_MS_MAX (24 * 3600 * 1000)
#define TD_PARK_MS 5000u        /* how long a group is parked, if nobody says: as
                                   a circuit breaker waits … */
#define TD_PARK_GROWN_MS 60000u /* … doubled with each probe that ends so, up to
                                   this */
#define TD_PARK_PROBED_MS 100u  /* client: while another handler is called to
                                   see whether it works again */
#define TD_PARK_MS_MAX 3600000u /* that a member may say; an operator pauses */
#define TD_STORE_PENDING_BYTES (64u << 20) /* submitted and not committed: more
                                              holds publishers back */
#define TD_STREAM_TAIL_BYTES (16u << 20) /* newest records of a stream with groups,
                                            kept in memory */
#define TD_STREAM_ENTRIES_MAX 262144u /* of its records known without reading, 40 B
                                         each */
#define TD_STREAM_DEFAULT "events"    /* takes what no other takes */
#define TD_STREAM_MEMORY_BYTES (64u << 20) /* default max_bytes of one in memory */
#define TD_LAST_HASH_BYTES 16u /* of a name: two of one hash are never met */
#define TD_LAST_MAX 1048576u   /* names whose last event a stream knows, 56 B
                                  each */
#define TD_COMPACT_EVENTS_MIN 1024u /* fewer new ones are not worth a pass at
                                       once … */
#define TD_COMPACT_WAIT_MS 60000 /* … but if they make others go wait for more, so
                                    that those of a minute share a pass … */
#define TD_COMPACT_WAIT_BYTES (4u << 20) /* … and a minute for each of these that
                                            the stream holds: 70 kB/s is read */
#define TD_COMPACT_WAIT_MS_MAX (3 * 3600 * 1000) /* … at most: an eighth of … */
#define TD_TOMBSTONE_MS (24 * 3600 * 1000) /* … default tombstone_ms */
#define TD_TOMBSTONE_MS_MAX 3153600000000u /* a century is for ever */
/* Of one read of a stream: what is routed in one turn, which live events that
 * come meanwhile wait for; more makes a replay faster and their p99 worse. */
#define TD_READ_BYTES (1u << 18)
#define TD_FEED_BYTES (2 * TD_READ_BYTES) /* read for a group, not delivered:
                                             one is dealt, one is read */
#define TD_PRODUCER_STORED_KEEP_MS (24 * 3600 * 1000) /* a stored producer */
#define TD_HOLES_MAX 8u /* ranges of its sequences that were refused: 16 B each,
                           written with each of its commits */
#define TD_NAMED_PRODUCERS_MAX 4096u /* remembered until deleted: 2.3 KiB */
/* Of a deleted name: a higher one was made up, and is not counted on from. */
#define TD_TERM_GONE_MAX (UINT64_C(1) << 32)
#define TD_FENCED_PEERS 64u  /* remembered, so that what is on its way from them
                                is told from nonsense; 264 B each */
#define TD_NAMED_HASHES 128u /* of the last events of a named producer: as many
                                as a publisher may have unconfirmed, and try
                                again after a crash, by and large */
#define TD_SETTLE_ROWS_MAX 1024u  /* of a SETTLE: 306 bytes each at most */
#define TD_PROGRESS_MS 10000      /* at most; a third of the default ack_wait */
#define TD_PROGRESS_PART 3u       /* of ack_wait: two may be late, or lost */
#define TD_DLQ_ROWS_MAX 100u             /* of dlq.list */

#define TD_SCHEDULED_MAX 1048576u /* events that wait for their time, 40 B each in
                                     memory */
#define TD_SCHEDULE_NAME "$schedule" /* what confirms them: no stream's name */
#define TD_SCHEDULE_ROWS_MAX 100u    /* of schedule.list */
#define TD_SCHEDULE_LOOK_MS 1000     /* at the wall's clock, which may be set */
#define TD_DUE_MS_MAX 253402300799999 /* Unix: the end of the year 9999 */

/* ---- requests and services ---- */
#define TD_REQUESTS_MAX 65536u /* unanswered by one caller: slots of 40 B */
#define TD_REQUESTS_BYTES (8u << 20) /* client: of those, not sent yet, or kept
                                        to be sent again */
#define TD_RESPONSES_BYTES (32u << 20) /* client: of answers that callbacks have
                                          not heard: 32 of the largest */
#define TD_TASKS_MAX 262144u        /* in flight at the broker, 104 B each; one
                                       session has no more than are free */
#define TD_ROWS_MAX 1024u           /* of a REQUEST, HANDLE, ANSWER, RESPONSE */
#define TD_BUNDLE_ROWS 512u         /* we send fewer: TD_SCAN_NODES_MAX */
#define TD_BUNDLE_BYTES (32u << 20) /* that wait for one session: what it does not
                                       read is not kept without end */
#define TD_BUNDLES_OUT_BYTES (8u << 20) /* sent to one session and not read:
                                           several full bodies, as a publisher's */
#define TD_BUNDLES_OUT_BYTES_MIN (256u << 10) /* … where all have their part: some
                                                 go on still */
#define TD_BUNDLES_SEEN_BYTES (1u << 20) /* client: then CREDIT is due at once */
#define TD_BUNDLES_PART 4u          /* of --memory-max, those of all sessions */
#define TD_REQUEST_TIMEOUT_MS 5000  /* default */
#define TD_REQUEST_KEY_BYTES_MAX 255u /* what is longer is cut */
#define TD_REQUEST_ATTEMPTS 3u      /* default, of one that is idempotent */
#define TD_REQUEST_ATTEMPTS_MAX 10u
#define TD_REQUEST_RETRY_MS 20      /* before the second attempt … */
#define TD_REQUEST_RETRY_MAX_MS 1000 /* … doubled up to this */
#define TD_REQUEST_RETRY_PERCENT 10u /* of a bus's requests are retries: more would
                                        hit a service that is down … */
#define TD_REQUEST_RETRIES 10u /* … and so many at once */
#define TD_MANY_SLACK_MS 25 /* the broker says who is late before the caller
                               stops to wait */
#define TD_ASK_MS 250               /* an instance that has requests and was silent so
                                       long is sent a PING: is its link closed? */
#define TD_SERVICE_BYTES_MAX 64u /* a service's name, an endpoint's */
#define TD_VERSION_BYTES_MAX 64u
#define TD_INSTANCE_BYTES_MAX 32u     /* its id */
#define TD_DESCRIPTION_BYTES_MAX 255u
#define TD_METADATA_MAX 32u           /* pairs */
#define TD_METADATA_BYTES_MAX 4096u   /* encoded */
#define TD_HEALTH_TEXT_BYTES_MAX 255u
#define TD_ANSWER_TEXT_BYTES_MAX 255u
#define TD_SERVICES_MAX 64u           /* of one session */
#define TD_ENDPOINTS_MAX 64u          /* of one service */
#define TD_SESSION_ENDPOINTS_MAX 1024u /* as subscriptions … */
#define TD_ENDPOINTS_ALL_MAX 65536u    /* … and of all sessions, 4 KiB each with
                                          their patterns at the longest */
#define TD_REQUEST_SETS_MAX 64u        /* groups and patterns that one request is
                                          looked up in, the oldest: what it costs is
                                          bounded, and so are its copies */
#define TD_SERVICE_NAMES_MAX 1024u
#define TD_WEIGHTS_MAX 64u            /* versions of a service that have one */
#define TD_INSTANCES_MAX 4096u        /* of all services: 6 KiB each at most, but
                                         for their endpoints */
#define TD_TASKS_OUT 4096u            /* default max_in_flight of an endpoint */
#define TD_TASKS_OUT_MAX 65536u
#define TD_TASKS_BYTES (64u << 20) /* client: of messages with requests of one service
                                      that no handler has returned from; 50 of
                                      the largest */
#define TD_HEALTH_MS 1000             /* default, between two words of an instance */
#define TD_HEALTH_MS_MIN 100          /* more often is only load */
#define TD_HEALTH_MISSED 3            /* then it is down */
#define TD_STATUS_MAX 999u            /* of an error: as HTTP's */
#define TD_STATUS_FAILED 500u         /* from here on the service failed */
#define TD_STATUS_UNAVAILABLE 503u    /* it may be tried elsewhere */
#define TD_SERVICE_ROWS_MAX 250u      /* of service.list … */
#define TD_SERVICE_DETAILS_MAX 50u    /* … of service.info and service.stats */

/* ---- breakers ---- */
#define TD_BREAKER_FAILURES 5u /* in a row: one or two are a lost link */
#define TD_BREAKER_RATE_PERCENT 50u
#define TD_BREAKER_PARTS 10u /* of the window: what goes at once */
#define TD_BREAKER_WINDOW_MS 10000u
#define TD_BREAKER_WINDOW_MIN 20u /* calls: below it a rate is chance */
#define TD_BREAKER_RECOVERY_MS 5000u
#define TD_BREAKER_RECOVERY_MAX_MS 60000u
#define TD_BREAKER_PROBES 1u
#define TD_BREAKER_SUCCESSES 2u    /* one may be luck */
#define TD_BREAKER_COUNT_MAX 1000000u /* of failures, and of results */
#define TD_BREAKER_PATIENCE_MS 1000 /* a caller who waited less says nothing of
                                       the instance … */
#define TD_BREAKER_PATIENCE 4u        /* … nor one who waited less than so often
                                         what its answers take, in the mean */
#define TD_BREAKER_PROBE_MS 30000u /* longer than most calls may take */

#define TD_BREAKER_UNTOLD_MAX 16u /* changes that wait to be told */
#define TD_BREAKERS_SHOWN 64u     /* of one bus, in an answer to a ping */

/* ---- bulkheads and retries, in one process ---- */
#define TD_BULKHEAD_RUNNING 16u
#define TD_BULKHEAD_WAITING 64u
#define TD_BULKHEAD_MAX 65536u
#define TD_TRIES 3u
#define TD_TRIES_MAX 100u
#define TD_TRY_BACKOFF_MS 100u
#define TD_TRY_BACKOFF_MAX_MS 10000u
#define TD_BUDGET_PERCENT 10u /* of what is tried is tried again … */
#define TD_BUDGET_BURST 10u   /* … and so much at once */
#define TD_BUDGET_BURST_MAX 10000u

/* ---- balancing ---- */
#define TD_COST_DECAY_US 10000000 /* a latency counts 1/e after so long, as in
                                     Finagle … */
#define TD_COST_HALF_US (TD_COST_DECAY_US / 1000 * 693) /* … and half: ln 2 */

/* ---- the store ---- */
#define TD_STORE_FORMAT 3u           /* of the folder */
#define TD_STORE_KEY_BYTES_MAX 500u  /* LMDB takes 511 */
#define TD_STORE_RESERVE (16u << 20) /* bytes kept for a full disk */
#define TD_STORE_SMALL_BYTES 4096u   /* a transaction for the last half of it */
#define TD_STORE_GROUP_BYTES (4u << 20) /* of a group commit: more is slower */
#define TD_STORE_LOG_BYTES (2u << 20) /* of the log; blocks of 4,096 */
#define TD_STORE_LOG_COMMIT_BYTES (256u << 10) /* of a group commit in it: an
                                                  eighth of it at most */
#define TD_STORE_LOG_OPS 1024u  /* in it: LMDB takes them in about 1 ms */
#define TD_STORE_LOG_IDLE_MS 50 /* then LMDB takes what is in it */
#define TD_STORE_CHECK_MS 50         /* of a restart; 200 are promised */
#define TD_STORE_WHY_BYTES 256u      /* of an error's text */

/* ---- tables ---- */
#define TD_TYPES_CACHED_MAX 131072u /* match cache and counters, 200 B each; the
                                       oldest goes */
#define TD_ROUTES_ENTRIES_MAX 1048576u /* of all cached matches, 8 B each */
#define TD_SESSIONS_MAX 16384u
#define TD_SUBSCRIPTIONS_ALL_MAX 262144u /* 16 for each session, 1 KiB each */
#define TD_TRIE_BYTES_MAX (128u << 20)   /* tokens of patterns: 512 B for each */
#define TD_GUARD_RESERVE 64u /* descriptors kept back for the broker's own files */
#define TD_GUARD_TELL_S 60   /* between two lines of the log about them */
#define TD_STATS_ROWS_MAX 250u /* of 43 values: within TD_SCAN_NODES_MAX */
#define TD_SEEN_MAX 4096u      /* producers remembered by a subscription */
#define TD_WORKERS_MAX 64u         /* handler threads of a subscription */
#define TD_NOTICES_MAX 1024u       /* news kept for a program that does not look */
#define TD_BUSES_MAX 1024u         /* open at once in one process */

/* ---- outbox and inbox ---- */
#define TD_OUTBOX_WINDOW_ROWS 4096u /* read at once: so far rows may pass those
                                       that a full stream holds back */
#define TD_OUTBOX_WINDOW_BYTES (4u << 20) /* of their data, about */
#define TD_OUTBOX_LIST_BYTES (512u << 10) /* published at once: an atomic list is
                                             at most TD_DATA_BYTES_MAX encoded */
#define TD_OUTBOX_ROW_BYTES 256u /* taken for what is not data or attribute */
#define TD_OUTBOX_TYPES 4096u    /* whose streams are remembered */
#define TD_OUTBOX_PAUSE_MS_MIN 50 /* before what failed is tried again, … */
#define TD_OUTBOX_PAUSE_MS_MAX 5000 /* … doubled up to this */
#define TD_OUTBOX_HELD_MS 500 /* between two looks for other rows meanwhile */
#define TD_OUTBOX_FENCED_MS_MIN 1000 /* … after another relay took the name: it
                                        is to come to something meanwhile … */
#define TD_OUTBOX_FENCED_MS_MAX 60000
#define TD_OUTBOX_STANDBY_MS 1000 /* between two tries to take over */
#define TD_OUTBOX_COUNT_MS 1000 /* between two counts of what waits */
#define TD_OUTBOX_POLL_MS_MIN 10
#define TD_OUTBOX_GREET_MS 2000 /* for the broker, before it is told that there
                                   is none */
#define TD_OUTBOX_SILENT_MS 1000 /* … and for a confirm */
#define TD_OUTBOX_END_MS 2000 /* for what is on its way at the end */
#define TD_OUTBOX_BUSY_MS 2000 /* for a database that others write to */
#define TD_OUTBOX_SERVER_MS 10000 /* for the answer of a database server */
#define TD_OUTBOX_REASON_BYTES 512u /* of why a row was refused */
#define TD_INBOX_BUSY_MS 5000 /* default of a handler with a database */
#define TD_INBOX_KEEP_MS 2592000000 /* default: 30 days */
#define TD_INBOX_PRUNE_ROWS 2u /* with each event: more than come */
#define TD_INBOX_AGAIN_MS 5 /* before another try after a conflict of locks */
#define TD_INBOX_PAUSE_MS 200  /* before an event is given back because the
                                  database is out of reach: it comes at once */

#endif
