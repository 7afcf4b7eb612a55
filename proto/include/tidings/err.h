/* The error map: what every function of tidings returns, and what travels in
 * REPLY and BYE (PROTOCOL.md 8). Values are append only. */
#ifndef TIDINGS_ERR_H
#define TIDINGS_ERR_H

#if defined(__GNUC__)
#define TIDINGS_API __attribute__((visibility("default")))
#else
#define TIDINGS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* code, wire value, text. Conditions a caller handles; ENOMEM, EIO and EPROTO
 * are faults that travel up unchanged. */
#define TIDINGS_ERR_MAP(X)                                                     \
    X(OK, 0, "success")                                                        \
    X(ENOMEM, 1, "out of memory")                                              \
    X(EINVAL, 2, "argument outside its documented bounds")                     \
    X(EFULL, 3, "queue is full; try again later")                              \
    X(ECLOSED, 4, "handle is closed")                                          \
    X(EPROTO, 5, "peer broke the protocol")                                    \
    X(ETIMEDOUT, 6, "deadline passed before it was done")                      \
    X(ENOTFOUND, 7, "no such thing")                                           \
    X(EUNREACH, 8, "no broker answers")                                        \
    X(EIO, 9, "operating system refused")                                      \
    X(EDEADLK, 10, "would wait for itself; call it outside the handler")       \
    X(EFORKED, 11, "handle belongs to the parent process; open a new one")     \
    X(EVERSION, 12, "no protocol version in common")                           \
    X(ELIMIT, 13, "a documented limit is reached")                             \
    X(EEXIST, 14, "already there")                                             \
    X(ENOTSUP, 15, "not supported here")                                       \
    X(ESHUTDOWN, 16, "broker is stopping")                                     \
    X(EHANDLER, 17, "handler failed")                                          \
    X(ENOSTREAM, 18, "no stream takes this type")                              \
    X(ECONFLICT, 19, "in conflict with what is stored")                        \
    X(ELATER, 20, "handler settles it later")                                  \
    X(ERELEASE, 21, "handler gave it back")                                    \
    X(ETERM, 22, "handler wants it never again")                               \
    X(EFENCED, 23, "another process has taken this producer's name")           \
    X(ENORESPONDER, 24, "nobody answers requests of this type")                \
    X(EREMOTE, 25, "the service answered with an error")                       \
    X(ELOST, 26, "whoever had the request was lost; it may have been done")    \
    X(EBREAKER, 27, "circuit breaker is open; try again later")

typedef enum tidings_err {
#define TIDINGS_ERR_ENUM(name, value, text) TIDINGS_##name = value,
    TIDINGS_ERR_MAP(TIDINGS_ERR_ENUM)
#undef TIDINGS_ERR_ENUM
} tidings_err;

/** Text of a code, never NULL; "unknown error" for a value not in the map. */
TIDINGS_API const char *tidings_err_text(tidings_err err);

/** Name of a code, "EFULL"; "E?" for a value not in the map. */
TIDINGS_API const char *tidings_err_name(tidings_err err);

#ifdef __cplusplus
}
#endif
#endif
