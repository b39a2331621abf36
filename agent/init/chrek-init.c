/* chrek-init: PID 1 of a container that can be restored into.
 *
 * `wait` waits for the node agent's word on a FIFO. Then either the command starts (cold), or the
 * agent restores a checkpoint below this process and hands it over (adopt). From then on it is an
 * ordinary init: reap, forward signals, end as the command ends. How far it is stands in its own
 * comm, which only this process can set, and which the agent reads as the answer. Everything in
 * DIR is the container's to damage: the worst that may happen is that this container starts cold.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SILENCE_MS = 5000 }; /* the agent says `begin` every second: without it, it is gone */
enum { KILLING_MS = 3000, FORKS_MAX = 5000, LINE_LIMIT = 256, COMPLAINTS = 5, PID_LIMIT = 1 << 22 };
enum { FIRST_PID = 1000 }; /* lower ones are taken by what is in a placeholder before a restore */
enum { BAD_USAGE = 2, NO_PROCESS = 71, LEFTOVERS = 75, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* The reaper, as the Makefile built it. */
__asm__(".pushsection .rodata\nreaper_bytes: .incbin \"" REAPER_FILE "\"\n.popsection");
extern const char reaper_bytes[REAPER_SIZE];

/* The kernel's own 64 bits: musl's sigset functions leave out 32 to 34; 34 is glibc's SIGRTMIN. */
static const uint64_t every_signal = ~UINT64_C(0);

static struct {
    enum { STARTING, WAITING, RESTORING, RUNNING } state;
    const char *dir_path;
    char **command;
    int dir, fifo, signals; /* -1: there is none */
    int64_t timeout_ms, deadline_ms; /* when waiting or restoring ends in a cold start */
    pid_t main;             /* the child whose end is ours */
    pid_t expected;         /* the child that is not reaped before it is adopted */
    bool written;           /* the agent has begun to write a checkpoint's files */
    uint64_t inherited_mask;
    struct sigaction inherited_sigchld;
} me = {.dir_path = "/chrek", .dir = -1, .fifo = -1, .signals = -1, .timeout_ms = 2000};

#define say(format, ...) fprintf(stderr, "chrek-init: " format "\n", ##__VA_ARGS__)

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool parse_number(const char *text, long least, long most, long *number)
{
    *number = strtol(text, NULL, 10);
    return *text && !text[strspn(text, "0123456789")] && *number >= least && *number <= most;
}

static bool parse_seconds(const char *text, int64_t *ms)
{
    char *end;
    double seconds = strtod(text, &end);
    *ms = seconds <= 1e7 ? seconds * 1000 : 0;
    return *text && !*end && !text[strspn(text, "0123456789.")] && seconds <= 1e7;
}

/* An empty file in DIR. O_NONBLOCK: the container may have put a FIFO there, to hold us up. */
static void put_mark(const char *name)
{
    close(openat(me.dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
}

static _Noreturn void end_as(int status)
{
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static _Noreturn void leave(int code, const char *why)
{
    say("ending with %d: %s", code, why);
    if (getpid() == 1)
        kill(-1, SIGKILL); /* as PID 1 only: anywhere else this is every process of the machine */
    else if (me.main)
        kill(me.main, SIGKILL);
    _exit(code);
}

static bool alone(int sig)
{
    return kill(-1, sig) < 0 && errno == ESRCH;
}

/* What a failed restore left behind would hold the command's ports, files and GPU memory. */
static void clear_namespace(void)
{
    if (getpid() != 1)
        return;
    for (int64_t end = now_ms() + KILLING_MS; !alone(SIGKILL) && now_ms() < end; poll(NULL, 0, 2))
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    /* kill(-1) does not tell what may not be killed from what is killed but not yet gone: zombies
     * of a parent outside, or stuck in a system call. Those do no harm. So ask one by one. */
    for (pid_t pid = alone(0) ? PID_LIMIT : 2; pid < PID_LIMIT; pid++) {
        if (kill(pid, 0) == 0 || errno != EPERM)
            continue;
        put_mark("waited");
        leave(LEFTOVERS, "I may not kill another user's processes that are left in this container;"
                         " it must be started again, and then starts cold");
    }
}

static bool write_file(const char *name, const void *bytes, ssize_t size)
{
    char temporary[64];
    snprintf(temporary, sizeof temporary, ".%s.%d", name, (int)getpid());
    unlinkat(me.dir, temporary, 0);
    int file = openat(me.dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (file < 0)
        return false;
    errno = ENOSPC; /* what a short write means */
    bool good = write(file, bytes, size) == size && fchmod(file, 0755) == 0;
    close(file);
    good = good && renameat(me.dir, temporary, me.dir, name) == 0;
    if (!good)
        unlinkat(me.dir, temporary, 0);
    return good;
}

/* Whether PATH may be run and is the reaper in every byte. */
static bool is_reaper(const char *path)
{
    char bytes[REAPER_SIZE + 1];
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t size = read(file, bytes, sizeof bytes);
    close(file);
    return size == REAPER_SIZE && !memcmp(bytes, reaper_bytes, REAPER_SIZE) && !access(path, X_OK);
}

static const char *find_reaper(void)
{
    static char in_dir[PATH_MAX], beside_me[PATH_MAX + sizeof REAPER_NAME];
    snprintf(in_dir, sizeof in_dir, "%s/" REAPER_NAME, me.dir_path);
    if (is_reaper(in_dir))
        return in_dir;
    ssize_t length = readlink("/proc/self/exe", beside_me, PATH_MAX);
    char *slash = length > 0 ? memrchr(beside_me, '/', length) : NULL;
    if (slash && strcpy(slash + 1, REAPER_NAME) && is_reaper(beside_me))
        return beside_me;
    return write_file(REAPER_NAME, reaper_bytes, REAPER_SIZE) && is_reaper(in_dir) ? in_dir : NULL;
}

/* A checkpoint's PIDs must be free in the placeholder that it is restored into, where low ones
 * are taken. A process cannot choose its PID, but without privilege it can use numbers up. */
static void reserve_pids(void)
{
    static int tries; /* static, as vfork's child runs on this stack */
    static pid_t pid, last;
    for (; tries < FORKS_MAX && pid < FIRST_PID && last <= pid; tries++) {
        last = pid;
        if ((pid = vfork()) == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
    } /* or until there are no more forks, or the numbers wrap */
}

static _Noreturn void run_command(const char *reaper)
{
    sigaction(SIGCHLD, &me.inherited_sigchld, NULL);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &me.inherited_mask, NULL, sizeof me.inherited_mask);
    if (reaper) {
        me.command[-1] = "chrek-reaper"; /* the place of the "--" in our own arguments */
        execv(reaper, me.command - 1);
    }
    say("no reaper can be run from %s: the command runs without it, and this container cannot be "
        "checkpointed", me.dir_path);
    execvp(me.command[0], me.command);
    int code = errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
    say("cannot run %s: %s", me.command[0], strerror(errno));
    _exit(code);
}

static void enter(int state, const char *name)
{
    me.state = state;
    prctl(PR_SET_NAME, name);
}

static void run_as(pid_t pid)
{
    me.main = pid;
    put_mark("ready");
    enter(RUNNING, "chrek:running");
}

static void start_cold(const char *why, const char *more)
{
    say("cold start: %s%s", why, more);
    clear_namespace();
    if (me.written) { /* a fresh command may not find what the source had made: a PID file, say */
        put_mark("waited");
        leave(LEFTOVERS, "files of the checkpoint are in this container; it must be started again,"
                         " and then starts cold");
    }
    reserve_pids();
    const char *reaper = find_reaper();
    pid_t pid = fork();
    if (pid == 0)
        run_command(reaper);
    if (pid < 0)
        leave(NO_PROCESS, "no process can be made for the command (a limit on PIDs or memory)");
    run_as(pid);
}

static void begin(void)
{
    unlinkat(me.dir, "waited", 0); /* the agent is alive */
    if (me.state == WAITING)
        enter(RESTORING, "chrek:restoring");
    me.deadline_ms = now_ms() + SILENCE_MS;
}

static void cold(const char *reason)
{
    unlinkat(me.dir, "waited", 0);
    if (me.state != RUNNING)
        start_cold(reason, "");
}

static void adopt(const char *number)
{
    long pid;
    int status;
    pid_t ended = parse_number(number, 2, INT_MAX, &pid) ? waitpid(pid, &status, WNOHANG) : -1;
    if (ended > 0)
        end_as(status);
    if (ended < 0)
        start_cold("the restored process is not a child of PID 1: ", number);
    else
        run_as(pid);
}

static void complain(const char *line)
{
    static int complaints;
    if (complaints++ < COMPLAINTS)
        say("not a word for me now, ignored: %.60s", line);
}

/* What follows WORD and a space in LINE; NULL if LINE begins otherwise. */
static const char *after(const char *word, const char *line)
{
    size_t length = strlen(word);
    return strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static void take_line(const char *line)
{
    const char *rest;
    long number;
    if (strcmp(line, "begin") == 0)
        begin();
    else if ((rest = strcmp(line, "cold") ? after("cold", line) : "no reason given"))
        cold(rest);
    else if ((rest = after("exit", line)) && parse_number(rest, 0, 255, &number))
        leave(number, "told so by the node agent");
    else if (me.state == RESTORING && (rest = after("adopt", line)))
        adopt(rest);
    else if (me.state == RESTORING && (rest = after("expect", line)) &&
             parse_number(rest, 2, INT_MAX, &number))
        me.expected = number, begin(); /* every good word is a sign of life */
    else if (me.state == RESTORING && strcmp(line, "files") == 0)
        me.written = true, begin();
    else
        complain(line);
}

static void take_byte(unsigned char byte)
{
    static char line[LINE_LIMIT + 2];
    static size_t length; /* above LINE_LIMIT: overlong, discarded up to its newline */
    if (byte != '\n') {
        line[length] = byte < ' ' || byte == 0x7f ? '?' : byte; /* a terminal may show it */
        length += length <= LINE_LIMIT;
        return;
    }
    line[length] = '\0';
    (length <= LINE_LIMIT ? take_line : complain)(line);
    length = 0;
}

/* All that was written before this call, but no more than a pipe holds: a process that floods the
 * FIFO must not keep us from signals and children. */
static void take_words(void)
{
    char bytes[4096];
    ssize_t size;
    for (int chunk = 0; chunk < 16 && (size = read(me.fifo, bytes, sizeof bytes)) > 0; chunk++)
        for (ssize_t i = 0; i < size; i++)
            take_byte(bytes[i]);
}

/* The agent writes `expect` before that process can run, but its end may be noticed first. So a
 * dead child is looked at, then the words are read, and only then is it reaped: or left as a
 * zombie, which keeps its status until `adopt` asks for it. */
static void reap(void)
{
    siginfo_t dead;
    int status;
    while (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) == 0 && dead.si_pid) {
        take_words();
        if ((me.state == RESTORING && dead.si_pid == me.expected) ||
            waitpid(dead.si_pid, &status, WNOHANG) != dead.si_pid) /* a cold start has reaped it */
            return;
        if (dead.si_pid == me.main)
            end_as(status);
    }
}

static void take_signals(void)
{
    struct signalfd_siginfo taken;
    while (read(me.signals, &taken, sizeof taken) == sizeof taken) {
        int sig = taken.ssi_signo;
        bool own_write_failed = sig == SIGPIPE && taken.ssi_pid == (uint32_t)getpid();
        if (sig == SIGCHLD || own_write_failed)
            continue;
        if (me.state == RUNNING)
            kill(me.main, sig);
        else if (sig == SIGTERM || sig == SIGINT)
            leave(128 + sig, "told to end while waiting; the command was not started");
    }
}

static _Noreturn void serve(void)
{
    for (;;) {
        struct pollfd watched[] = {{me.signals, POLLIN, 0}, {me.fifo, POLLIN, 0}};
        int64_t left = me.deadline_ms - now_ms();
        poll(watched, 2, me.state == RUNNING ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : left);
        /* Words come before the deadline: a `begin` in time is not lost to a late wake-up. */
        take_words();
        take_signals();
        reap();
        if (me.state == RESTORING && now_ms() >= me.deadline_ms)
            start_cold("the node agent fell silent during a restore", "");
        if (me.state == WAITING && now_ms() >= me.deadline_ms)
            start_cold("no word from the node agent within the timeout", "");
    }
}

static bool make_fifo(void)
{
    struct stat made;
    unlinkat(me.dir, "ready", 0); /* of an earlier start */
    unlinkat(me.dir, "ctl", 0);
    if (mkfifoat(me.dir, "ctl", 0600) < 0)
        return false;
    /* Also for writing: a FIFO that has lost its last writer is at its end, and poll would spin. */
    me.fifo = openat(me.dir, "ctl", O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fstat(me.fifo, &made) < 0 || !S_ISFIFO(made.st_mode))
        me.fifo = -1; /* somebody was quicker */
    return me.fifo >= 0;
}

static _Noreturn void wait_and_run(void)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every_signal, &me.inherited_mask, sizeof(uint64_t));
    /* Ignored, it would have the kernel throw every exit status away. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &me.inherited_sigchld);
    me.signals = syscall(SYS_signalfd4, -1, &every_signal, sizeof every_signal,
                         SFD_CLOEXEC | SFD_NONBLOCK);
    if (me.signals < 0)
        run_command(NULL); /* no descriptor to be had at all: be nothing but the command */
    me.dir = open(me.dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    me.deadline_ms = now_ms() + me.timeout_ms;
    if (me.dir < 0 || !make_fifo())
        start_cold("no FIFO can be made for the node agent: ", strerror(errno));
    else if (faccessat(me.dir, "waited", F_OK, 0) == 0)
        start_cold("this container has waited in vain before", "");
    else
        put_mark("waited"), enter(WAITING, "chrek:waiting");
    serve();
}

static int install(const char *path)
{
    me.dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    off_t size = lseek(file, 0, SEEK_END);
    void *self = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (me.dir >= 0 && self != MAP_FAILED && write_file("chrek-init", self, size) &&
        write_file(REAPER_NAME, reaper_bytes, REAPER_SIZE))
        return 0;
    say("cannot install into %s: %s", path, strerror(errno));
    return 1;
}

/* Takes options up to "--" or the end; the word that is wrong, or NULL. */
static const char *take_options(char **words, bool waits)
{
    for (; *words && strcmp(*words, "--"); words += 2) {
        bool timeout = waits && strcmp(*words, "--timeout") == 0;
        if (!words[1] || (!timeout && strcmp(*words, "--dir")))
            return *words;
        if (!timeout)
            me.dir_path = words[1];
        else if (!parse_seconds(words[1], &me.timeout_ms))
            return words[1];
    }
    me.command = words + 1;
    return !waits ? *words : *words && words[1] ? NULL : "the end, without a command after --";
}

int main(int count, char **words)
{
    static char one_line[1024]; /* written at once: lines of several processes do not mix */
    setvbuf(stderr, one_line, _IOLBF, sizeof one_line);
    const char *verb = count > 1 ? words[1] : "no words", *wrong = verb;
    if (strcmp(verb, "install") == 0 && count == 3)
        return install(words[2]);
    if (strcmp(verb, "version") == 0 && count == 2)
        return puts("chrek-init 0.1.0 " REAPER_NAME) < 0;
    if (strcmp(verb, "wait") == 0 && !(wrong = take_options(words + 2, true)))
        wait_and_run();
    if (strcmp(verb, "ready") == 0 && !(wrong = take_options(words + 2, false)))
        return faccessat(open(me.dir_path, O_PATH | O_CLOEXEC), "ready", F_OK, 0) ? 1 : 0;
    say("cannot understand: %s; usage: chrek-init wait [--dir DIR] [--timeout SECONDS] -- CMD..., "
        "or ready [--dir DIR], or install DIR, or version", wrong);
    return BAD_USAGE;
}
