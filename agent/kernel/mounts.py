"""Mounts of a process, read from /proc/PID/mountinfo (proc(5))."""

import re
from dataclasses import dataclass
from pathlib import Path

_OVERLAY_ESCAPE = re.compile(r"\\([,:\\])")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. `root` is the path inside the filesystem that is mounted.

    super_options: as the kernel wrote them, commas inside of values escaped.
    """

    id: int
    parent_id: int
    device: str
    root: str
    point: str
    options: frozenset[str]
    filesystem: str
    source: str
    super_options: str

    def super_option(self, name: str) -> str | None:
        """The value of a superblock option such as upperdir, unescaped as overlayfs wrote it."""
        for option in re.split(r"(?<!\\),", self.super_options):
            key, _, value = option.partition("=")
            if key == name:
                # Before Linux 6.5 overlayfs shows what mount was told, with its backslashes.
                return _OVERLAY_ESCAPE.sub(r"\1", _plain(value))
        return None


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def parse(line: str) -> Mount:
    """One mountinfo line."""
    left, _, right = line.partition(" - ")
    identifier, parent, device, root, point, options, *_ = left.split(" ")
    filesystem, source, super_options = right.split(" ", 2)
    return Mount(
        id=int(identifier),
        parent_id=int(parent),
        device=device,
        root=_plain(root),
        point=_plain(point),
        options=frozenset(options.split(",")),
        filesystem=filesystem,
        source=_plain(source),
        super_options=super_options,
    )


def of(pid: int | str) -> list[Mount]:
    """Mounts that `pid` sees, in mount order: a later one may hide an earlier one."""
    text = Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape")
    return [parse(line) for line in text.split("\n") if line]


def at(mounts: list[Mount], point: str) -> Mount | None:
    """The mount that is seen at exactly `point`."""
    return next((mount for mount in reversed(mounts) if mount.point == point), None)
