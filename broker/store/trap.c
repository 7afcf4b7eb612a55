#include "broker/store/trap.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* A thread of the host may come into the handler first: nothing may be
 * allocated there. */
static _Thread_local sigjmp_buf jump __attribute__((tls_model("initial-exec")));
static _Thread_local volatile sig_atomic_t set
    __attribute__((tls_model("initial-exec")));

static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))
static struct sigaction befores[FAULTS];
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static bool installed;

sigjmp_buf *td_trap_set(void)
{
    set = 1;
    return &jump;
}

void td_trap_clear(void)
{
    set = 0;
}

void td_trap_spring(void)
{
    if (!set)
        return;
    set = 0;
    siglongjmp(jump, 1);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before = befores;

    td_trap_spring();
    while (faults[before - befores] != number)
        before++;
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, context);
    else if (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)
        sigaction(number, before, NULL); /* it faults again, and ends there */
    else
        before->sa_handler(number);
}

bool td_trap_install(void)
{
    struct sigaction action;

    pthread_mutex_lock(&install_lock);
    if (!installed) {
        memset(&action, 0, sizeof(action));
        action.sa_sigaction = on_fault;
        /* jumping out leaves the mask as it was */
        action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        installed = true;
        for (size_t i = 0; i < FAULTS; i++)
            installed =
                sigaction(faults[i], &action, &befores[i]) == 0 && installed;
    }
    pthread_mutex_unlock(&install_lock);
    return installed;
}
