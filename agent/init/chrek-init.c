/* chrek-init: PID 1 of a container that can be restored into.
 *
 * `wait` waits for the node agent's word on a FIFO. Then either the command starts (cold), or the
 * agent restores a checkpoint below this process and hands it over (adopt). From then on it is an
 * ordinary init: reap, forward signals, end as the command ends. How far it is stands in its own
 * comm, which only this process can set, and which the agent reads as the answer.
 *
 * Everything in DIR is the container's to damage: whatever it does there, the worst that may
 * happen is that this container starts cold. The other commands: `install`, `ready`, `version`.
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

#define USAGE                                                                                      \
    "usage: chrek-init wait [--dir DIR] [--timeout SECONDS] -- CMD...,"                            \
    " or ready [--dir DIR], or install DIR, or version"

enum {
    SILENCE_MS = 5000, /* the agent says `begin` every second: this long without it, it is gone */
    KILLING_MS = 3000,
    FIRST_PID = 1000, /* lower ones are taken by what is in a placeholder before a restore */
    FORKS_MAX = 5000,
    LINE_LIMIT = 256,
    COMPLAINTS_MAX = 5,
};
enum { BAD_USAGE = 2, NO_PROCESS = 71, LEFTOVERS = 75, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* The reaper, as the Makefile built it. */
__asm__(".pushsection .rodata\nreaper_bytes: .incbin \"" REAPER_FILE "\"\n.popsection");
extern const char reaper_bytes[REAPER_SIZE];

/* The kernel's own 64 bits: musl's sigset functions leave out 32 to 34, and 34 is glibc's SIGRTMIN. */
static const uint64_t every_signal = ~UINT64_C(0);

static struct {
    enum { STARTING, WAITING, RESTORING, RUNNING } state;
    const char *dir_path;
    char **command;
    int dir, fifo, signals; /* -1: there is none */
    int64_t timeout_ms;     /* how long to wait for the first word */
    int64_t deadline_ms;    /* when the present state ends in a cold start */
    pid_t main;             /* the child whose end is ours */
    pid_t expected;         /* the child whose end is remembered until it is adopted */
    bool expected_ended;
    int expected_status;
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
    if (!*text || *end || text[strspn(text, "0123456789.")] || seconds > 1e7)
        return false;
    *ms = seconds * 1000;
    return true;
}

/* ---- marks are files in DIR that are there or not ---- */

static bool has_mark(const char *name)
{
    struct stat found;
    return fstatat(me.dir, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put_mark(const char *name)
{
    /* O_NONBLOCK: the container may have put a FIFO there, which must not hold us up. */
    close(openat(me.dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
}

/* ---- ends ---- */

static _Noreturn void end_as(int status)
{
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static _Noreturn void leave(int code)
{
    if (getpid() == 1)
        kill(-1, SIGKILL); /* as PID 1 only: anywhere else this is every process of the machine */
    else if (me.main)
        kill(me.main, SIGKILL);
    _exit(code);
}

/* kill(-1) says 0 as long as anybody is left, whether it may kill them or not: ask one by one. */
static bool somebody_is_out_of_reach(void)
{
    const pid_t highest = 4 * 1024 * 1024; /* the kernel's PID_MAX_LIMIT */
    for (pid_t pid = 2; pid <= highest; pid++)
        if (kill(pid, 0) < 0 && errno == EPERM)
            return true;
    return false;
}

/* What a failed restore left behind would hold the command's ports, files and GPU memory. */
static void clear_namespace(void)
{
    if (getpid() != 1)
        return;
    for (int64_t end = now_ms() + KILLING_MS; kill(-1, SIGKILL) == 0; poll(NULL, 0, 5)) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (now_ms() < end)
            continue;
        if (somebody_is_out_of_reach()) {
            put_mark("waited");
            say("another user's processes are left in this container and I may not kill them: "
                "ending with 75, so that the container is started again, then cold");
            leave(LEFTOVERS);
        }
        /* Killed, so they do no more: zombies whose parent is outside, or stuck in the kernel. */
        say("killed processes have not gone after 3 s: starting the command beside them");
        return;
    }
}

/* ---- cold start ---- */

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
    good = close(file) == 0 && good && renameat(me.dir, temporary, me.dir, name) == 0;
    int error = errno;
    if (!good)
        unlinkat(me.dir, temporary, 0);
    errno = error;
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

static __attribute__((noinline)) pid_t make_short_lived_child(void)
{
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    return pid;
}

/* A checkpoint's PIDs must be free in the placeholder that it is restored into, where low ones
 * are taken. A process cannot choose its PID, but without privilege it can use numbers up. */
static void reserve_pids(void)
{
    pid_t pid = 0;
    for (int tries = 0; tries < FORKS_MAX && pid < FIRST_PID; tries++) {
        pid_t last = pid;
        pid = make_short_lived_child();
        if (pid < last)
            return; /* no more forks, or the numbers wrapped */
        waitpid(pid, NULL, 0);
    }
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

static void run_as(pid_t pid)
{
    me.main = pid;
    me.state = RUNNING;
    put_mark("ready");
    prctl(PR_SET_NAME, "chrek:running");
}

static void start_cold(const char *why, const char *more)
{
    say("cold start: %s%s", why, more);
    clear_namespace();
    reserve_pids();
    const char *reaper = find_reaper();
    pid_t pid = fork();
    if (pid == 0)
        run_command(reaper);
    if (pid < 0) {
        say("no process can be made for the command: %s", strerror(errno));
        leave(NO_PROCESS);
    }
    run_as(pid);
}

/* ---- the agent's words ---- */

static void begin(void)
{
    unlinkat(me.dir, "waited", 0); /* the agent is alive */
    if (me.state == WAITING) {
        me.state = RESTORING;
        prctl(PR_SET_NAME, "chrek:restoring");
    }
    me.deadline_ms = now_ms() + SILENCE_MS;
}

static void cold(const char *reason)
{
    unlinkat(me.dir, "waited", 0);
    if (me.state != RUNNING)
        start_cold(*reason ? reason : "the node agent asked for it", "");
}

static void expect(pid_t pid)
{
    me.expected_ended = me.expected_ended && me.expected == pid; /* said twice: still ended */
    me.expected = pid;
    me.deadline_ms = now_ms() + SILENCE_MS;
}

static void adopt(const char *number)
{
    long pid;
    int status;
    pid_t ended = parse_number(number, 2, INT_MAX, &pid) ? waitpid(pid, &status, WNOHANG) : -1;
    if (ended > 0)
        end_as(status);
    if (ended < 0 && me.expected_ended && pid == me.expected)
        end_as(me.expected_status);
    if (ended < 0)
        start_cold("the restored process is not a child of PID 1: ", number);
    else
        run_as(pid);
}

static void complain(const char *line)
{
    static int complaints;
    if (complaints++ < COMPLAINTS_MAX)
        say("not a word for me now, ignored: %.60s%s", line,
            complaints == COMPLAINTS_MAX ? " (more of these are not shown)" : "");
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
    else if ((rest = strcmp(line, "cold") ? after("cold", line) : ""))
        cold(rest);
    else if ((rest = after("exit", line)) && parse_number(rest, 0, 255, &number))
        leave(number);
    else if (me.state == RESTORING && (rest = after("adopt", line)))
        adopt(rest);
    else if (me.state == RESTORING && (rest = after("expect", line)) &&
             parse_number(rest, 2, INT_MAX, &number))
        expect(number);
    else
        complain(line);
}

static void take_byte(unsigned char byte)
{
    static char line[LINE_LIMIT + 1];
    static size_t length; /* above LINE_LIMIT: overlong, discarded up to its newline */
    if (byte != '\n') {
        if (length < LINE_LIMIT)
            line[length] = byte < ' ' || byte == 0x7f ? '?' : byte; /* a terminal may show it */
        length += length <= LINE_LIMIT;
        return;
    }
    line[length < LINE_LIMIT ? length : LINE_LIMIT] = '\0';
    (length <= LINE_LIMIT ? take_line : complain)(line);
    length = 0;
}

/* All that was written before this call, but no more than a pipe holds: a process that floods the
 * FIFO must not keep us from signals and children. */
static void take_words(void)
{
    char bytes[4096];
    for (int chunk = 0; me.fifo >= 0 && chunk < 16; chunk++) {
        ssize_t size = read(me.fifo, bytes, sizeof bytes);
        for (ssize_t i = 0; i < size; i++)
            take_byte(bytes[i]);
        if (size <= 0)
            return;
    }
}

/* ---- children and signals ---- */

/* The agent writes `expect` before that process can run, but its end may be noticed first. So a
 * dead child is looked at, then the words are read, and only then is it reaped. */
static void reap(void)
{
    int status;
    for (siginfo_t dead = {0};; dead.si_pid = 0) {
        if (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) < 0 || dead.si_pid == 0)
            return;
        take_words();
        if (waitpid(dead.si_pid, &status, WNOHANG) != dead.si_pid)
            return; /* a cold start has reaped it */
        if (dead.si_pid == me.main)
            end_as(status);
        if (dead.si_pid == me.expected) {
            me.expected_ended = true;
            me.expected_status = status;
        }
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
        else if (sig == SIGTERM || sig == SIGINT) {
            say("told to end while waiting; the command was not started");
            leave(128 + sig);
        }
    }
}

static _Noreturn void serve(void)
{
    for (;;) {
        struct pollfd watched[] = {{.fd = me.signals, .events = POLLIN},
                                   {.fd = me.fifo, .events = POLLIN}};
        int64_t left = me.deadline_ms - now_ms();
        poll(watched, 2, me.state == RUNNING ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : left);
        /* Words come before the deadline: a `begin` in time is not lost to a late wake-up. */
        take_words();
        take_signals();
        reap();
        if (me.state == RUNNING || now_ms() < me.deadline_ms)
            continue;
        start_cold(me.state == RESTORING ? "the node agent fell silent during a restore"
                                         : "no word from the node agent within the timeout", "");
    }
}

/* ---- the four commands ---- */

static bool make_fifo(void)
{
    struct stat made;
    mode_t inherited = umask(0);
    unlinkat(me.dir, "ctl", 0);
    int failed = mkfifoat(me.dir, "ctl", 0600);
    umask(inherited);
    /* Also for writing: with no writer left, a FIFO open only for reading would be at its end for
     * ever, and poll would spin. */
    if (!failed)
        me.fifo = openat(me.dir, "ctl", O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (me.fifo < 0 || (fstat(me.fifo, &made) == 0 && S_ISFIFO(made.st_mode)))
        return me.fifo >= 0;
    me.fifo = -1;
    errno = EEXIST;
    return false;
}

static _Noreturn void wait_and_run(void)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every_signal, &me.inherited_mask, sizeof every_signal);
    /* Ignored, it would have the kernel throw every exit status away. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &me.inherited_sigchld);
    me.signals = syscall(SYS_signalfd4, -1, &every_signal, sizeof every_signal,
                         SFD_CLOEXEC | SFD_NONBLOCK);
    if (me.signals < 0)
        run_command(NULL); /* no descriptor to be had at all: be nothing but the command */

    me.dir = open(me.dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    unlinkat(me.dir, "ready", 0);
    if (me.dir < 0 || !make_fifo()) {
        start_cold("no FIFO can be made for the node agent: ", strerror(errno));
    } else if (has_mark("waited")) {
        start_cold("this container has waited in vain before", "");
    } else {
        put_mark("waited");
        me.deadline_ms = now_ms() + me.timeout_ms;
        me.state = WAITING;
        prctl(PR_SET_NAME, "chrek:waiting");
    }
    serve();
}

static int install(const char *path)
{
    me.dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int file = me.dir < 0 ? -1 : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat found;
    void *self = MAP_FAILED;
    if (file >= 0 && fstat(file, &found) == 0)
        self = mmap(NULL, found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (self != MAP_FAILED && write_file(REAPER_NAME, reaper_bytes, REAPER_SIZE) &&
        write_file("chrek-init", self, found.st_size))
        return 0;
    say("cannot install into %s: %s", path, strerror(errno));
    return 1;
}

static int ready(void)
{
    me.dir = open(me.dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return has_mark("ready") ? 0 : 1;
}

/* Takes the options before the command (or before the end); false for any that is wrong. */
static bool take_options(char ***words, bool waits)
{
    for (; **words && strcmp(**words, "--"); *words += 2) {
        const char *option = (*words)[0], *value = (*words)[1];
        if (!value)
            return false;
        if (strcmp(option, "--dir") == 0 && *value)
            me.dir_path = value;
        else if (!waits || strcmp(option, "--timeout") || !parse_seconds(value, &me.timeout_ms))
            return false;
    }
    me.command = *words + 1;
    return waits ? **words && *me.command : !**words;
}

int main(int count, char **words)
{
    static char one_line[1024]; /* written at once: lines of several processes do not mix */
    setvbuf(stderr, one_line, _IOLBF, sizeof one_line);
    const char *verb = count > 1 ? words[1] : "";
    bool waits = strcmp(verb, "wait") == 0, asks = strcmp(verb, "ready") == 0;
    char **rest = words + 2;
    if (strcmp(verb, "install") == 0 && count == 3)
        return install(words[2]);
    if (strcmp(verb, "version") == 0 && count == 2)
        return puts("chrek-init 0.1.0 " REAPER_NAME) < 0;
    if ((waits || asks) && take_options(&rest, waits))
        waits ? wait_and_run() : (void)0;
    else
        return say("%s %s", count > 1 ? "cannot understand these words;" : "", USAGE), BAD_USAGE;
    return ready();
}
