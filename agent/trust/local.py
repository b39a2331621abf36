"""The keys of one machine: files below its root directory, the one that signs made when first
needed."""

import os
import stat
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.trust import pem
from agent.trust.keys import SIGNING, TRUSTED_PREFIX, TRUSTED_SUFFIX, Keyring, Keys, of_files
from chrek.errors import SigningKeyError

_MOST_BYTES: Final = 64 << 10
_OTHERS: Final = 0o077


def local(root: Path) -> Keyring:
    """The keys in ROOT/keys; raises SigningKeyError."""
    home = root / "keys"

    async def again() -> Keys:
        return _kept(home)

    return Keyring(_kept(home), again)


def _kept(home: Path) -> Keys:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (home / SIGNING).exists():
            _make(home)
        return _read(home)
    except OSError as error:
        raise SigningKeyError(f"{error.filename or home}: {error.strerror}") from error


def _make(home: Path) -> None:
    """By link(2): whoever comes second finds the key of whoever came first, whole."""
    beside = home / f".{uuid.uuid4().hex}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, pem.new())
        os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(beside, home / SIGNING)
    finally:
        os.close(descriptor)
        beside.unlink()


def _read(home: Path) -> Keys:
    trusted = [path.name for path in home.glob(f"{TRUSTED_PREFIX}*{TRUSTED_SUFFIX}")]
    return of_files({name: _content(home / name) for name in (SIGNING, *trusted)}, str(home))


def _content(path: Path) -> bytes:
    """Of a file that nobody but its owner, root or whoever runs chrek, may read or change."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise SigningKeyError(f"{path} is no plain file of sensible size")
        secret = path.name == SIGNING
        if found.st_uid != os.geteuid() or found.st_mode & (_OTHERS if secret else 0o022):
            raise SigningKeyError(
                f"{path} can be {'read' if secret else 'changed'} by others",
                hint=f"If it may have been, delete it, else: chown and chmod go-rwx {path}",
            )
        return os.read(descriptor, found.st_size)
    finally:
        os.close(descriptor)
