/* A process that looks to chrek as one with a CUDA context does. A thread of it, whose name is the
 * address of `shared`, does what the driver's restore thread does: it moves `state` on when asked
 * to, and nothing moves without it. The state is in the process's own memory, as CUDA's is.
 *
 * usage: pretender LIBRARY [BYTES]   LIBRARY: any file with libcuda.so in its name. BYTES: what is
 * "on the GPU", which comes into memory with a checkpoint.
 *
 * Prints the state every 5 ms, so that whoever reads knows in which states it has run.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { RUNNING, LOCKED, CHECKPOINTED };

static volatile struct {
    int state, asked, threads; /* asked: the state to move to, -1 for none; threads: to be made */
    long bytes;
} shared = {RUNNING, -1, 0, 0};

static char *held;

static void *short_lived(void *unused)
{
    return unused;
}

static void *restore_thread(void *unused)
{
    char name[16];
    snprintf(name, sizeof name, "%lx", (unsigned long)&shared);
    prctl(PR_SET_NAME, name);
    for (;; usleep(500)) {
        if (shared.asked < 0)
            continue;
        pthread_t made; /* CUDA makes threads as it restores */
        if (pthread_create(&made, NULL, short_lived, NULL) == 0)
            pthread_join(made, NULL);
        if (shared.asked == CHECKPOINTED && shared.bytes) {
            held = mmap(NULL, shared.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            memset(held, 7, shared.bytes);
        } else if (shared.state == CHECKPOINTED && held) {
            munmap(held, shared.bytes);
            held = NULL;
        }
        shared.state = shared.asked;
        shared.asked = -1;
    }
    return unused;
}

int main(int argc, char **argv)
{
    int library = open(argv[1], O_RDONLY);
    if (library < 0 || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, library, 0) == MAP_FAILED)
        return 1;
    shared.bytes = argc > 2 ? atol(argv[2]) : 0;
    pthread_t thread;
    pthread_create(&thread, NULL, restore_thread, NULL);
    puts("ready");
    static const char *const names[] = {"running", "locked", "checkpointed"};
    for (;; usleep(5000)) {
        puts(names[shared.state]);
        fflush(stdout);
    }
}
