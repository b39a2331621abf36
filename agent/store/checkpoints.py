"""The directory tree of checkpoints: <claim>/<namespace>/<id>/<variant>/, opened without trust."""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.kernel import calls, tree
from agent.store import hashing
from chrek import ids
from chrek.errors import DamagedError, ExistsError, NotFoundError, StorageError
from chrek.ids import CheckpointID
from chrek.manifest import MAX_BYTES, Manifest, StoredFile, decode
from chrek.names import MANIFEST

_STAGING = ".staging-"
_TRASH = ".trash-"


@dataclass(frozen=True, slots=True)
class Stored:
    """A published checkpoint: its place and its manifest."""

    path: Path
    manifest: Manifest


class Checkpoints:
    """Checkpoints of one namespace on one claim."""

    def __init__(self, claim: Path, namespace: str) -> None:
        self._home = claim / ids.label(namespace, "namespace")
        self.namespace = namespace

    def ids(self) -> list[CheckpointID]:
        """Ids that have at least one variant, whole or damaged."""
        if not self._home.is_dir():
            return []
        names = sorted(entry.name for entry in self._home.iterdir() if ids.is_label(entry.name))
        return [CheckpointID(name) for name in names if self.every_variant(CheckpointID(name))]

    def variants(self, identifier: CheckpointID) -> list[Path]:
        """Directories of the published variants of one id, newest first."""
        found = [entry for entry in self.every_variant(identifier) if (entry / MANIFEST).exists()]
        return sorted(found, key=lambda entry: (entry / MANIFEST).stat().st_mtime, reverse=True)

    def newest(self, identifier: CheckpointID) -> Path:
        """The newest variant of an id; raises NotFoundError."""
        variants = self.variants(identifier)
        if not variants:
            raise NotFoundError(f"there is no checkpoint {identifier}", hint="See `chrek ls`")
        return variants[0]

    def staging_path(self, identifier: CheckpointID) -> Path:
        """A new place for a capture, not yet made."""
        return self._home / ids.checkpoint_id(identifier) / f"{_STAGING}{uuid.uuid4().hex}"

    @contextmanager
    def staging(self, place: Path) -> Iterator[None]:
        """Make `place` for a capture; gone after the block unless published."""
        try:
            place.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"{place}: {error.strerror}", hint="Check the volume") from error
        try:
            yield
        finally:
            tree.remove(place)
            with suppress(OSError):
                place.parent.rmdir()  # only when nothing else is there

    def publish(self, staged: Path, variant: str, *, replace: bool) -> Path:
        """Make `staged` the variant, durable and whole; raises ExistsError without `replace`."""
        target = staged.parent / variant
        _sync_tree(staged)
        try:
            staged.rename(target)  # fails when it exists: a directory that is not empty
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise StorageError(f"publishing {target}: {error}") from error
            if not replace:
                raise exists(CheckpointID(target.parent.name)) from error
            _swap(staged, target)
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
        """Delete what killed captures and removals left, but for `in_use`; what was deleted."""
        left = [
            entry
            for pattern in (f"*/{_STAGING}*", f"*/{_TRASH}*")
            for entry in self._home.glob(pattern)
            if entry not in in_use
        ]
        for entry in left:
            tree.remove(entry)
            with suppress(OSError):
                entry.parent.rmdir()
        return left

    def every_variant(self, identifier: CheckpointID) -> list[Path]:
        """Directories of variants, also of damaged ones that have no manifest any more."""
        home = self._home / ids.checkpoint_id(identifier)
        if not home.is_dir():
            return []
        return [entry for entry in home.iterdir() if ids.is_variant(entry.name)]


def exists(identifier: CheckpointID) -> ExistsError:
    """The error for a variant that is there already."""
    return ExistsError(
        f"checkpoint {identifier} exists already for this machine",
        hint=f"Use --as NAME, --replace, or `chrek rm {identifier}`",
    )


def load(path: Path) -> Manifest:
    """The manifest of the checkpoint in `path`; raises DamagedError, FormatError."""
    with opened(path) as directory:
        manifest = decode(_read(directory, MANIFEST, MAX_BYTES))
    if (manifest.id, manifest.variant) != (path.parent.name, path.name):
        raise DamagedError(f"the manifest in {path} is that of {manifest.id}/{manifest.variant}")
    return manifest


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a checkpoint's directory; raises NotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(f"no checkpoint at {path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(directory: int, file: StoredFile) -> int:
    """A descriptor of one file of a checkpoint; raises DamagedError unless it is a plain file of
    the recorded size. Neither a link nor a FIFO nor a way out of the directory is followed."""
    try:
        descriptor = calls.openat2(
            directory,
            file.name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
            resolve=calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS,
        )
    except OSError as error:
        raise DamagedError(f"{file.name} of the checkpoint: {error.strerror}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.size_bytes:
        os.close(descriptor)
        raise DamagedError(
            f"{file.name} of the checkpoint has {found.st_size} bytes, not {file.size_bytes}"
        )
    return descriptor


def verified(descriptor: int, file: StoredFile) -> None:
    """Raise DamagedError unless the bytes behind `descriptor` are those that were published."""
    if hashing.of_descriptor(descriptor, file.size_bytes) != file.digest:
        raise DamagedError(f"{file.name} of the checkpoint is damaged: its hash differs")


def read_verified(directory: int, file: StoredFile) -> bytes:
    """A small file, read once: the bytes returned are the bytes that were checked."""
    descriptor = open_file(directory, file)
    try:
        content = _read_all(descriptor, file.size_bytes)
    finally:
        os.close(descriptor)
    if hashing.of_bytes(content) != file.digest:
        raise DamagedError(f"{file.name} of the checkpoint is damaged: its hash differs")
    return content


def verify(path: Path) -> Manifest:
    """Check every byte of a checkpoint; its manifest. Raises DamagedError."""
    manifest = load(path)
    with opened(path) as directory:
        for file in manifest.files:
            descriptor = open_file(directory, file)
            try:
                verified(descriptor, file)
            finally:
                os.close(descriptor)
    return manifest


def table(staged: Path) -> list[StoredFile]:
    """The file table of a staged checkpoint: every file below it, hashed."""
    files: list[StoredFile] = []
    for path in sorted(entry for entry in staged.rglob("*") if entry.is_file()):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            digest = hashing.of_descriptor(descriptor, size)
        finally:
            os.close(descriptor)
        files.append(StoredFile(str(path.relative_to(staged)), size, digest))
    return files


def _read(directory: int, name: str, most: int) -> bytes:
    try:
        descriptor = calls.openat2(
            directory,
            name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
            resolve=calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS,
        )
    except OSError as error:
        raise DamagedError(f"{name} of the checkpoint: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise DamagedError(f"{name} of the checkpoint is no plain file of sensible size")
        return _read_all(descriptor, found.st_size)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _swap(staged: Path, target: Path) -> None:
    """Put `staged` in the place of `target`; readers of the old one keep their descriptors."""
    try:
        calls.renameat2(str(staged), str(target), calls.RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise StorageError(f"publishing {target}: {error}") from error
        # NFS cannot exchange: between the two renames the variant is absent, never half there.
        _discard(target)
        staged.rename(target)
        return
    _discard(staged)


def _discard(path: Path) -> None:
    """Out of sight first, so that nobody finds half of it."""
    trash = path.with_name(f"{_TRASH}{uuid.uuid4().hex}")
    path.rename(trash)
    tree.remove(trash)


def _sync_tree(path: Path) -> None:
    for directory, _, names in os.walk(path):
        for name in names:
            descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            except OSError as error:
                raise StorageError(f"{directory}/{name}: {error.strerror}") from error
            finally:
                os.close(descriptor)
        _sync_directory(Path(directory))


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
