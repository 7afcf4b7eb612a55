#include "tests/system/python.h"

#include "tests/system/system.h"

/* Debian's own: another python3 in the path lacks its packages. */
#define PYTHON "/usr/bin/python3"

void python_start(struct td_proc *p, const char *script,
                  const char *const *args)
{
    char path[1024];
    const char *argv[16] = {PYTHON, "-B", path}; /* -B: writes no cache */
    size_t n = 3;

    snprintf(path, sizeof(path), "%s/tests/system/%s", TD_SOURCE_DIR, script);
    while (args && *args && n < 15)
        argv[n++] = *args++;
    argv[n] = NULL;
    assert_true(td_proc_start(p, argv));
}

bool python_is_there(void)
{
    const char *argv[] = {PYTHON, "-c", "import zmq, msgpack", NULL};
    struct td_proc p = {0};
    bool there = td_proc_start(&p, argv) && td_proc_wait(&p, SYS_WAIT_MS) &&
                 td_proc_exit_code(&p) == 0;

    if (!there)
        printf("skipped: needs python3-zmq and python3-msgpack: %s\n",
               td_proc_errors(&p));
    td_proc_end(&p);
    return there;
}
