/* An end for tests that hang: what they wait for without a deadline of their
 * own, joins above all, is nobody's fault that a suite could name. A thread
 * looks at the clock; when a test takes too long it says so, shows where every
 * thread of the process is, if gdb is there to ask, and aborts. */
#ifndef TD_WATCHDOG_H
#define TD_WATCHDOG_H

/**
 * From now on the process may run for so long, until this is called again.
 *
 * @param seconds  at least 1; 0: as long as it likes.
 *
 * Threads: one at a time. The first call begins the thread; a child of fork()
 * has none.
 */
void td_watchdog_set(int seconds);

#endif
