#include "client/cli/out.h"

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/escape.h"
#include "client/cli/progress.h"

#define LINE_BYTES 1024

static void put_line(const char *before, const char *format, va_list args)
{
    char text[LINE_BYTES];

    vsnprintf(text, sizeof(text), format, args);
    flockfile(stderr); /* threads of the library complain, too */
    td_progress_wipe();
    fputs(before, stderr);
    td_put_escaped(stderr, text, strlen(text));
    fputc('\n', stderr);
    funlockfile(stderr);
}

void td_complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_line("tidings: ", format, args);
    va_end(args);
}

void td_advise(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_line("  ", format, args);
    va_end(args);
}

const char *td_why(tidings_err err)
{
    const char *detail = tidings_detail();

    return *detail ? detail : tidings_err_text(err);
}

int td_complain_err(tidings_err err, const char *what)
{
    td_complain("%s: %s", what, td_why(err));
    switch (err) {
    case TIDINGS_EUNREACH:
        return TD_EXIT_NO_BROKER;
    case TIDINGS_ETIMEDOUT:
    case TIDINGS_EFULL:
        return TD_EXIT_TIMED_OUT;
    default:
        return TD_EXIT_FAILED;
    }
}

bool td_is_terminal(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

bool td_paints(FILE *stream)
{
    const char *term = getenv("TERM");

    return td_is_terminal(stream) && term && strcmp(term, "dumb") != 0;
}

bool td_wants_colour(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR");

    return td_paints(stream) && !(no_colour && *no_colour);
}

size_t td_terminal_lines(FILE *stream)
{
    struct winsize size;

    if (ioctl(fileno(stream), TIOCGWINSZ, &size) || size.ws_row == 0)
        return 24;
    return size.ws_row;
}

bool td_reader_gone(void)
{
    struct pollfd fd = {.fd = STDOUT_FILENO};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR);
}

int td_flush_out(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return TD_EXIT_DONE;
    if (td_reader_gone())
        return TD_EXIT_DONE; /* `| head` has seen enough */
    td_complain("the output could not be written");
    return TD_EXIT_FAILED;
}

bool td_out_open(void)
{
    return !ferror(stdout) && !td_reader_gone();
}
