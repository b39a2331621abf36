"""Real processes with threads, held by ptrace."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cuda.hold.held import held
from chrek.errors import RestoreError
from chrek.ids import HostPID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: processes are traced")

SOURCE = """
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile long beats[4], signals;
static void on_usr1(int sig) { (void)sig; signals++; (void)!write(2, "!", 1); }
static void *beat(void *arg) {
    for (long number = (long)arg;; usleep(1000)) beats[number]++;
}
int main(void) {
    signal(SIGUSR1, on_usr1);
    pthread_t made;
    for (long n = 1; n < 4; n++) pthread_create(&made, NULL, beat, (void *)n);
    for (;; usleep(1000)) {
        beats[0]++;
        char asked;
        if (read(0, &asked, 1) == 1)
            printf("%ld %ld\\n", beats[3], signals);
        fflush(stdout);
    }
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hold")
    (place / "beats.c").write_text(SOURCE)
    command = ["gcc", "-O1", "-pthread", "-o", place / "beats", place / "beats.c"]
    subprocess.run(command, check=True)
    return place / "beats"


@pytest.fixture
def app(program: Path) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([program], text=True, **pipes) as process:  # type: ignore[call-overload]
        ask(process)
        yield process
        process.kill()


def ask(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Beats of the last thread, and how many signals were handled by any."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("x")
    process.stdin.flush()
    beats, signals = map(int, process.stdout.readline().split())
    return beats, signals


def threads(pid: int) -> list[int]:
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


def states(pid: int) -> list[str]:
    texts = [Path(f"/proc/{pid}/task/{name}/stat").read_text() for name in threads(pid)]
    return [text.rpartition(")")[2].split()[0] for text in texts]


def switches(thread: int) -> int:
    status = Path(f"/proc/{thread}/status").read_text()
    line = next(row for row in status.splitlines() if row.startswith("voluntary"))
    return int(line.split()[1])


@pytest.mark.parametrize("stopped", [False, True])
async def test_only_the_free_thread_runs_and_afterwards_all_do(
    app: subprocess.Popen[str], stopped: bool
) -> None:
    if stopped:
        os.kill(app.pid, signal.SIGSTOP)
    free = threads(app.pid)[-1]
    async with held([HostPID(app.pid)], [free]):
        before = switches(free)
        await asyncio.sleep(0.2)
        assert states(app.pid)[:-1] == ["t", "t", "t"]
        assert switches(free) > before
    assert await asyncio.to_thread(ask, app)
    assert "t" not in states(app.pid)
    assert "T" not in states(app.pid)


async def test_no_handler_of_the_app_runs_in_the_free_thread(app: subprocess.Popen[str]) -> None:
    assert app.stderr
    os.set_blocking(app.stderr.fileno(), False)
    async with held([HostPID(app.pid)], [threads(app.pid)[-1]]):
        os.kill(app.pid, signal.SIGUSR1)
        await asyncio.sleep(0.2)
        with pytest.raises(BlockingIOError):  # a handler would have written a byte
            os.read(app.stderr.fileno(), 1)
    while not (await asyncio.to_thread(ask, app))[1]:
        await asyncio.sleep(0.01)
    assert os.read(app.stderr.fileno(), 2) == b"!"


async def test_left_in_an_error_the_app_is_killed(app: subprocess.Popen[str]) -> None:
    with pytest.raises(KeyError):
        async with held([HostPID(app.pid)], []):
            raise KeyError
    assert await asyncio.to_thread(app.wait) == -signal.SIGKILL


async def test_what_cannot_be_held_is_an_error(app: subprocess.Popen[str]) -> None:
    with pytest.raises(RestoreError, match="could not be held"):
        async with held([HostPID(app.pid)], [4194303]):
            pass
