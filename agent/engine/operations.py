"""Intent before the act: what a capture or restore would leave behind, if it were killed.

Each operation holds a lock on its record. A record whose lock is free belongs to a process that
is gone: whoever starts next undoes it.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec

from agent.cuda import hugepages
from agent.cuda import tree as cuda
from agent.cuda.helper.client import Helper
from agent.cuda.limits import put_back
from agent.kernel import locks, process, tree
from agent.runtime.target import Target
from agent.settings import Settings
from chrek.errors import BusyError, ChrekError
from chrek.ids import HostPID


class Changes(msgspec.Struct, frozen=True):
    """What an operation on a GPU's program changes for a while. limits: memory cgroups whose limit
    is raised -> what it was. huge_pages: what the node's switch was, if that is changed. paused:
    host PIDs whose GPU state may be in host memory -> when they started (ticks)."""

    limits: dict[str, int] = {}
    huge_pages: str = ""
    paused: dict[int, int] = {}


class Record(msgspec.Struct, frozen=True):
    """One operation. paths: directories to delete."""

    kind: str
    name: str
    container: str
    init: int
    init_ticks: int
    paths: list[str]
    changes: Changes = Changes()


_NONE = Changes()


def _home(settings: Settings) -> Path:
    return settings.root / "operations"


@contextmanager
def recorded(
    settings: Settings,
    kind: str,
    target: Target,
    paths: list[Path],
    changes: Changes = _NONE,
) -> Iterator[None]:
    """Record that `kind` is at work on `target` and may leave `paths`, and `changes` in force."""
    home = _home(settings)
    home.mkdir(parents=True, exist_ok=True)
    record = Record(
        kind,
        target.name,
        target.container,
        target.init,
        target.init_ticks,
        [str(path) for path in paths],
        changes,
    )
    path = home / f"{uuid.uuid4().hex}.json"
    with _exclusive(home):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, msgspec.json.encode(record))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def alone(settings: Settings, target: Target) -> Iterator[None]:
    """Raise BusyError while another process works on `target`: two CRIUs must not meet."""
    home = _home(settings)
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            with _exclusive(home):
                stack.enter_context(locks.alone(home / f"{target.name}.lock"))
        except BlockingIOError as error:
            raise BusyError(f"another capture of {target.name} is under way") from error
        yield


def _exclusive(home: Path) -> AbstractContextManager[None]:
    """Nobody looks at a record, or takes a lock's file away, between its creation and its lock."""
    return locks.exclusive(home / "lock")


def staging_in_use(settings: Settings) -> set[Path]:
    """Paths that belong to live operations."""
    home = _home(settings)
    if not home.is_dir():
        return set()
    with _exclusive(home):
        records = [_read(path) for path in _records(settings) if locks.held(path)]
    return {Path(path) for record in records if record for path in record.paths}


async def tidy(settings: Settings, gpu: Helper | None = None) -> list[Record]:
    """Undo what killed operations left; which they were. gpu: who asks the driver; one is made if
    it takes one."""
    home = _home(settings)
    if not home.is_dir():
        return []
    with _exclusive(home):
        dead = [path for path in _records(settings) if not locks.held(path)]
        records = [record for path in dead if (record := _read(path)) is not None]
        for path in home.glob("*.lock"):
            if not locks.held(path):
                path.unlink()
    for record in records:
        await _undo(record, gpu or Helper())
    for path in dead:
        path.unlink(missing_ok=True)
    return records


async def _undo(record: Record, gpu: Helper) -> None:
    target = Target(record.name, record.container, HostPID(record.init), record.init_ticks)
    for path in record.paths:
        tree.remove(Path(path))
    await _undo_changes(record.changes, target, gpu)


async def _undo_changes(changes: Changes, target: Target, gpu: Helper) -> None:
    hugepages.put_back(changes.huge_pages)
    left = [HostPID(pid) for pid, ticks in changes.paused.items() if process.same(pid, ticks)]
    if left:
        # CRIU may still be at work in there: the driver's calls wait until it lets the tasks go.
        try:
            await cuda.brought_back(gpu, left)
        except ChrekError:
            target.kill()
        finally:
            await gpu.close()
    await put_back(changes.limits)


def _records(settings: Settings) -> list[Path]:
    home = _home(settings)
    return sorted(home.glob("*.json")) if home.is_dir() else []


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # ended meanwhile, or killed before a word was written
