"""What Podman puts outside of the directories that it is given, and taking that away again."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent.kernel import calls, mounts

_CACHE = Path("/var/lib/containers")
_CGROUPS = Path("/sys/fs/cgroup")
_PARENT = "libpod_parent"


class Outside:
    """Made before Podman runs; `restore` removes only what was not there then."""

    def __init__(self) -> None:
        self._kept = {path for path in _places() if path.exists()}

    def restore(self, home: Path) -> None:
        """Unmount what is mounted below `home`, remove caches and empty control groups."""
        for mount in reversed(mounts.of("self")):
            if Path(mount.point).is_relative_to(home):
                with suppress(OSError):  # one above it took it along
                    calls.umount2(mount.point, calls.MNT_DETACH)
        for place in _places():
            if place in self._kept or not place.exists():
                continue
            if _CGROUPS in place.parents:
                _remove_empty(place)
            elif place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)


def _places() -> Iterator[Path]:
    yield _CACHE / "cache"
    yield _CACHE
    yield from (Path("/run/criu.kdat"), Path("/run/criu.kdat.tmp"))
    yield _CGROUPS / _PARENT
    if _CGROUPS.is_dir():
        yield from (hierarchy / _PARENT for hierarchy in _CGROUPS.iterdir())


def _remove_empty(group: Path) -> None:
    """Deepest first; a group that still holds a process stays."""
    inner = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for path in [*inner, group]:
        with suppress(OSError):
            path.rmdir()
