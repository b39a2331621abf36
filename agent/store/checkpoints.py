"""The directory tree of checkpoints: <claim>/<namespace>/<id>/<variant>/, opened without trust."""

import asyncio
import errno
import os
import stat
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.kernel import calls, tree
from agent.store import compressed, contents, hashing
from agent.store.failures import named, storage_error
from agent.store.use import removable
from agent.trust import signature
from agent.trust.keys import Keyring
from chrek import ids
from chrek.errors import (
    DamagedError,
    ExistsError,
    ForeignError,
    ForgedError,
    NotFoundError,
    StorageError,
    UntrustedKeyError,
)
from chrek.ids import CheckpointID, Variant
from chrek.manifest import MAX_BYTES, Manifest, StoredFile, decode
from chrek.names import MANIFEST, SIGNATURE

STAGING: Final = ".staging-"
TRASH: Final = ".trash-"
"""How names begin that are no checkpoints: of captures under way, and of removals."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A published checkpoint: its place and its manifest."""

    path: Path
    manifest: Manifest


class Checkpoints:
    """Checkpoints of one namespace on one claim."""

    def __init__(self, claim: Path, namespace: str) -> None:
        self.claim = claim
        self._home = claim / ids.label(namespace, "namespace")
        self.namespace = namespace

    def ids(self) -> list[CheckpointID]:
        """Ids that have at least one variant, whole or damaged."""
        names = [entry.name for entry in _entries(self._home) if ids.is_label(entry.name)]
        return [CheckpointID(name) for name in names if self.every_variant(CheckpointID(name))]

    def variants(self, identifier: CheckpointID) -> list[Path]:
        """Directories of the published variants of one id, newest first."""
        found = [(_written(entry), entry) for entry in self.every_variant(identifier)]
        published = [(when, entry) for when, entry in found if when is not None]
        return [entry for _, entry in sorted(published, reverse=True)]

    def newest(self, identifier: CheckpointID) -> Path:
        """The newest variant of an id; raises NotFoundError."""
        variants = self.variants(identifier)
        if not variants:
            raise NotFoundError(f"there is no checkpoint {identifier}", hint="See `chrek ls`")
        return variants[0]

    def place(self, identifier: CheckpointID, variant: Variant) -> Path:
        """The directory of a variant, whether it is there or not."""
        if not ids.is_variant(variant):
            raise NotFoundError(f"{variant[:80]!r} names no variant of {identifier}")
        return self._home / ids.checkpoint_id(identifier) / variant

    def staging_path(self, identifier: CheckpointID) -> Path:
        """A new place for a capture, not yet made."""
        return self._home / ids.checkpoint_id(identifier) / f"{STAGING}{uuid.uuid4().hex}"

    @contextmanager
    def staging(self, place: Path) -> Iterator[None]:
        """Make `place` for a capture; gone after the block unless published."""
        with named(str(place)):
            place.mkdir(parents=True, mode=0o700)
        try:
            yield
        finally:
            tree.remove(place)
            with suppress(OSError):
                place.parent.rmdir()  # only when nothing else is there

    def publish(self, staged: Path, variant: str, *, replace: bool, durable: bool = True) -> Path:
        """Make `staged` the variant, whole, and on the disk if it is to be `durable`; raises
        ExistsError without `replace`."""
        target = staged.parent / variant
        if durable:
            _sync_tree(staged)
        try:
            staged.rename(target)  # fails when it exists: a directory that is not empty
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise storage_error(f"publishing {target}", error) from error
            if not replace:
                raise exists(CheckpointID(target.parent.name)) from error
            _swap(staged, target)
        if durable:
            _sync_directory(target.parent)
        return target

    def remove(self, identifier: CheckpointID) -> int:
        """Delete every variant of an id; how many there were. Raises NotFoundError."""
        variants = self.every_variant(identifier)
        if not variants:
            raise NotFoundError(f"there is no checkpoint {identifier}", hint="See `chrek ls`")
        for variant in variants:
            _discard(variant)
        with suppress(OSError):
            (self._home / identifier).rmdir()
        return len(variants)

    def tidy(self, in_use: set[Path]) -> list[Path]:
        """Delete what killed captures and removals left, but for `in_use`; what was deleted.

        On a volume that cannot be written or read, all is left for the next time.
        """
        left: list[Path] = []
        # Every command begins with this, also those that have nothing to do with the volume.
        with suppress(StorageError, OSError):
            for pattern in (f"*/{STAGING}*", f"*/{TRASH}*"):
                found = [entry for entry in self._home.glob(pattern) if entry not in in_use]
                left += [entry for entry in found if delete(entry)]
        for entry in left:
            with suppress(OSError):
                entry.parent.rmdir()
        return left

    def tidy_id(self, identifier: CheckpointID) -> None:
        """Delete what killed captures and removals of one id left; for who holds its lease."""
        home = self._home / ids.checkpoint_id(identifier)
        for pattern in (f"{STAGING}*", f"{TRASH}*"):
            for entry in home.glob(pattern):
                delete(entry)

    def every_variant(self, identifier: CheckpointID) -> list[Path]:
        """Directories of variants, also of damaged ones that have no manifest any more."""
        home = self._home / ids.checkpoint_id(identifier)
        return [entry for entry in _entries(home) if ids.is_variant(entry.name)]


def exists(identifier: CheckpointID) -> ExistsError:
    """The error for a variant that is there already."""
    return ExistsError(
        f"checkpoint {identifier} exists already for this machine",
        hint=f"Use --as NAME, --replace, or `chrek rm {identifier}`",
    )


def load(path: Path, keys: Keyring) -> Manifest:
    """The manifest of the checkpoint in `path`; raises TrustError, DamagedError, FormatError.

    Nothing of it is looked at before its signature was checked.
    """
    with contents.opened(path) as directory:
        content = contents.read_plain(directory, MANIFEST, MAX_BYTES)
        keys.check(content, _read_signature(directory))
    manifest = decode(content)
    if (manifest.id, manifest.variant) != (path.parent.name, path.name):
        raise DamagedError(f"the manifest in {path} is that of {manifest.id}/{manifest.variant}")
    belongs(manifest, path.parent.parent.name)
    return manifest


def peek(path: Path) -> Manifest:
    """The manifest in `path`, which nobody vouches for; raises DamagedError, FormatError,
    NotFoundError."""
    with contents.opened(path) as directory:
        return decode(contents.read_plain(directory, MANIFEST, MAX_BYTES))


async def loaded(path: Path, keys: Keyring) -> Manifest:
    """As `load`; a key that is not known may have been added since the keys were read."""
    try:
        return await asyncio.to_thread(load, path, keys)
    except UntrustedKeyError:
        await keys.refresh()
        return await asyncio.to_thread(load, path, keys)


def belongs(manifest: Manifest, namespace: str) -> None:
    """Raise ForeignError unless the checkpoint was made for the pods of `namespace`."""
    if manifest.namespace != namespace:
        raise ForeignError(
            f"checkpoint {manifest.id} is of namespace {manifest.namespace}, not {namespace}"
        )


def verify(path: Path, keys: Keyring) -> Manifest:
    """Check every byte of a checkpoint; its manifest. Raises TrustError, DamagedError."""
    manifest = load(path, keys)
    with contents.opened(path) as directory:
        for file in manifest.files:
            compressed.verify(directory, file)
    return manifest


def table(staged: Path, hashed: Collection[StoredFile] = ()) -> list[StoredFile]:
    """The file table of a staged checkpoint: every file below it, hashed; raises DamagedError.
    hashed: those that were hashed already."""
    known = {staged / file.name for file in hashed}
    files = list(hashed)
    found = {entry for entry in staged.rglob("*") if not entry.is_dir()}
    for path in sorted(found - known):
        descriptor = _open_own(str(path))
        try:
            size = os.fstat(descriptor).st_size
            digest = hashing.of_descriptor(descriptor, size)
        finally:
            os.close(descriptor)
        files.append(StoredFile(str(path.relative_to(staged)), size, digest))
    return sorted(files, key=lambda file: file.name)


def _read_signature(directory: int) -> bytes | None:
    try:
        return contents.read_plain(directory, SIGNATURE, signature.MAX_BYTES)
    except DamagedError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise ForgedError(error.message) from error


def _entries(path: Path) -> list[Path]:
    """What is in a directory, which need not be there, sorted."""
    try:
        return sorted(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise storage_error(str(path), error) from error


def _written(variant: Path) -> int | None:
    """When its manifest was written, in nanoseconds; None when it has none."""
    try:
        return (variant / MANIFEST).stat().st_mtime_ns
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise storage_error(f"{variant}/{MANIFEST}", error) from error


def _swap(staged: Path, target: Path) -> None:
    """Put `staged` in the place of `target`; readers of the old one keep their descriptors."""
    try:
        calls.renameat2(str(staged), str(target), calls.RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise storage_error(f"publishing {target}", error) from error
        # NFS cannot exchange: between the two renames the variant is absent, never half there.
        _discard(target)
        with named(f"publishing {target}"):
            staged.rename(target)
        return
    _discard(staged)


def hide(path: Path) -> Path:
    """Put a checkpoint out of sight, so that nobody finds half of it; where it is to be deleted."""
    trash = path.with_name(f"{TRASH}{uuid.uuid4().hex}")
    with named(f"removing {path}"):
        path.rename(trash)
    return trash


def _discard(path: Path) -> None:
    delete(hide(path))


def delete(trash: Path) -> bool:
    """Whether what was hidden is gone. It is not while somebody restores from it: then it is left
    for the next who tidies."""
    with removable(trash) as is_free:
        if not is_free:
            return False
    tree.remove(trash)
    return True


def _sync_tree(path: Path) -> None:
    for directory, _, names in os.walk(path):
        for name in names:
            descriptor = _open_own(f"{directory}/{name}")
            try:
                with named(f"{directory}/{name}"):
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _sync_directory(Path(directory))


def _open_own(path: str) -> int:
    """A file of a staged checkpoint; raises DamagedError for what chrek does not make. Others may
    write the volume, and opening a FIFO waits for ever."""
    with named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise DamagedError(
            f"{path} is not what was written there: somebody else writes to the volume"
        )
    return descriptor


def _sync_directory(path: Path) -> None:
    with named(str(path)):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
