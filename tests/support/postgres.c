#include "tests/support/postgres.h"

#include <glob.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define START_MS 60000 /* under a sanitizer's neighbours */

/* The folder of the server's programs, the newest; false: there is none. */
static bool find_programs(char *out, size_t size)
{
    glob_t found;
    bool any = false;

    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0 &&
        found.gl_pathc > 0) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];

        snprintf(out, size, "%.*s", (int)(strlen(path) - strlen("/initdb")),
                 path);
        any = true;
    }
    globfree(&found);
    return any;
}

bool td_postgres_installed(void)
{
    char bin[128];

    return find_programs(bin, sizeof(bin));
}

/* It refuses to run as root: then it is somebody else who may do nothing. The
 * signal for the end of its parent is lost with the change of user. */
static const struct passwd *other_user(void)
{
    const struct passwd *user = getpwnam("postgres");

    return geteuid() != 0 ? NULL : user ? user : getpwnam("nobody");
}

static bool start(struct td_proc *p, const char *program,
                  const char *const *args)
{
    const struct passwd *user = other_user();
    const char *argv[24];
    char bin[128];
    char path[192];
    char uid[40];
    char gid[40];
    size_t n = 0;

    if (!find_programs(bin, sizeof(bin)))
        return false;
    snprintf(path, sizeof(path), "%s/%s", bin, program);
    if (user) {
        snprintf(uid, sizeof(uid), "--reuid=%u", (unsigned)user->pw_uid);
        snprintf(gid, sizeof(gid), "--regid=%u", (unsigned)user->pw_gid);
        argv[n++] = "/usr/bin/setpriv";
        argv[n++] = uid;
        argv[n++] = gid;
        argv[n++] = "--clear-groups";
        argv[n++] = "--pdeathsig=QUIT";
    }
    argv[n++] = path;
    while (*args)
        argv[n++] = *args++;
    argv[n] = NULL;
    return td_proc_start(p, argv);
}

static bool fail(struct td_postgres *p, const char *what, struct td_proc *proc)
{
    snprintf(p->error, sizeof(p->error), "%s: %.200s", what,
             td_proc_errors(proc));
    return false;
}

static bool init(struct td_postgres *p)
{
    char data[TD_FOLDER_PATH_MAX + 8];
    const char *args[] = {"--no-sync",
                          "--auth=trust",
                          "--encoding=UTF8",
                          "--no-locale",
                          "--username=test",
                          "--pgdata",
                          data,
                          NULL};
    struct td_proc proc = {.started = false};
    const struct passwd *user = other_user();
    bool ok;

    snprintf(data, sizeof(data), "%s/data", p->folder.path);
    if (user && chown(p->folder.path, user->pw_uid, user->pw_gid) != 0)
        return fail(p, "chown", &proc);
    ok = start(&proc, "initdb", args) && td_proc_wait(&proc, START_MS) &&
         td_proc_exit_code(&proc) == 0;
    if (!ok)
        fail(p, "initdb", &proc);
    td_proc_end(&proc);
    return ok;
}

static bool answers(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool ok;

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    ok = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
    close(fd);
    return ok;
}

/* It listens before it has recovered; then it says that it is starting, and
 * clients try again. */
static bool serve(struct td_postgres *p)
{
    char data[TD_FOLDER_PATH_MAX + 8];
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    const char *args[] = {"-D", data,
                          "-k", p->folder.path,
                          "-c", "listen_addresses=",
                          "-c", "fsync=off",
                          "-c", "max_connections=20",
                          "-c", "shared_buffers=16MB",
                          "-c", "log_min_messages=fatal",
                          NULL};
    int64_t until = td_proc_now_ms() + START_MS;

    snprintf(data, sizeof(data), "%s/data", p->folder.path);
    snprintf(path, sizeof(path), "%.90s/.s.PGSQL.5432", p->folder.path);
    if (!start(&p->server, "postgres", args))
        return fail(p, "postgres", &p->server);
    while (!answers(path)) {
        if (td_proc_wait(&p->server, 10) || td_proc_now_ms() > until)
            return fail(p, "postgres", &p->server);
    }
    return true;
}

bool td_postgres_start(struct td_postgres *p)
{
    if (!td_folder_new(&p->folder))
        return false;
    snprintf(p->conninfo, sizeof(p->conninfo),
             "host=%s user=test dbname=postgres connect_timeout=10",
             p->folder.path);
    return init(p) && serve(p);
}

bool td_postgres_crash(struct td_postgres *p)
{
    td_proc_signal(&p->server, SIGQUIT); /* without a checkpoint */
    if (!td_proc_wait(&p->server, START_MS))
        return fail(p, "postgres does not end", &p->server);
    td_proc_end(&p->server);
    return serve(p);
}

void td_postgres_end(struct td_postgres *p)
{
    const char *argv[] = {"/bin/rm", "-rf", p->folder.path, NULL};
    struct td_proc proc = {.started = false};

    td_proc_signal(&p->server, SIGQUIT);
    td_proc_wait(&p->server, START_MS);
    td_proc_end(&p->server);
    if (p->folder.path[0] && td_proc_start(&proc, argv))
        td_proc_wait(&proc, START_MS);
    td_proc_end(&proc);
    p->folder.path[0] = '\0';
}
