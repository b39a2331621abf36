"""A node: a process in a mount namespace of its own, with volumes that only it sees."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0

_FIRST_PROCESS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from agent.kernel import calls
calls.mount("none", "/", "", 0x44000, "")  # private: nobody else sees what is mounted here
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@dataclass
class Node:
    """`pid`: its process, as PID 1 of a node is for the agent."""

    process: "subprocess.Popen[bytes]"
    home: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def root(self) -> Path:
        """Its file system, as it sees it."""
        return Path(f"/proc/{self.pid}/root")

    def do(self, statement: str) -> None:
        """Have the process execute a line of Python."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(statement.encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"done\n"

    def mount(self, source: str, name: str, kind: str, options: str = "", flags: int = 0) -> Path:
        """Mount a volume; its path on the node."""
        point = self.home / name
        self.inside(point).mkdir(exist_ok=True)
        arguments = ", ".join(json.dumps(text) for text in (source, str(point), kind))
        self.do(f"calls.mount({arguments}, {flags}, {json.dumps(options)})")
        return point

    def unmount(self, point: Path) -> None:
        """As the kubelet does: fails when it is busy."""
        self.do(f"calls.umount2({json.dumps(str(point))}, 0)")

    def inside(self, path: Path) -> Path:
        """A path of the node, for the test."""
        return self.root / str(path).lstrip("/")


@contextlib.contextmanager
def node(home: Path) -> Iterator[Node]:
    """A node whose volumes are below `home`."""
    command = ["unshare", "--mount", sys.executable, "-c", _FIRST_PROCESS, str(REPOSITORY)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield Node(process, home)
        finally:
            process.kill()


@dataclass
class Disk:
    """A loop device with an ext4 file system."""

    device: str

    def is_free(self) -> bool:
        """Whether no mount anywhere holds it, so that it could be detached from the node."""
        try:
            os.close(os.open(self.device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
        except OSError:
            return False
        return True

    def becomes_free(self) -> bool:
        """The last mount's end may be seen a moment later."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (free := self.is_free()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return free


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """An empty disk of 8 MiB."""
    image = folder / "disk.img"
    with image.open("wb") as made:
        made.truncate(8 << 20)
    _run("mkfs.ext4", "-q", str(image))
    device = _run("losetup", "--find", "--show", str(image))
    try:
        yield Disk(device)
    finally:
        _run("losetup", "--detach", device)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
