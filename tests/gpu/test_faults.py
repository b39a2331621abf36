"""What goes wrong on a real GPU: a clear reason, and nothing harmed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.cuda import limits
from agent.kernel import process
from tests.gpu.conftest import GIB, PYTHON, Box, Done, Figures, Served


def refused(done: Done, reason: str) -> None:
    assert done.code != 0
    assert reason in done.out + done.err, done.out + done.err


def said(done: Done) -> str:
    """What a person read last."""
    lines = (done.out + done.err).strip().splitlines()
    return next((line for line in reversed(lines) if " phase " not in line), "")[-300:]


def helper_of(command: subprocess.Popen[str]) -> int | None:
    """The driver's helper that a `chrek` command has started."""
    for pid in process.all_pids():
        with contextlib.suppress(OSError):
            if process.read(pid).parent == command.pid:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"agent.cuda.helper" in words:
                    return int(pid)
    return None


def killed_in(box: Box, phase: str, *words: str) -> Done:
    """Run a command, and kill its helper as soon as it has worked at `phase` for a while: the
    phase before it has ended."""
    command = subprocess.Popen(
        [sys.executable, "-m", "chrek.cli.main", "-v", "--root", str(box.root), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert command.stderr
    errors = ""
    for line in command.stderr:
        errors += line
        if re.search(rf"phase={phase} ", line):
            time.sleep(0.5)
            helper = helper_of(command)
            assert helper is not None
            os.kill(helper, signal.SIGKILL)
            break
    out, rest = command.communicate(timeout=300)
    return Done(command.returncode, out, errors + rest, 0.0)


def test_a_memory_cgroup_that_is_too_small_is_raised_meanwhile(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "6", options=("--memory", "5g"))
    before = source.get()
    box.checkpoint(source, "warm")
    assert source.get() == before
    target = box.containers.target(source.name)
    (level,) = [level for level in limits.levels(target) if level.what == "container"]
    assert level.limit_bytes == 5 * GIB
    source.stop()
    copy, _ = box.restore("warm", source, "copy")
    assert copy.get() == before
    figures.note("6 GiB on the GPU, memory limited to 5 GiB", captured=True, restored=True)


def test_too_little_host_memory_is_refused_with_the_numbers(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "8")
    before = source.get()
    with filled(leave_bytes=4 * GIB):
        done = box("checkpoint", source.name, "--as", "warm", code=None)
    refused(done, "of host memory")
    assert source.get() == before
    figures.note("too little host memory", said=said(done))


def filled(*, leave_bytes: int) -> "Filled":
    return Filled(leave_bytes)


class Filled:
    """All but some of the machine's memory taken by a process."""

    def __init__(self, leave_bytes: int) -> None:
        self._take = limits.node_bytes() - leave_bytes

    def __enter__(self) -> None:
        program = (
            "import mmap, sys\n"
            "held = mmap.mmap(-1, int(sys.argv[1]), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
            "held.madvise(mmap.MADV_HUGEPAGE); held.madvise(23)\n"  # MADV_POPULATE_WRITE
            "print('full', flush=True); sys.stdin.read()\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, str(self._take)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"full\n"

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_a_target_gpu_that_is_too_full_means_a_cold_start_at_once(
    box: Box, figures: Figures
) -> None:
    source = box.run("source", "tensor.py", "8")
    box.checkpoint(source, "warm")
    source.stop()
    free = free_gpu_bytes()
    hog = subprocess.Popen(
        [PYTHON, "-c", HOG, str(free - 6 * GIB)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert hog.stdout
        assert hog.stdout.readline() == b"full\n"
        done = box("restore", "warm", "--name", "copy", "--on-failure", "fail", code=None)
    finally:
        hog.kill()
        hog.communicate()
    refused(done, "GiB free, the source had")
    figures.note("target GPU too full", said=said(done),
                 seconds=done.seconds)  # fmt: skip
    copy, _ = box.restore("warm", source, "copy")
    assert copy.get()


HOG = """
import sys, torch
held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device="cuda")
print("full", flush=True)
sys.stdin.read()
"""


def free_gpu_bytes() -> int:
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout) << 20


def test_a_gpu_that_stays_busy_is_left_alone(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "1")
    before = source.get()
    busy = threading.Thread(target=source.get, args=("/busy/25",))
    busy.start()
    time.sleep(1.0)
    done = box("checkpoint", source.name, "--as", "warm", code=None)
    assert done.code != 0
    assert source.get("/health")
    busy.join()
    assert source.get() == before
    box.checkpoint(source, "warm")
    figures.note("lock timeout under load", said=said(done),
                 seconds=done.seconds)  # fmt: skip


def test_unified_memory_is_refused_by_name(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "1", "managed")
    answer = source.get()
    done = box("checkpoint", source.name, "--as", "warm", code=None)
    refused(done, "ManagedMemory")
    assert source.get() == answer
    figures.note("unified memory", said=said(done))


@pytest.mark.parametrize(
    ("before", "during"), [("cuda-lock", "checkpoint"), ("dump", "restore of the source")]
)
def test_a_helper_killed_in_a_capture_leaves_the_source_as_it_was(
    box: Box, figures: Figures, before: str, during: str
) -> None:
    source = box.run("source", "tensor.py", "8")
    answer = source.get()
    done = killed_in(box, before, "checkpoint", source.name, "--as", "warm")
    after(source, answer)
    figures.note(f"helper killed during {during}", code=done.code,
                 said=said(done))  # fmt: skip
    box("rm", "warm", code=None)
    box.checkpoint(source, "again")
    assert source.get() == answer


def after(source: Served, answer: object) -> None:
    """The source serves as before, or its container has ended: it never hangs."""
    state = source.box.containers.describe(source.name).state
    assert state == "running", source.box.log(source.name)[-500:]
    assert source.get() == answer


def test_a_helper_killed_in_a_restore_means_a_cold_start(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "8")
    answer = source.get()
    box.checkpoint(source, "warm")
    source.stop()
    done = killed_in(box, "criu", "restore", "warm", "--name", "copy")
    assert done.code == 4, done.err
    copy = Served(box, "copy", source.port, 0.0)
    copy.wait()
    assert copy.get() == answer
    figures.note("helper killed during restore", code=done.code,
                 said=said(done))  # fmt: skip
