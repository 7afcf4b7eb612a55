/* The log of services: in a file that begins anew, on a full disk, and for
 * followers. */
#include "tests/support/td_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/up/log.h"
#include "client/cli/up/text.h"

struct fixture {
    char folder[64];
    int fd;
    struct td_up_log log;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    snprintf(f->folder, sizeof(f->folder), "/tmp/tidings-log-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    f->fd = open(f->folder, O_RDONLY | O_DIRECTORY);
    return td_up_log_open(&f->log, 10) && td_up_log_to_file(&f->log, f->fd)
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_up_log_close(&f->log);
    unlinkat(f->fd, TD_UP_LOG_NAME, 0);
    unlinkat(f->fd, TD_UP_LOG_NAME ".1", 0);
    close(f->fd);
    rmdir(f->folder);
    free(f);
    return 0;
}

static off_t size_of(const struct fixture *f, const char *name)
{
    struct stat st;

    return fstatat(f->fd, name, &st, 0) == 0 ? st.st_size : -1;
}

static void test_log_in_a_file_has_times_and_no_colour(void **state)
{
    struct fixture *f = *state;
    char text[128] = "";
    int fd;

    td_up_log_line(&f->log, "a", 1, '|', "x\ty\033", 4);
    td_up_log_line(&f->log, "longer", 2, '*', "ready", 5);
    assert_true(td_up_log_waits(&f->log));
    td_up_log_finish(&f->log, 1000);
    assert_false(td_up_log_waits(&f->log));
    fd = openat(f->fd, TD_UP_LOG_NAME, O_RDONLY);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[23], 'Z');
    assert_memory_equal(text + 24, " a | x\ty\\u001b\n", 15);
    assert_string_equal(text + 39 + 24, " longer * ready\n");
}

static void test_log_begins_a_new_file_when_one_is_large(void **state)
{
    static char line[TD_UP_LINE_BYTES];
    struct fixture *f = *state;
    unsigned lines = 0;

    memset(line, 'a', sizeof(line));
    while (size_of(f, TD_UP_LOG_NAME ".1") < 0 && lines < 10000) {
        td_up_log_line(&f->log, "a", 1, '|', line, sizeof(line));
        td_up_log_flush(&f->log);
        lines++;
    }
    assert_true(size_of(f, TD_UP_LOG_NAME ".1") >= (off_t)TD_UP_FILE_BYTES);
    assert_true(size_of(f, TD_UP_LOG_NAME ".1") <
                (off_t)(TD_UP_FILE_BYTES + 2 * sizeof(line)));
    td_up_log_line(&f->log, "a", 1, '|', "new", 3);
    td_up_log_flush(&f->log);
    assert_int_equal(size_of(f, TD_UP_LOG_NAME), 25 + 8); /* that one alone */
}

/* A limit of the file's size is as a full disk. */
static void limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_log_says_how_many_lines_a_full_disk_did_not_take(void **state)
{
    struct fixture *f = *state;
    char text[512] = "";
    int fd;

    limit(25 + 8 + 10); /* one line, and the time of the next in part */
    for (int i = 0; i < 3; i++)
        td_up_log_line(&f->log, "a", 1, '|', "one", 3);
    td_up_log_finish(&f->log, 1000);
    td_up_log_line(&f->log, "a", 1, '|', "one", 3);
    td_up_log_finish(&f->log, 1000);
    assert_false(td_up_log_waits(&f->log));
    limit(RLIM_INFINITY);
    td_up_log_line(&f->log, "a", 1, '|', "two", 3);
    td_up_log_finish(&f->log, 1000);
    td_up_log_line(&f->log, "a", 1, '|', "three", 5);
    td_up_log_finish(&f->log, 1000);
    fd = openat(f->fd, TD_UP_LOG_NAME, O_RDONLY);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_memory_equal(text + 24, " a | one\n", 9);
    assert_int_equal(text[33 + 10], '\n'); /* ends the one that was cut */
    assert_memory_equal(text + 44 + 24,
                        " tidings * 3 lines were not written: ", 37);
    assert_non_null(strstr(text, " a | two\n"));
    assert_non_null(strstr(text, " a | three\n"));
}

static void test_log_is_bounded_and_says_when_it_is_full(void **state)
{
    static char line[TD_UP_LINE_BYTES]; /* NULs: six bytes each */
    struct fixture *f = *state;

    assert_true(td_up_log_has_room(&f->log));
    while (td_up_log_line(&f->log, "a", 1, '|', line, sizeof(line)))
        ;
    assert_false(td_up_log_has_room(&f->log));
    assert_true(td_up_log_line(&f->log, "a", 1, '*', line, sizeof(line)));
    td_up_log_finish(&f->log, 1000);
    assert_true(td_up_log_has_room(&f->log));
    assert_true(size_of(f, TD_UP_LOG_NAME) <= (off_t)TD_UP_LOG_BYTES);
    assert_true(size_of(f, TD_UP_LOG_NAME) >= (off_t)TD_UP_LOG_BYTES / 2);
}

static void test_log_tells_followers_what_is_its_own_until_they_go(void **state)
{
    struct fixture *f = *state;
    char text[64] = "";
    int ends[2], late[2];

    assert_int_equal(pipe(ends), 0);
    td_up_log_follow(&f->log, ends[1]);
    td_up_log_line(&f->log, "a", 1, '|', "not this", 8);
    td_up_log_line(&f->log, "a", 1, '*', "but this", 8);
    assert_int_equal(read(ends[0], text, sizeof(text) - 1), 13);
    assert_string_equal(text, "a * but this\n");
    close(ends[0]);
    td_up_log_line(&f->log, "a", 1, '*', "nobody", 6);
    assert_int_equal(f->log.followers_len, 0);

    for (size_t i = 0; i <= TD_UP_FOLLOWERS_MAX; i++) { /* one too many */
        assert_int_equal(pipe(late), 0);
        td_up_log_follow(&f->log, late[1]);
        if (i < TD_UP_FOLLOWERS_MAX)
            close(late[0]);
    }
    assert_int_equal(f->log.followers_len, TD_UP_FOLLOWERS_MAX);
    assert_int_equal(read(late[0], text, 1), 0); /* it was closed */
    close(late[0]);
    td_up_log_forget(&f->log);
    assert_int_equal(f->log.followers_len, 0);
}

#define LOGS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOGS(test_log_in_a_file_has_times_and_no_colour),
        LOGS(test_log_begins_a_new_file_when_one_is_large),
        LOGS(test_log_says_how_many_lines_a_full_disk_did_not_take),
        LOGS(test_log_is_bounded_and_says_when_it_is_full),
        LOGS(test_log_tells_followers_what_is_its_own_until_they_go),
    };

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
