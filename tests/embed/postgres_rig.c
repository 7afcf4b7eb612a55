#include "tests/embed/postgres_rig.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

struct td_postgres server;

static void silent(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

void run(PGconn *db, const char *sql)
{
    PGresult *r = PQexec(db, sql);

    if (tidings_postgres_err(db, r))
        fail_msg("%s: %s", sql, tidings_detail());
    PQclear(r);
}

long number(PGconn *db, const char *sql)
{
    PGresult *r = PQexec(db, sql);
    long n;

    if (tidings_postgres_err(db, r))
        fail_msg("%s: %s", sql, tidings_detail());
    n = strtol(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return n;
}

/* It listens before it is ready. */
PGconn *connect_db(void)
{
    int64_t until = td_proc_now_ms() + WAIT_MS;
    PGconn *db = PQconnectdb(server.conninfo);

    while (PQstatus(db) != CONNECTION_OK && td_proc_now_ms() < until) {
        poll(NULL, 0, 10);
        PQreset(db);
    }
    if (PQstatus(db) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(db));
    PQsetNoticeReceiver(db, silent, NULL);
    return db;
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    snprintf(f->url, sizeof(f->url), "inproc://outbox?data=%s", f->folder.path);
    if (tidings_open(&f->bus, f->url, NULL) || tidings_wait(f->bus, WAIT_MS))
        return -1;
    f->db = connect_db();
    run(f->db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    *state = f;
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->pid)
        kill(f->pid, SIGCONT); /* a test that failed left it so */
    tidings_relay_close(f->relay);
    tidings_close(f->bus);
    PQfinish(f->db);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}
