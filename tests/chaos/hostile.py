"""Checkpoints that somebody has been at, and containers that try to mislead whoever enters."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chrek.names import MANIFEST, SIGNATURE

_HUGE_BYTES = 1 << 40


def damage(path: Path, draw: random.Random) -> str:
    """Do something bad to a published checkpoint; what it was."""
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.is_symlink())
    if not files:
        return "nothing: it has no files"
    victim, other = draw.choice(files), draw.choice(files)
    ways: dict[str, Callable[[], object]] = {
        "missing": victim.unlink,
        "truncated": lambda: os.truncate(victim, victim.stat().st_size // 2),
        "bit flipped": lambda: _flip(victim, draw),
        "huge": lambda: os.truncate(victim, _HUGE_BYTES),
        "a link to another": lambda: _instead(victim, lambda: victim.symlink_to(other)),
        "a link out": lambda: _instead(victim, lambda: victim.symlink_to("/etc/shadow")),
        "a FIFO": lambda: _instead(victim, lambda: os.mkfifo(victim)),
        "a directory": lambda: _instead(victim, victim.mkdir),
        "another's content": lambda: shutil.copyfile(other, victim) if other != victim else None,
        "extra files": lambda: _extra(path, draw),
        "no signature": (path / SIGNATURE).unlink,
        "no manifest": (path / MANIFEST).unlink,
        "images a link": lambda: _moved(path / "criu"),
    }
    way = draw.choice(sorted(ways))
    # A capture may be putting another in its place at this moment.
    with suppress(FileNotFoundError, FileExistsError):
        ways[way]()
    return f"{victim.relative_to(path)}: {way}"


def _flip(victim: Path, draw: random.Random) -> None:
    with victim.open("r+b") as file:
        place = draw.randrange(max(victim.stat().st_size, 1))
        file.seek(place)
        byte = file.read(1) or b"\0"
        file.seek(place)
        file.write(bytes([byte[0] ^ 1 << draw.randrange(8)]))


def _instead(victim: Path, make: Callable[[], object]) -> None:
    victim.unlink()
    make()


def _extra(path: Path, draw: random.Random) -> None:
    for number in range(draw.randrange(1, 300)):
        (path / "criu" / f"core-{90000 + number}.img").write_bytes(b"x")
    (path / "criu" / "pages-99.img").symlink_to("/etc/shadow")


def _moved(directory: Path) -> None:
    away = directory.with_name("away")
    directory.rename(away)
    directory.symlink_to(away)


def container(root: Path, draw: random.Random) -> str:
    """Do what a container's own root user may do to its files; /canary must stay as it is."""
    home = root / "chrek"
    reapers = sorted(home.glob("reaper-*"))
    ways: dict[str, Callable[[], object]] = {
        "FIFO gone": (home / "ctl").unlink,
        "FIFO a file": lambda: _instead(home / "ctl", (home / "ctl").touch),
        "FIFO a link": lambda: _instead(
            home / "ctl", lambda: (home / "ctl").symlink_to("/canary/bird")
        ),
        "FIFO a directory": lambda: _instead(home / "ctl", (home / "ctl").mkdir),
        "reaper a link": lambda: _links_for(reapers),
        "reaper a directory": lambda: _instead(reapers[0], reapers[0].mkdir),
        "everything a link": lambda: _links(root),
        "preloads": lambda: _preloads(root),
    }
    way = draw.choice(sorted(ways))
    with suppress(FileNotFoundError, FileExistsError):
        ways[way]()
    return way


def _links_for(files: list[Path]) -> None:
    for each in files:
        each.unlink()
        each.symlink_to("/canary/bird")


def _links(root: Path) -> None:
    """Where a checkpoint's files and CRIU's would be."""
    for name in ("etc/criu", "root", "opt", "usr/lib/criu", "usr/lib64/criu"):
        place = root / name
        with suppress(OSError):
            place.rename(place.with_name(f"{place.name}.was"))
        with suppress(OSError):
            place.symlink_to("/canary")


def _preloads(root: Path) -> None:
    (root / "etc/ld.so.preload").write_text("/canary/none.so\n")
    configuration = root / "etc/criu"
    configuration.mkdir(exist_ok=True)
    (configuration / "default.conf").write_text("log-file /canary/bird\nwork-dir /canary\n")


def cover_proc(init: int) -> None:
    """An empty tmpfs over /proc of the container, read-only."""
    _inside(init, "mount", "-t", "tmpfs", "-o", "ro,size=4k", "chaos", "/proc")


def uncover_proc(init: int) -> None:
    _inside(init, "umount", "-l", "/proc")


def _inside(init: int, *command: str) -> None:
    subprocess.run(
        ["nsenter", "-t", str(init), "-m", *command], capture_output=True, check=False, cwd="/"
    )
