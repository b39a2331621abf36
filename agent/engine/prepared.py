"""A checkpoint made ready for CRIU: small images copied and checked, large ones linked.

The copy on a tmpfs of the agent's own is what CRIU reads, so the bytes that were checked are
the bytes that are used, whoever can write the volume. Large files are checked beside CRIU's
work; nothing resumes before that is done.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agent.criu import images, moved
from agent.engine import filling
from agent.engine.current import Current
from agent.engine.filling import Fill
from agent.engine.means import Means
from agent.engine.threads import to_its_end
from agent.kernel import addresses, calls, memory, workers
from agent.pages import opened
from agent.runtime.target import Target
from agent.store import contents
from agent.trust import containers, gate, kinds
from agent.trust.gate import Passed
from agent.trust.rights import Container
from chrek.errors import DamagedError, RestoreError
from chrek.manifest import Manifest, StoredFile
from chrek.names import CHREK_DIR, CRIU_DIR, FILES_ARCHIVE

_FILES_IMAGE = "files.img"
_SMALL_BYTES = 1 << 20
_MOST_LINKS = 200
_MOST_COPIED_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Prepared:
    """images: descriptor of the directory for CRIU. large: image name -> descriptor.
    archive: descriptor of files.tar.zst, checked. container: what the tasks of `passed` may have
    there. verified: done once every byte is, but those of pages: they are when they are used.
    fill: what brings these; None where there are none."""

    images: int
    large: dict[str, int]
    archive: int
    reaper: tuple[str, bytes]
    container: Container
    passed: Passed
    verified: "asyncio.Future[None]"
    fill: Fill | None

    def install_reaper(self, target: Target) -> None:
        """Put the reaper that the checkpoint was made with where its processes run it from."""
        name, content = self.reaper
        within = calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS
        try:
            root = os.open(target.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                home = calls.openat2(
                    root, CHREK_DIR.lstrip("/"), os.O_RDONLY | os.O_DIRECTORY, resolve=within
                )
            finally:
                os.close(root)
            try:
                _put(home, name, content)
            finally:
                os.close(home)
        except OSError as error:
            raise RestoreError(f"{CHREK_DIR}/{name} could not be written: {error}") from error


@contextlib.asynccontextmanager
async def prepare(
    manifest: Manifest,
    directory: int,
    scratch: Path,
    means: Means,
    target: Target,
) -> AsyncIterator[Prepared]:
    """Make ready for `target` the checkpoint whose directory is open as `directory`; raises
    DamagedError, IncompatibleError, ExceedsError."""
    container, bundle = await asyncio.to_thread(containers.of, target), means.bundle
    async with contextlib.AsyncExitStack() as stack:
        scratch.mkdir(parents=True, mode=0o700)  # noqa: ASYNC240 - a tmpfs
        place = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, place)
        by_name = {file.name: file for file in manifest.files}
        pages = await to_its_end(stack.enter_context, opened.opened(directory, manifest.files))
        mappings = {each.mappings for each in pages}
        archive_file = _named(by_name, FILES_ARCHIVE)
        archive = contents.open_file(directory, archive_file)
        stack.callback(os.close, archive)
        linked: dict[str, int] = {}
        small: list[StoredFile] = []
        names: list[str] = []
        for file in manifest.files:
            kind, _, name = file.name.partition("/")
            if kind != CRIU_DIR or kinds.dropped(name):
                continue
            names.append(name)
            read_here = kinds.read_by_the_gate(name) or name in mappings
            if file.size_bytes > _SMALL_BYTES and not read_here and len(linked) < _MOST_LINKS:
                linked[name] = contents.open_file(directory, file)
                stack.callback(os.close, linked[name])
            else:
                small.append(file)
        reaper_file = _named(by_name, manifest.facts.reaper)
        _bounded([reaper_file, *small])
        await asyncio.to_thread(contents.verified, archive, archive_file)
        reaper = contents.read_verified(directory, reaper_file)
        deciding: dict[str, bytes] = {}
        async for name, content in _contents(directory, small):
            if kinds.read_by_the_gate(name) or name in mappings:
                deciding[name] = content
            else:
                _put(place, name, content)
        passed = await asyncio.to_thread(gate.passed, bundle, names, deciding, container)
        advised = await asyncio.to_thread(opened.check, bundle, pages, passed)
        own = addresses.own(target.init)
        files = images.rebound(bundle, passed.images[_FILES_IMAGE], manifest.facts.addresses, own)
        files = moved.moved(bundle, files, Current(target).look)
        for name, content in (passed.images | advised | {_FILES_IMAGE: files}).items():
            _put(place, name, content)
        large_files = [(by_name[f"{CRIU_DIR}/{name}"], fd) for name, fd in linked.items()]
        threads = workers.near(target.init, means.settings.page_threads)
        fill = await stack.enter_async_context(filling.ready(pages, threads)) if pages else None
        verified = asyncio.ensure_future(asyncio.to_thread(_verify, large_files))
        try:
            installed = (manifest.facts.reaper, reaper)
            yield Prepared(place, linked, archive, installed, container, passed, verified, fill)
        finally:
            # A thread cannot be cancelled; its descriptors must outlive it.
            await asyncio.gather(verified, return_exceptions=True)


async def _contents(directory: int, files: list[StoredFile]) -> AsyncIterator[tuple[str, bytes]]:
    """Images by their names, checked."""
    for file in files:
        content = await asyncio.to_thread(contents.read_verified, directory, file)
        yield file.name.partition("/")[2], content


def _verify(files: list[tuple[StoredFile, int]]) -> None:
    for file, descriptor in files:
        contents.verified(descriptor, file)


def _bounded(copied: list[StoredFile]) -> None:
    total = sum(file.size_bytes for file in copied)
    if total > _MOST_COPIED_BYTES:
        raise DamagedError(f"the checkpoint has {total} bytes of small images")


def _named(by_name: dict[str, StoredFile], name: str) -> StoredFile:
    try:
        return by_name[name]
    except KeyError as error:
        raise DamagedError(f"the checkpoint has no {name}") from error


def _put(directory: int, name: str, content: bytes) -> None:
    """A new file in place of whatever has that name."""
    beside = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o755, dir_fd=directory)
    try:
        memory.write(descriptor, memoryview(content), 0)
    finally:
        os.close(descriptor)
    os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
