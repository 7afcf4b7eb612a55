#include "tests/unit/cli_fixture.h"

#include <unistd.h>

static FILE *kept_said;
static int kept_stderr;

int stand_in(int fd, int other)
{
    int kept = dup(fd);

    assert_true(kept >= 0 && other >= 0);
    assert_true(dup2(other, fd) == fd);
    close(other);
    return kept;
}

void stand_back(int fd, int kept)
{
    dup2(kept, fd);
    close(kept);
}

void said_begin(void)
{
    kept_said = tmpfile();
    assert_non_null(kept_said);
    fflush(stderr);
    kept_stderr = stand_in(STDERR_FILENO, dup(fileno(kept_said)));
}

const char *said_end(void)
{
    static char text[SAID_MAX];
    size_t len;

    fflush(stderr);
    stand_back(STDERR_FILENO, kept_stderr);
    rewind(kept_said);
    len = fread(text, 1, sizeof(text) - 1, kept_said);
    text[len] = '\0';
    fclose(kept_said);
    return text;
}
