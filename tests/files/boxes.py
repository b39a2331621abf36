"""Boxes: a process in its own PID and mount namespaces, its root a real overlay, as in a container.

Its root has a tmpfs at /tmp and /dev/shm. A box is looked at and changed from outside, through
/proc/PID/root, as the kernel shows it to the process.
"""

# ruff: noqa: PTH115, PTH118
# (names are bytes here, and paths lead through /proc)

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.files import roots
from agent.files.apply import Written, apply
from agent.files.archive import Archive
from chrek.manifest import FileRoot

REPOSITORY = Path(__file__).parents[2]
LIMIT_BYTES = 64 << 20

_FIRST_PROCESS = """
import mmap, os, sys
sys.path.insert(0, sys.argv[1])
from agent.kernel import calls
base, lower, extra = sys.argv[2], sys.argv[3], sys.argv[4:]
root = base + "/merged"
calls.unshare(calls.CLONE_NEWNS)  # here, so that the parent stays on the host, as a runtime does
calls.mount("none", "/", "", 0x44000, "")
options = f"lowerdir={lower},upperdir={base}/upper,workdir={base}/work"
calls.mount("overlay", root, "overlay", 0, options)
for point in ("/tmp", "/dev/shm"):
    os.makedirs(root + point, exist_ok=True)
    calls.mount("tmpfs", root + point, "tmpfs", 0, "mode=1777")
for volume in extra:
    source, _, point = volume.partition(":")
    os.makedirs(root + point, exist_ok=True)
    calls.mount(source, root + point, "", 0x1000, "")
pid = os.readlink("/proc/self")
os.chdir(root)
calls._checked(calls._libc.pivot_root(b".", b"."), "pivot_root")
calls.umount2(".", calls.MNT_DETACH)
os.chdir("/")
print(pid, flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@dataclass
class Box:
    """A box that runs. `base` holds its upper directory on the host."""

    base: Path
    pid: int
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def __truediv__(self, path: str) -> Path:
        return self.root / path

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def do(self, statement: str) -> None:
        """Have the process in the box execute a line of Python."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(statement.encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"done\n"


@contextmanager
def box(lower: Path, *volumes: str) -> Iterator[Box]:
    """A box over `lower`; volumes are "/SOURCE:/POINT"."""
    with tempfile.TemporaryDirectory(prefix="box-") as place:
        base = Path(place)
        for name in ("merged", "upper", "work"):
            (base / name).mkdir()
        command = [sys.executable, "-S", "-c", _FIRST_PROCESS, REPOSITORY, base, lower, *volumes]
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Box(base, int(process.stdout.readline()), process)
        finally:
            process.stdin.close()
            process.stdout.close()
            assert process.wait(timeout=30) == 0


def archived(source: Box, path: Path, limit_bytes: int = LIMIT_BYTES) -> list[FileRoot]:
    """Archive what `source` wrote, in one pass."""
    with copying(source, path, limit_bytes) as archive:
        archive.copy()
        return [found.root for found in archive.sources]


def copying(source: Box, path: Path, limit_bytes: int = LIMIT_BYTES) -> Archive:
    return Archive(path, source.pid, roots.of(source.pid), limit_bytes)


def applied(
    path: Path, file_roots: list[FileRoot], target: Box, *, restart: bool = False
) -> Written:
    """Write an archive into `target`; what can be withdrawn of it."""
    written = Written(target.pid)
    with path.open("rb") as file:
        apply(file.fileno(), file_roots, written, restart=restart)
    return written


Seen = dict[bytes, dict[str, Any]]


def seen(root: Path) -> Seen:
    """All that the kernel tells about every path below `root`, mounts included, but for what
    cannot be equal: inode numbers, change times and directory sizes."""
    found: Seen = {}
    groups: dict[tuple[int, int], list[bytes]] = {}
    _look(os.fsencode(root), b"", found, groups)
    for names in groups.values():
        for name in names:
            found[name]["linked"] = sorted(names)
    return found


def _look(
    root: bytes, prefix: bytes, found: Seen, groups: dict[tuple[int, int], list[bytes]]
) -> None:
    for entry in os.scandir(os.path.join(root, prefix)):
        path = os.path.join(prefix, entry.name)
        full = os.path.join(root, path)
        status = os.lstat(full)
        mode = status.st_mode
        if stat.S_ISSOCK(mode):
            continue
        facts: dict[str, Any] = {
            "mode": oct(mode),
            "owner": (status.st_uid, status.st_gid),
            "mtime_ns": status.st_mtime_ns,
            "xattrs": {
                name: os.getxattr(full, name, follow_symlinks=False)
                for name in os.listxattr(full, follow_symlinks=False)
            },
        }
        if path in (b"tmp", b"dev/shm"):
            facts = {"mount": True}  # its own owner and times are the runtime's
        if stat.S_ISREG(mode):
            facts["content"] = Path(os.fsdecode(full)).read_bytes()
            groups.setdefault((status.st_dev, status.st_ino), []).append(path)
        elif stat.S_ISLNK(mode):
            facts["leads"] = os.readlink(full)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            facts["device"] = status.st_rdev
        found[path] = facts
        if stat.S_ISDIR(mode):
            _look(root, path, found, groups)
