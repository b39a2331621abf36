/* A parent that waits, where no signal reaches it, for a child that lives in its memory and neither
 * execs nor ends before /tmp/go is there. A second child answers meanwhile. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    if (fork() == 0)
        execl("/usr/bin/python3", "python3", "/programs/troubles.py", "nothing", (char *)0);
    sleep(1);
    if (vfork() == 0) {
        while (access("/tmp/go", F_OK))
            usleep(20000);
        _exit(0);
    }
    for (;;)
        pause();
}
