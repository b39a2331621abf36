"""Capture: inspect -> files -> enter -> dump (and the files that changed) -> pack -> copy ->
publish.

The source stands still only inside `dump`. Whatever fails, it runs on and staging is removed.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import chrek
from agent.criu import images, log, rearmed, rpc
from agent.criu.rpc import CRIUFailedError, CRIUStillError
from agent.engine import entering, gpu, gpu_room, identity, inspect, operations, staging
from agent.engine.inspect import Inspected
from agent.engine.means import Means
from agent.engine.staging import Publication, Staging
from agent.engine.threads import to_its_end
from agent.files import measure, roots
from agent.files.archive import Archive
from agent.inside.child import Inside
from agent.kernel import process, progress, workers
from agent.pages import pack
from agent.runtime.target import Target
from agent.store import checkpoints
from agent.store.checkpoints import Checkpoints, Stored
from agent.store.failures import named
from chrek import manifest as manifests
from chrek.errors import ChrekError, DumpError, StorageFullError, TargetGoneError
from chrek.ids import CheckpointID, Variant
from chrek.manifest import Facts, Manifest, PodFacts, StoredFile
from chrek.names import (
    CRIU_DIR,
    FILES_ARCHIVE,
    FORMAT_UNCOMPRESSED,
    FORMAT_VERSION,
    FORMAT_WITHOUT_PAGES,
    MANIFEST,
    PAGES_INDEX,
    SIGNATURE,
)
from chrek.phases import phase, recording

_DUMP_LOG = "dump.log"
_FREEZE_SECONDS = 5
"""So long CRIU tries to stop all threads, with some of them standing already."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is captured and how. replace: take the place of an existing variant. pod: in a
    cluster, whose container it is."""

    target: Target
    identifier: CheckpointID
    replace: bool = False
    pod: PodFacts = field(default_factory=PodFacts)


@dataclass(frozen=True, slots=True)
class _Work:
    """One capture under way: what was inspected, and where it is staged. gpu: None where the
    source has no CUDA context."""

    asked: Capture
    means: Means
    inspected: Inspected
    gpu: gpu.Source | None
    staging: Staging

    @property
    def staged(self) -> Path:
        return self.staging.path

    @property
    def images(self) -> Path:
        return self.staged / CRIU_DIR


async def capture(asked: Capture, *, store: Checkpoints, means: Means) -> Stored:
    """Checkpoint a running container, which runs on; what was published. Raises ChrekError."""
    target, settings = asked.target, means.settings
    async with contextlib.AsyncExitStack() as stack:
        seconds = stack.enter_context(recording(target.name))
        stack.enter_context(operations.alone(settings, target))
        async with Inside() as inside:
            with phase("inspect"):
                sources = roots.of(target.init)
                inspected = await asyncio.to_thread(inspect.inspect, target, means.bundle, sources)
                source = await gpu.inspect(target, inspected.tree, means)
                on_gpu = source.facts if source else None
                variant = identity.variant(inspected.facts, asked.pod, on_gpu)
                _refuse_existing(store, asked, variant)
                needed_bytes = await asyncio.to_thread(
                    _needed_bytes, asked, means, inspected, source, sources
                )
                place = await stack.enter_async_context(
                    staging.chosen(store, asked.identifier, means.cache, needed_bytes)
                )
            work = _Work(asked, means, inspected, source, place)
            stack.enter_context(operations.recorded(settings, "capture", target, place.places))
            stack.enter_context(place.made())
            archive_path = work.staged / FILES_ARCHIVE
            with Archive(archive_path, target.init, sources, settings.files_limit_bytes) as archive:
                with phase("files"):
                    await asyncio.to_thread(archive.copy)
                await _dump(work, inside, archive)
        with phase("pack"):
            stop = threading.Event()
            packed = await to_its_end(_pack, work, stop, stop=stop)
        seal = functools.partial(_sealed, work, packed, variant, seconds)
        wanted = Publication(packed.files, seal, settings.compression, asked.replace)
        path, manifest = await place.publish(wanted)
        return Stored(path, msgspec.structs.replace(manifest, phases=dict(seconds)))


def _needed_bytes(
    asked: Capture,
    means: Means,
    inspected: Inspected,
    source: gpu.Source | None,
    sources: list[roots.SourceRoot],
) -> int:
    """Most that the checkpoint takes: of what processes share, each counts all."""
    if means.cache is None:
        return 0  # nobody chooses
    target, limit_bytes = asked.target, means.settings.files_limit_bytes
    with named(f"looking at the files of {target.name}"):
        files_bytes = measure.within(target.init, sources, limit_bytes)
    on_gpus = gpu_room.on_gpus(source.facts) if source else 0
    return files_bytes + on_gpus + sum(each.rss_bytes for each in inspected.tree)


def _refuse_existing(store: Checkpoints, asked: Capture, variant: Variant) -> None:
    """Before the source is frozen for nothing; publishing checks again."""
    taken = {path.name for path in store.variants(asked.identifier)}
    if variant in taken and not asked.replace:
        raise checkpoints.exists(asked.identifier)


async def _dump(work: _Work, inside: Inside, archive: Archive) -> None:
    target, means = work.asked.target, work.means
    with named(str(work.images)):
        work.images.mkdir(mode=0o700)
        directory = os.open(work.images, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with phase("enter"):
            entry = entering.Entry(images=directory, work=directory)
            criu = await entering.dump(inside, target, means, entry)
    finally:
        os.close(directory)

    async def notified(point: str) -> None:
        if point == "post-dump":
            with phase("files-frozen"):
                await asyncio.to_thread(_while_frozen, work.inspected, target, archive)

    with criu.rpc:
        chosen = rpc.options(
            means.bundle,
            images_fd=criu.numbers["images"],
            work_fd=criu.numbers["work"],
            log_name=_DUMP_LOG,
        )
        chosen.pid = work.inspected.root.pid
        chosen.leave_running = True
        chosen.timeout = _FREEZE_SECONDS
        chosen.irmap_scan_paths.extend(work.inspected.watched)
        try:
            async with gpu.paused(work.gpu, target, means):
                with phase("dump"):
                    try:
                        gets_on = _progress(target, criu.pid)
                        await rpc.dump(means.bundle, criu.rpc, chosen, notified, gets_on)
                    except CRIUStillError:
                        # Before all else: closing a file of a volume that hangs, hangs too.
                        await inside.close()
                        raise
        except CRIUFailedError as error:
            raise _explained(error, work) from error
        except CRIUStillError as error:
            raise DumpError(
                f"CRIU hung while it dumped {target.name}, and was ended",
                hint="Does the disk or volume that it writes to answer?",
            ) from error
    with phase("leave"):
        await inside.ended()


def _progress(target: Target, pid: int) -> Callable[[], object]:
    """Tells whether CRIU, which is `pid` in the container, gets on."""
    host: list[int] = []

    def told() -> object:
        with contextlib.suppress(ChrekError):
            if not host:
                found = process.in_pid_namespace(target.init)
                host.extend(each.host_pid for each in found if each.pid == pid)
            return progress.of(host[0]) if host else ()
        return ()

    return told


def _while_frozen(inspected: Inspected, target: Target, archive: Archive) -> None:
    inspect.unchanged(inspected, target)
    archive.copy()


def _explained(error: CRIUFailedError, work: _Work) -> ChrekError:
    name = work.asked.target.name
    written = work.images / _DUMP_LOG
    told = log.told(error.message, written)
    if not work.asked.target.alive():
        return TargetGoneError(f"{name} ended while it was captured: {told}")
    if "No space left" in told or _is_full(work.images):
        where = "in the node's directory" if work.staging.beside else "on the volume"
        return StorageFullError(
            f"no space is left {where} for the checkpoint of {name}, which runs on"
        )
    place = work.means.settings.logs / f"{name}-dump.log"
    kept = log.keep(written, place, work.means.settings.shown(place))
    return DumpError(f"{name} could not be dumped and runs on: {told}", hint=kept)


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path).free == 0
    return False


@dataclass(frozen=True, slots=True)
class _Packed:
    """What packing found. frozen_seconds: as CRIU measured it."""

    facts: Facts
    files: list[StoredFile]
    frozen_seconds: float


def _pack(work: _Work, stop: threading.Event) -> _Packed:
    with named(f"packing the checkpoint of {work.asked.target.name}"):
        facts = _complete(work)
        reaper = f"/proc/{work.inspected.root.host_pid}/exe"
        shutil.copyfile(reaper, work.staged / facts.reaper)
        measured = images.statistics(work.means.bundle, (work.images / "stats-dump").read_bytes())
        open_files = work.images / "files.img"
        open_files.write_bytes(rearmed.rearmed(work.means.bundle, open_files.read_bytes()))
        with phase("pages"):
            count = workers.threads(work.means.settings.page_threads)
            pages = pack.pack(work.means.bundle, work.staged, count, stop)
        files = checkpoints.table(work.staged, pages)
    frozen_seconds = measured.freezing_seconds + measured.frozen_seconds
    return _Packed(facts, files, frozen_seconds)


def _sealed(
    work: _Work,
    packed: _Packed,
    variant: Variant,
    seconds: dict[str, float],
    files: list[StoredFile],
) -> Manifest:
    """The manifest, written and signed. files: as they lie on the volume."""
    manifest = Manifest(
        format=_format(files),
        id=work.asked.identifier,
        variant=variant,
        namespace=work.staging.volume.namespace,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        chrek=chrek.__version__,
        source=work.asked.target.name,
        facts=packed.facts,
        files=files,
        phases=dict(seconds),
        frozen_seconds=packed.frozen_seconds,
        spec=work.asked.target.spec,
        pod=work.asked.pod,
        gpu=work.gpu.facts if work.gpu else None,
    )
    encoded = manifests.encode(manifest)
    manifests.decode(encoded)  # what no restore could read is not published
    with named(f"writing the manifest of {work.asked.identifier}"):
        (work.staged / SIGNATURE).write_bytes(work.means.keys.sign(encoded))
        (work.staged / MANIFEST).write_bytes(encoded)
    return manifest


def _format(files: list[StoredFile]) -> int:
    """The oldest that has all of these."""
    if any(file.compressed for file in files):
        return FORMAT_VERSION
    has_pages = any(file.name == PAGES_INDEX for file in files)
    return FORMAT_UNCOMPRESSED if has_pages else FORMAT_WITHOUT_PAGES


def _complete(work: _Work) -> Facts:
    """The images know PIDs that came to be between inspection and freeze."""
    facts = work.inspected.facts
    pstree = (work.images / "pstree.img").read_bytes()
    highest = max(facts.max_pid, images.highest_pid(work.means.bundle, pstree))
    return msgspec.structs.replace(facts, max_pid=highest)
