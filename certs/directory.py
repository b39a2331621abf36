"""A directory in the Secret's place: for a run on one machine, where nothing else trusts."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from certs.errors import ConflictError, DirectoryError
from certs.pair import AUTHORITY_KEY, BUNDLE, CERTIFICATE, KEY, Content
from certs.places import Secret, SeenSecret

_MODES: Final = {AUTHORITY_KEY: 0o600, BUNDLE: 0o644, KEY: 0o600, CERTIFICATE: 0o644}
"""In the order of writing: the certificate last."""
_POLL_SECONDS: Final = 5.0


class DirectorySecrets:
    """One file a key. Killed between two files, the next run finds keys that do not fit and makes
    them again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return f"directory {self._path}"

    async def read(self) -> SeenSecret:
        try:
            content = _read(self._path)
        except OSError as error:
            raise DirectoryError(f"{self.name} cannot be read: {error}") from error
        return SeenSecret(Secret(content, _version(content)) if content else None, "")

    async def create(self, content: Content) -> None:
        self._write(content, _version({}))

    async def replace(self, secret: Secret, content: Content) -> None:
        self._write(content, secret.version)

    async def changed(self, since: str) -> bool:
        await asyncio.sleep(_POLL_SECONDS)
        return True

    def _write(self, content: Content, version: str) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            with _locked(self._path):
                if _version(_read(self._path)) != version:
                    raise ConflictError(f"{self.name} was written meanwhile")
                for key, mode in _MODES.items():
                    if key in content:
                        _put(self._path / key, content[key], mode)
        except OSError as error:
            raise DirectoryError(f"{self.name} cannot be written: {error}") from error


def _read(directory: Path) -> dict[str, bytes]:
    content = {}
    for key in _MODES:
        with suppress(FileNotFoundError):
            content[key] = (directory / key).read_bytes()
    return content


def _version(content: Content) -> str:
    hashed = hashlib.sha256()
    for key, value in sorted(content.items()):
        hashed.update(f"{key} {len(value)} ".encode() + value)
    return hashed.hexdigest()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Held for the moment of a write."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put(path: Path, content: bytes, mode: int) -> None:
    """Whole or as before; at no moment open to more readers than `mode` says."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
