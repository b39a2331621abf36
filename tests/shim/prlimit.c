/* ONLY for tests on machines without CAP_SYS_RESOURCE. Never in an image.
 *
 * CRIU reads the resource limits of each process with prlimit(2), which needs CAP_SYS_RESOURCE
 * for a process of another user. Real privileged pods have it. Where it is missing, this answers
 * a refused read from /proc/PID/limits, which any root may read.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rows of /proc/PID/limits in the order of the RLIMIT_ numbers. */
static const char *const rows[] = {
    "Max cpu time", "Max file size", "Max data size", "Max stack size",
    "Max core file size", "Max resident set", "Max processes", "Max open files",
    "Max locked memory", "Max address space", "Max file locks", "Max pending signals",
    "Max msgqueue size", "Max nice priority", "Max realtime priority", "Max realtime timeout",
};

static rlim64_t number(const char *text)
{
    return strcmp(text, "unlimited") ? strtoull(text, NULL, 10) : RLIM64_INFINITY;
}

static int from_proc(int pid, unsigned int resource, struct rlimit64 *limit)
{
    char path[64], line[256], soft[32], hard[32];
    int found = -1;

    if (resource >= sizeof rows / sizeof *rows)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/limits", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    while (found < 0 && fgets(line, sizeof line, file)) {
        size_t length = strlen(rows[resource]);
        if (strncmp(line, rows[resource], length) == 0 &&
            sscanf(line + length, "%31s %31s", soft, hard) == 2) {
            limit->rlim_cur = number(soft);
            limit->rlim_max = number(hard);
            found = 0;
        }
    }
    fclose(file);
    return found;
}

/* CRIU calls syscall(SYS_prlimit64, ...) as well as the wrapper. */
long syscall(long nr, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list list;

    va_start(list, nr);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long result = real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (nr == SYS_prlimit64 && result < 0 && errno == EPERM && a[0] && !a[2] && a[3])
        return from_proc((int)a[0], (unsigned int)a[1], (struct rlimit64 *)a[3]);
    return result;
}

int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *new_limit,
              struct rlimit64 *old_limit)
{
    return (int)syscall(SYS_prlimit64, (long)pid, (long)resource, new_limit, old_limit);
}

int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *new_limit,
            struct rlimit *old_limit)
{
    return prlimit64(pid, resource, (const struct rlimit64 *)new_limit,
                     (struct rlimit64 *)old_limit);
}
