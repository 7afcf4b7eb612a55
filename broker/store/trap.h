/* Faults of the memory map, as errors: a file cut short, or a page whose
 * numbers lead astray, raises a signal in the thread that reads it, or an
 * assertion of LMDB's.
 *
 *    if (sigsetjmp(*td_trap_set(), 0)) { ... it faulted ... }
 *    ... reads of the map, and nothing that must be undone ...
 *    td_trap_clear();
 *
 * A fault jumps once, and the trap is clear then. Signals jump only once
 * td_trap_install() was called; what is not ours goes on to whoever handled it
 * before. */
#ifndef TD_STORE_TRAP_H
#define TD_STORE_TRAP_H

#include <setjmp.h>
#include <stdbool.h>

/* Handles SIGBUS, SIGSEGV and SIGFPE in the process, from now on. */
bool td_trap_install(void);

/* Of the calling thread. */
sigjmp_buf *td_trap_set(void);
void td_trap_clear(void);

/* Jumps if the calling thread's trap is set. */
void td_trap_spring(void);

#endif
