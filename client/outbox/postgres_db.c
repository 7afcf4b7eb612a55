#include "client/outbox/postgres_db.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "client/outbox/encode.h"

#define BYTEA 17 /* its Oid, catalog/pg_type.dat */
#define INT8  20

tidings_err td_postgres_say(tidings_err err, const char *text)
{
    char line[1024]; /* more than a detail has, which is cut with care */
    size_t len = strcspn(text, "\n");

    snprintf(line, sizeof(line), "%.*s",
             (int)(len < sizeof(line) ? len : sizeof(line) - 1), text);
    tidings_set_detail(line);
    return err;
}

/* ---- codes ---- */

static const struct {
    const char *state; /* of SQL, its beginning */
    tidings_err err;
} states[] = {
    {"40001", TIDINGS_ETIMEDOUT}, /* serialization_failure */
    {"40P01", TIDINGS_ETIMEDOUT}, /* deadlock_detected */
    {"55P03", TIDINGS_ETIMEDOUT}, /* lock_not_available */
    {"42P01", TIDINGS_ENOTFOUND}, /* undefined_table */
    {"42883", TIDINGS_ENOTFOUND}, /* undefined_function */
};

tidings_err tidings_postgres_err(PGconn *db, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    const char *state;
    const char *text;

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
        status == PGRES_SINGLE_TUPLE)
        return TIDINGS_OK;
    state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    text = text ? text : PQerrorMessage(db);
    for (size_t i = 0; state && i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(state, states[i].state) == 0)
            return td_postgres_say(states[i].err, text);
    }
    return td_postgres_say(TIDINGS_EIO,
                           *text ? text : "the connection is lost");
}

/* ---- parameters ---- */

static int add(struct td_params *p, Oid type, const char *value, size_t len,
               int format)
{
    int i = p->len++;

    p->type[i] = type;
    p->value[i] = value;
    p->length[i] = (int)len; /* of an event's parts: a MiB */
    p->format[i] = format;
    return i;
}

void td_param_bytes(struct td_params *p, const void *data, size_t len)
{
    add(p, BYTEA, len > 0 ? data : "", len, 1);
}

void td_param_text(struct td_params *p, const char *text)
{
    add(p, BYTEA, text, text ? strlen(text) : 0, 1);
}

void td_param_int(struct td_params *p, int64_t n)
{
    int i = add(p, INT8, NULL, 0, 0);

    snprintf(p->number[i], sizeof(p->number[i]), "%lld", (long long)n);
    p->value[i] = p->number[i];
}

void td_param_notation(struct td_params *p, const char *text)
{
    add(p, 0, text, 0, 0);
}

/* ---- running ---- */

static const struct td_params none;

tidings_err td_postgres_run(PGresult **out, PGconn *db, const char *sql,
                            const struct td_params *params)
{
    const struct td_params *p = params ? params : &none;
    PGresult *r = PQexecParams(db, sql, p->len, p->type, p->value, p->length,
                               p->format, 1);
    tidings_err err = tidings_postgres_err(db, r);

    if (err || !out)
        PQclear(r);
    else
        *out = r;
    return err;
}

/* Waits for the socket; false: the time is over. */
static bool await_socket(PGconn *db, short events, int64_t until_us)
{
    struct pollfd ready = {.fd = PQsocket(db), .events = events};
    int64_t left_us = until_us - td_unix_now_us();

    return ready.fd >= 0 && left_us > 0 &&
           poll(&ready, 1, (int)(left_us / 1000) + 1) != 0;
}

tidings_err td_postgres_run_until(PGresult **out, PGconn *db, const char *sql,
                                  const struct td_params *params,
                                  int64_t until_us)
{
    const struct td_params *p = params ? params : &none;
    PGresult *r;
    PGresult *last = NULL;
    tidings_err err;

    if (!PQsendQueryParams(db, sql, p->len, p->type, p->value, p->length,
                           p->format, 1))
        return tidings_postgres_err(db, NULL);
    for (;;) {
        while (PQisBusy(db)) {
            if (!await_socket(db, POLLIN, until_us)) {
                PQclear(last);
                return td_postgres_say(TIDINGS_EIO,
                                       "the database does not answer");
            }
            if (!PQconsumeInput(db)) {
                PQclear(last);
                return tidings_postgres_err(db, NULL);
            }
        }
        r = PQgetResult(db);
        if (!r)
            break;
        PQclear(last);
        last = r;
    }
    err = tidings_postgres_err(db, last);
    if (err || !out)
        PQclear(last);
    else
        *out = last;
    return err;
}

tidings_err td_postgres_await(PGconn *db, bool reset, int64_t until_us)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (PQstatus(db) != CONNECTION_BAD) {
        if (!await_socket(db, state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                          until_us))
            return td_postgres_say(TIDINGS_EIO, "the database does not answer");
        state = reset ? PQresetPoll(db) : PQconnectPoll(db);
        if (state == PGRES_POLLING_OK)
            return TIDINGS_OK;
        if (state == PGRES_POLLING_FAILED)
            break;
    }
    return tidings_postgres_err(db, NULL);
}

int64_t td_result_int(const PGresult *r, int row, int column)
{
    const unsigned char *p = (const unsigned char *)PQgetvalue(r, row, column);
    uint64_t n = 0;

    for (int i = 0; i < PQgetlength(r, row, column); i++)
        n = n << 8 | p[i];
    return (int64_t)n;
}
