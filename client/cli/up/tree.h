/* tree.h: the processes below this one, as /proc has them. This process is
 * their subreaper: whoever loses its parent becomes its child. */
#ifndef TD_UP_TREE_H
#define TD_UP_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/** Become the parent of all orphans below. */
bool td_tree_adopt(void);

/** Whether a process is another, or below it. */
bool td_tree_is_below(pid_t pid, pid_t above);

/**
 * Send SIGKILL to all below this process, and to what they start meanwhile.
 *
 * @param label  only to those with the mark of this instance (child.h); NULL:
 *               to all.
 * @return how many there were.
 */
unsigned td_tree_kill(const char *label);

#endif
