/* chrek-reaper CMD...: runs the app and stands between it and PID 1.
 *
 * It is a child subreaper: whatever the app forks, daemonizes or orphans stays in one tree, which
 * CRIU can dump and put under another PID 1. It is a part of every checkpoint, so it is kept tiny:
 * no descriptor of its own, no memory, one blocking system call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signal masks are the kernel's own 64 bits. musl's sigset functions leave out 32 to 34, which it
 * keeps for itself, but 34 is SIGRTMIN for a glibc app and must be forwarded like any other. */
static const uint64_t every_signal = ~UINT64_C(0);

static _Noreturn void fail(const char *what, const char *why, int code)
{
    struct iovec line[] = {{"chrek-reaper: ", 14}, {(void *)what, strlen(what)},
                           {(void *)why, strlen(why)}, {"\n", 1}};
    writev(STDERR_FILENO, line, 4);
    _exit(code);
}

static _Noreturn void become(char **command, uint64_t mask)
{
    setsid(); /* CRIU dumps a session leader with no special option */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    execvp(command[0], command);
    if (errno == ENOENT)
        fail(command[0], ": it, or the interpreter that it names, was not found", 127);
    fail(command[0], ": not executable (its mode, or no program for this machine)", 126);
}

int main(int count, char **words)
{
    uint64_t inherited;
    int status;
    if (count < 2)
        fail("usage: chrek-reaper CMD...", "", 2);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every_signal, &inherited, sizeof inherited);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would have the kernel throw every exit status away */
    prctl(PR_SET_NAME, "chrek-reaper");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    setsid();
    pid_t app = fork();
    if (app == 0)
        become(words + 1, inherited);
    if (app < 0)
        fail(words[1], ": no process can be made (a limit on PIDs or memory)", 126);
    for (;;) {
        /* Reaped before each wait, not only on SIGCHLD: a restore need not bring a pending one. */
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == app)
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        /* Fails with EINTR when CRIU stops this process and lets it go on: then just again. */
        int sig = syscall(SYS_rt_sigtimedwait, &every_signal, NULL, NULL, sizeof every_signal);
        if (sig > 0 && sig != SIGCHLD)
            kill(app, sig);
    }
}
