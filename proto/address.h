/* Addresses of brokers: tcp://HOST:PORT and ipc:///PATH. libzmq takes what
 * comes close (port "7450x" is 7450 to it), so they are checked before. */
#ifndef TD_ADDRESS_H
#define TD_ADDRESS_H

#include <stdbool.h>

/* NULL if the URL is one; else a text that says what is expected. listening
 * allows the port "*": any that is free. */
const char *td_address_check(const char *url, bool listening);

#endif
