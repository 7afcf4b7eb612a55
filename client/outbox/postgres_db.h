/* What the files of libtidings_postgres share: statements, with every value
 * bound, and what PostgreSQL's codes mean. */
#ifndef OUTBOX_POSTGRES_DB_H
#define OUTBOX_POSTGRES_DB_H

#include <libpq-fe.h>

#include "tidings/postgres.h"

#define TD_POSTGRES_VERSION 1 /* of the tables */
#define TD_POSTGRES_PARAMS  8

tidings_err td_postgres_say(tidings_err err, const char *text);

/* The parameters of a statement, in their order; what they point to is
 * borrowed. Texts travel as bytes, convert_from($1, 'UTF8') in the statement:
 * so a connection may have any client_encoding. */
struct td_params {
    int len;
    Oid type[TD_POSTGRES_PARAMS];
    const char *value[TD_POSTGRES_PARAMS];
    int length[TD_POSTGRES_PARAMS];
    int format[TD_POSTGRES_PARAMS];
    char number[TD_POSTGRES_PARAMS][24];
};

void td_param_bytes(struct td_params *p, const void *data, size_t len);
void td_param_text(struct td_params *p, const char *text); /* NULL: null */
void td_param_int(struct td_params *p, int64_t n);
/* A value in PostgreSQL's own notation, such as an array. */
void td_param_notation(struct td_params *p, const char *text);

/* Runs it; *out, NULL: not wanted, is cleared by the caller, and in binary.
 * params NULL: there are none. */
tidings_err td_postgres_run(PGresult **out, PGconn *db, const char *sql,
                            const struct td_params *params);

/* On a clock that nobody sets. */
int64_t td_postgres_now_us(void);

struct td_deadline {
    int64_t until_us;
    const _Atomic int64_t *end_us; /* another thread may set an earlier one; 0:
                                      it did not. NULL: none does */
};

/* The same with a deadline: if it passes the connection is cut. */
tidings_err td_postgres_run_until(PGresult **out, PGconn *db, const char *sql,
                                  const struct td_params *params,
                                  struct td_deadline deadline);

/* A connection that is being made, or made anew (reset), until it stands. */
tidings_err td_postgres_await(PGconn *db, bool reset,
                              struct td_deadline deadline);

/* An integer of a binary result; 0 where it is null. */
int64_t td_result_int(const PGresult *r, int row, int column);

#endif
