"""Removing checkpoints from a claim: look -> make sure that they are still meant -> hide -> erase.

Each step can be the last: what was hidden is garbage that the next look finds, what was not is a
checkpoint as before. Names are those that chrek gives; whatever else lies on the volume stays.
"""

import asyncio
import errno
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from agent.store.checkpoints import STAGING, TRASH, hide
from agent.store.failures import storage_error
from agent.store.use import removable
from chrek import ids
from chrek.errors import StorageError

_MOST: Final = 1000
_ERASE_SECONDS: Final = 900.0
"""So long one rm may take; the next look goes on where it was ended."""
_NOT_OURS: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory as it was seen: another one may be there under its name when it is removed.

    identity: device, inode and time of the last change, since a new directory is often given the
    inode of one that was deleted.
    """

    path: Path
    identity: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored of one id. left: what killed captures and removals left. more: and more than
    one look takes."""

    home: Path
    variants: tuple[Entry, ...] = ()
    left: tuple[Path, ...] = ()
    more: bool = False

    def only(self, variants: Collection[str]) -> "Found":
        """Of these variants; captures under way are left alone."""
        kept = tuple(each for each in self.variants if each.path.name in variants)
        trash = tuple(each for each in self.left if each.name.startswith(TRASH))
        return Found(self.home, kept, trash)


@dataclass(frozen=True, slots=True)
class Hidden:
    """trash: out of sight, to be erased. in_use: names of what is restored from, and stays."""

    trash: tuple[Path, ...]
    in_use: tuple[str, ...]


def look(claim: Path, namespace: str, identifier: str) -> Found:
    """What there is of one id; raises StorageError, UsageError."""
    home = claim / ids.label(namespace, "namespace") / ids.checkpoint_id(identifier)
    try:
        with os.scandir(home) as entries:
            ours = islice((each for each in entries if _is_ours(each)), _MOST + 1)
            seen = [found for each in ours if (found := _seen(each))]
    except OSError as error:
        if error.errno in _NOT_OURS:
            return Found(home)
        raise storage_error(str(home), error) from error
    variants = [each for each in seen if ids.is_variant(each.path.name)]
    left = [each.path for each in seen if not ids.is_variant(each.path.name)]
    return Found(home, tuple(variants[:_MOST]), tuple(left[:_MOST]), more=len(seen) > _MOST)


def conceal(found: Found) -> Hidden:
    """Put what was found, and is still that, out of sight; raises StorageError."""
    trash: list[Path] = []
    busy: list[str] = []
    for entry in found.variants:
        with removable(entry.path) as is_free:
            if not is_free:
                busy.append(entry.path.name)
            elif _is_still(entry):
                trash.append(hide(entry.path))
    for path in found.left:
        with removable(path) as is_free:
            if is_free:
                trash.append(path)
            else:  # it was replaced while somebody restored from it
                busy.append(path.name)
    return Hidden(tuple(trash), tuple(busy))


async def erase(trash: Iterable[Path]) -> None:
    """Delete directories of any size, on their file system; ends early when cancelled. Raises
    StorageError for one that is still there."""
    for path in trash:
        words = ["rm", "-rf", "--one-file-system", "--", str(path)]
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_ERASE_SECONDS):
                await process.wait()
        except TimeoutError as error:
            raise StorageError(f"{path} was not removed within {_ERASE_SECONDS:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                with suppress(TimeoutError):  # waiting for a volume not even the killed end
                    async with asyncio.timeout(1.0):
                        await process.wait()
        await asyncio.to_thread(_gone, path)


def close(found: Found) -> bool:
    """Delete the directory of an id that has become empty; whether it is gone."""
    try:
        found.home.rmdir()
    except OSError as error:
        return error.errno in _NOT_OURS
    return True


def unknown(claim: Path, namespace: str, known: Collection[str]) -> Iterator[str]:
    """Ids that have variants on the claim, and are not known; bounded."""
    with suppress(OSError), os.scandir(claim / ids.label(namespace, "namespace")) as entries:
        names = [e.name for e in islice(entries, _MOST) if ids.is_label(e.name)]
        for name in sorted(set(names) - set(known)):
            with suppress(StorageError):
                if look(claim, namespace, name).variants:
                    yield name


def _is_ours(entry: os.DirEntry[str]) -> bool:
    is_named = ids.is_variant(entry.name) or entry.name.startswith((STAGING, TRASH))
    return is_named and entry.is_dir(follow_symlinks=False)


def _seen(entry: os.DirEntry[str]) -> Entry | None:
    """None if it has just gone."""
    try:
        return Entry(Path(entry.path), _identity(entry.stat(follow_symlinks=False)))
    except FileNotFoundError:
        return None


def _is_still(entry: Entry) -> bool:
    try:
        return _identity(entry.path.lstat()) == entry.identity
    except OSError:
        return False


def _identity(at: os.stat_result) -> tuple[int, int, int]:
    return at.st_dev, at.st_ino, at.st_mtime_ns


def _gone(path: Path) -> None:
    """rm says why in the words of its locale; the kernel says it in a number."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(f"removing {path}", error) from error
