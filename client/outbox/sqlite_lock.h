/* Which relay has the outbox of a SQLite file: a lock on a file beside it. */
#ifndef OUTBOX_SQLITE_LOCK_H
#define OUTBOX_SQLITE_LOCK_H

#include "tidings/outbox.h"

/* *fd is open then, and holds it until it is closed; the file stays, since
 * another may be waiting for it. TIDINGS_EEXIST: another relay has it. */
tidings_err td_sqlite_lock(int *fd, const char *path);

#endif
