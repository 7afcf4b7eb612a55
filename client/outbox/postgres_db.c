#include "client/outbox/postgres_db.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BYTEA 17 /* its Oid, catalog/pg_type.dat */
#define INT8  20

#define SLICE_US 50000 /* between looks for the end */

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
    {"22", TIDINGS_EINVAL},       /* data exception */
    {"23", TIDINGS_ECONFLICT},    /* integrity constraint violation */
    {"40002", TIDINGS_ECONFLICT}, /* the same, of a transaction */
    {"44", TIDINGS_ECONFLICT},    /* WITH CHECK OPTION violation */
    {"P0", TIDINGS_ECONFLICT},    /* raised by a trigger or function */
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
        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0)
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

int64_t td_postgres_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t left_us(struct td_deadline d)
{
    int64_t end_us = d.end_us ? atomic_load(d.end_us) : 0;
    int64_t until_us = end_us && end_us < d.until_us ? end_us : d.until_us;

    return until_us - td_postgres_now_us();
}

/* Waits for the socket; false: the time is over. */
static bool await_socket(PGconn *db, short events, struct td_deadline d)
{
    struct pollfd ready = {.fd = PQsocket(db), .events = events};
    int64_t wait_us;
    int n = 0;

    while (n == 0 && ready.fd >= 0 && (wait_us = left_us(d)) > 0)
        n = poll(&ready, 1,
                 d.end_us && wait_us > SLICE_US ? SLICE_US / 1000
                                                : (int)(wait_us / 1000) + 1);
    return n != 0;
}

/* Whoever uses it next sees a lost connection, and not an answer to what was
 * asked before. Its end is seen behind what the kernel has received of it. */
static tidings_err cut(PGconn *db)
{
    if (PQsocket(db) >= 0)
        shutdown(PQsocket(db), SHUT_RDWR);
    while (PQstatus(db) == CONNECTION_OK && PQconsumeInput(db))
        continue;
    return td_postgres_say(TIDINGS_EIO, "the database does not answer");
}

/* Sends the rest of a statement while there is some, and reads. */
static tidings_err await_result(PGconn *db, struct td_deadline d)
{
    int unsent = PQflush(db);

    while (unsent > 0 || (unsent == 0 && PQisBusy(db))) {
        if (!await_socket(db, unsent ? POLLIN | POLLOUT : POLLIN, d))
            return cut(db);
        if (!PQconsumeInput(db))
            break;
        unsent = PQflush(db);
    }
    return PQstatus(db) == CONNECTION_OK && unsent == 0
               ? TIDINGS_OK
               : tidings_postgres_err(db, NULL);
}

/* The last result: there is one for each statement, and one that says whether
 * the connection is lost. */
static tidings_err await_last(PGresult **out, PGconn *db, struct td_deadline d)
{
    tidings_err err = await_result(db, d);
    PGresult *r = err ? NULL : PQgetResult(db);

    while (r) {
        PQclear(*out);
        *out = r;
        err = await_result(db, d);
        r = err ? NULL : PQgetResult(db);
    }
    return err ? err : tidings_postgres_err(db, *out);
}

tidings_err td_postgres_run_until(PGresult **out, PGconn *db, const char *sql,
                                  const struct td_params *params,
                                  struct td_deadline d)
{
    const struct td_params *p = params ? params : &none;
    int nonblocking = PQisnonblocking(db);
    PGresult *last = NULL;
    tidings_err err;

    if (PQsetnonblocking(db, 1) == 0 &&
        PQsendQueryParams(db, sql, p->len, p->type, p->value, p->length,
                          p->format, 1))
        err = await_last(&last, db, d);
    else
        err = tidings_postgres_err(db, NULL);
    if (PQstatus(db) == CONNECTION_OK)
        PQsetnonblocking(db, nonblocking);
    if (err || !out)
        PQclear(last);
    else
        *out = last;
    return err;
}

tidings_err td_postgres_await(PGconn *db, bool reset, struct td_deadline d)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (PQstatus(db) != CONNECTION_BAD) {
        if (!await_socket(db, state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                          d))
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
