"""What cannot be captured is named before anything stands still, and runs on."""

import subprocess
from pathlib import Path

import pytest

from chrek.errors import ChrekError, RefusedError
from tests.machine.conftest import wait_for
from tests.survival.lives import PROGRAMS, Life, Lives

REFUSED = {
    "sysv_memory": ("SystemVIPC", "1 shared memory segment"),
    "sysv_memory_unmapped": ("SystemVIPC", "1 shared memory segment"),
    "sysv_semaphores": ("SystemVIPC", "1 semaphore set"),
    "sysv_messages": ("SystemVIPC", "1 message queue"),
    "message_queue": ("DescriptorNotKept", "/queue"),
    "userfaultfd": ("DescriptorNotKept", "userfaultfd"),
    "landlock": ("DescriptorNotKept", "landlock"),
    "secret_memory": ("DescriptorNotKept", "secretmem"),
    "namespace_file": ("DescriptorNotKept", "net:["),
    "traced": ("Traced", "is traced by process"),
    "vsock": ("SocketNotKept", "VSOCK"),
    "mptcp": ("SocketNotKept", "multipathtcp=0"),
    "terminal": ("Terminal", "has a terminal"),
    "nested": ("NestedNamespaces", "pid, "),
    "network": ("NestedNamespaces", "net, user"),
    "user": ("NestedNamespaces", "(user)"),
    "sealed": ("SealedMemory", "memfd"),
}
KEPT = ("packet", "packet_ring", "raw")


def refused(lives: Lives, life: Life) -> ChrekError:
    """The refusal; CRIU was not asked, and nothing of a checkpoint is there."""
    with pytest.raises(RefusedError) as caught:
        lives.capture(life)
    assert not list((lives.root / "logs").glob(f"{life.name}-dump.log"))
    assert not list(lives.root.glob(f"checkpoints/default/{life.name}/*"))
    return caught.value


@pytest.mark.parametrize("trouble", REFUSED)
def test_it_is_refused_by_name_and_runs_on(lives: Lives, trouble: str) -> None:
    name = trouble.replace("_", "-")
    life = lives.start(name, "troubles.py", trouble)
    if "unable" in life.log:
        pytest.skip(f"this kernel gives none: {life.log}")
    reason, words = REFUSED[trouble]

    error = refused(lives, life)

    assert error.reason == reason
    assert words in str(error)
    assert reason == "SystemVIPC" or "python3 (PID " in error.message
    assert life.ask() == "alive"


@pytest.mark.parametrize("kind", KEPT)
def test_packet_and_raw_sockets_are_kept(lives: Lives, kind: str) -> None:
    source = lives.start(kind.replace("_", "-"), "troubles.py", kind)
    copy = lives.again(source, "copy")
    assert copy.ask() == source.ask() == "alive"


def test_a_watched_file_without_a_name(lives: Lives) -> None:
    life = lives.start("watched", "troubles.py", "watched_and_gone")
    error = refused(lives, life)
    assert error.reason == "WatchNotKept"
    assert "python3 (PID " in error.message
    assert life.ask() == "alive"


def test_a_process_that_will_not_freeze(lives: Lives) -> None:
    """A parent that waits in vfork. CRIU would hold its brother for as long as it tries."""
    program = lives.root / "vforks"
    subprocess.run(["gcc", "-O1", "-Wall", "-o", program, PROGRAMS / "vforks.c"], check=True)
    life = lives.start("vforks", str(program))
    wait_for(lambda: "D" in [one.state for one in life.processes], "the parent to stand still")

    error = refused(lives, life)

    assert error.reason == "WillNotFreeze"
    assert "vforks (PID " in error.message
    assert life.ask() == "alive"
    life.path("/tmp/go").touch()
    wait_for(lambda: "D" not in [one.state for one in life.processes], "the parent to go on")
    assert Path(lives.capture(life).path).is_dir()
