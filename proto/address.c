#include "proto/address.h"

#include <string.h>

#define PORT_MAX 65535

static bool is_port(const char *port)
{
    unsigned long n = 0;

    if (!*port || strlen(port) > 5 ||
        strspn(port, "0123456789") != strlen(port))
        return false;
    for (; *port; port++)
        n = n * 10 + (unsigned long)(*port - '0');
    return n >= 1 && n <= PORT_MAX;
}

static const char *check_tcp(const char *rest, bool listening)
{
    const char *colon = strrchr(rest, ':');

    if (!colon || colon == rest)
        return "expected tcp://HOST:PORT";
    if (!is_port(colon + 1) && !(listening && strcmp(colon + 1, "*") == 0))
        return listening ? "the port is not 1 to 65535, or *"
                         : "the port is not 1 to 65535";
    return NULL;
}

const char *td_address_check(const char *url, bool listening)
{
    if (strncmp(url, "tcp://", 6) == 0)
        return check_tcp(url + 6, listening);
    if (strncmp(url, "ipc:///", 7) == 0 && url[7])
        return NULL;
    return "expected tcp://HOST:PORT or ipc:///PATH";
}
