"""Real processes, as /proc tells of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from agent.kernel import cgroups, process
from chrek.errors import TargetGoneError
from chrek.ids import HostPID

Started = "subprocess.Popen[str]"


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts Python programs that say a line when they are ready; they end with the test."""
    with ExitStack() as stack:

        def started(program: str, *before: str) -> "subprocess.Popen[str]":
            made = subprocess.Popen(
                [*before, sys.executable, "-S", "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

            def end() -> None:
                assert made.stdin is not None
                assert made.stdout is not None
                made.stdin.close()
                made.kill()
                made.wait()
                made.stdout.close()

            stack.callback(end)
            return made

        yield started


def line(running: "subprocess.Popen[str]") -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


READY = "print('ready', flush=True); sys.stdin.read()"


def test_a_process_is_read_with_its_numbers(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    running = start(
        "import sys, threading\n"
        "stop = threading.Event()\n"
        "threads = [threading.Thread(target=stop.wait, daemon=True) for _ in range(2)]\n"
        "[thread.start() for thread in threads]\n" + READY
    )
    line(running)
    found = process.read(running.pid)
    assert (found.host_pid, found.pid, found.parent) == (running.pid, running.pid, os.getpid())
    assert (found.uid, found.gid) == (os.getuid(), os.getgid())
    assert (found.threads, found.tracer, found.terminal) == (3, 0, 0)
    assert found.name.startswith("python")
    assert found.state in "RS"
    assert 1 << 20 < found.rss_bytes < 1 << 30


@pytest.mark.parametrize(
    "name", [b"plain", b") S 1 (", b"caf\xc3", b"\xff\xff", b"a\x1db", b"a\nUid:\t7", b"\xc2\x85"]
)
def test_a_process_may_call_itself_anything(
    start: Callable[..., "subprocess.Popen[str]"], name: bytes
) -> None:
    before = start("import sys\n" + READY)
    line(before)
    running = start(
        "import ctypes, sys\n"
        f"ctypes.CDLL(None).prctl(15, ctypes.c_char_p({name!r}), 0, 0, 0)\n" + READY
    )
    line(running)
    found = process.read(running.pid)
    assert (found.pid, found.parent, found.uid) == (running.pid, os.getpid(), os.getuid())
    found.name.encode()
    ticks = process.start_ticks(running.pid)
    assert ticks is not None
    assert ticks >= (process.start_ticks(before.pid) or 0)
    assert process.same(running.pid, ticks)
    assert process.comm(running.pid) == name.decode(errors="replace")


def test_a_process_that_ended_is_gone(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    running = start("")
    ticks = process.start_ticks(running.pid)
    running.wait()
    assert ticks is not None
    assert process.start_ticks(running.pid) is None
    assert process.comm(running.pid) is None
    assert not process.same(running.pid, ticks)
    assert process.descriptor_targets(HostPID(running.pid)) == {}
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        process.read(running.pid)
    with pytest.raises(TargetGoneError, match=str(running.pid)):
        process.in_pid_namespace(HostPID(running.pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a PID namespace")
def test_a_pid_namespace_is_listed_with_its_own_numbers_and_trees(
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    running = start(
        "import os, sys\n"
        "r, w = os.pipe()\n"
        "def child(below):\n"
        "    if (pid := os.fork()) == 0:\n"
        "        below()\n"
        "        os.write(w, b'x'); sys.stdin.read(); os._exit(0)\n"
        "    return pid\n"
        "child(lambda: child(lambda: None)); child(lambda: None)\n"
        "[os.read(r, 1) for _ in range(3)]\n"
        "print(os.readlink('/proc/self'), flush=True); sys.stdin.read()\n",
        *("unshare", "--pid", "--fork", "--kill-child"),
    )
    init = HostPID(int(line(running)))
    found = process.in_pid_namespace(init)
    assert [each.pid for each in found] == [1, 2, *sorted(each.pid for each in found[2:])]
    assert len(found) == 4
    assert found[0].host_pid == init
    assert found[0].parent == running.pid
    branch = found[1]
    tree = process.descendants(found, branch.host_pid)
    assert len(tree) == 2
    assert tree[1].parent == branch.host_pid
    assert process.descendants(found, init) == found
    assert os.getpid() not in {each.host_pid for each in found}


def test_descriptors_lead_where_the_kernel_says(
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    running = start(
        "import sys; file = open('/dev/null'); print(file.fileno(), flush=True); sys.stdin.read()"
    )
    number = int(line(running))
    found = process.descriptor_targets(HostPID(running.pid))
    assert found[number] == "/dev/null"
    assert found[0].startswith("pipe:[")
    assert found[1] != found[0]


def test_a_stopped_process_and_its_tracer_are_seen(
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    running = start("import sys\n" + READY)
    line(running)
    running.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
    assert process.read(running.pid).state == "T"


def test_the_cgroups_of_this_process_are_directories_that_hold_it() -> None:
    paths = cgroups.of("self")
    assert paths == cgroups.of(os.getpid())
    for hierarchy, path in paths.items():
        procs = cgroups.directory(hierarchy, path) / "cgroup.procs"
        if procs.exists():
            assert str(os.getpid()) in procs.read_text().split()
            return
    pytest.skip("no cgroup hierarchy is mounted here")


def test_named_and_numbered_hierarchies_have_their_directories() -> None:
    assert cgroups.directory("memory", "/a/b") == cgroups.ROOT / "memory/a/b"
    assert cgroups.directory("name=systemd", "/") == cgroups.ROOT / "systemd"
    assert cgroups.directory("cpu,cpuacct", "/x") == cgroups.ROOT / "cpu,cpuacct/x"
    assert cgroups.directory("", "/x").name == "x"


_LEAVING = (
    "import os, sys\n"
    "from pathlib import Path\n"
    "from agent.kernel import cgroups\n"
    "Path(sys.argv[1], 'cgroup.procs').write_text('0')\n"
    "cgroups.leave()\n"
    "print(cgroups.of('self')[sys.argv[2]])\n"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a cgroup")
@pytest.mark.parametrize("hierarchy", sorted(cgroups.of("self").keys() - {"cpuset"}))
def test_a_process_leaves_its_cgroup_for_the_top(hierarchy: str) -> None:
    # A new cpuset has no CPUs, and takes nobody in.
    made = cgroups.directory(hierarchy, f"chrek-test-{os.getpid()}")
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {hierarchy or 'v2'}: {error.strerror}")
    try:
        command = [sys.executable, "-c", _LEAVING, str(made), hierarchy]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        made.rmdir()
    assert told.stdout.strip() == "/", told.stderr
