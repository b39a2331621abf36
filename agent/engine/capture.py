"""Capture: inspect -> files -> enter -> dump (and the files that changed) -> pack -> publish.

The source stands still only inside `dump`. Whatever fails, it runs on and staging is removed.
"""

import asyncio
import contextlib
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import chrek
from agent.criu import images, log, rpc
from agent.criu.bundle import Bundle
from agent.criu.rpc import CRIUFailedError
from agent.engine import entering, identity, inspect, operations
from agent.engine.inspect import Inspected
from agent.files import roots
from agent.files.archive import Archive
from agent.inside.child import Inside
from agent.runtime.target import Target
from agent.settings import Settings
from agent.store import checkpoints
from agent.store.checkpoints import Checkpoints, Stored
from chrek import manifest as manifests
from chrek.errors import ChrekError, DumpError, StorageError
from chrek.ids import CheckpointID, Variant
from chrek.manifest import Facts, Manifest
from chrek.names import CRIU_DIR, FILES_ARCHIVE, FORMAT_VERSION, MANIFEST
from chrek.phases import phase, recording

_DUMP_LOG = "dump.log"


@dataclass(frozen=True, slots=True)
class Capture:
    """What is captured and how. replace: take the place of an existing variant."""

    target: Target
    identifier: CheckpointID
    replace: bool = False


async def capture(
    asked: Capture, *, store: Checkpoints, bundle: Bundle, settings: Settings
) -> Stored:
    """Checkpoint a running container, which runs on; what was published. Raises ChrekError."""
    target = asked.target
    with recording() as seconds, contextlib.ExitStack() as stack:
        async with Inside() as inside:
            with phase("inspect"):
                sources = roots.of(target.init)
                inspected = await asyncio.to_thread(inspect.inspect, target, bundle, sources)
                variant = identity.variant(inspected.facts)
                _refuse_existing(store, asked, variant)
            staged = store.staging_path(asked.identifier)
            stack.enter_context(operations.recorded(settings, "capture", target, [staged]))
            stack.enter_context(store.staging(staged))
            with Archive(
                staged / FILES_ARCHIVE, target.init, sources, settings.files_limit_bytes
            ) as archive:
                with phase("files"):
                    await asyncio.to_thread(archive.copy)
                await _dump(inside, asked, inspected, staged, archive, bundle, settings)
        with phase("pack"):
            manifest = await asyncio.to_thread(
                _pack, asked, store, inspected, staged, bundle, variant, seconds
            )
        with phase("publish"):
            place = await asyncio.to_thread(
                store.publish, staged, variant, replace=asked.replace
            )
        return Stored(place, msgspec.structs.replace(manifest, phases=dict(seconds)))


def _refuse_existing(store: Checkpoints, asked: Capture, variant: Variant) -> None:
    """Before the source is frozen for nothing; publishing checks again."""
    taken = {path.name for path in store.variants(asked.identifier)}
    if variant in taken and not asked.replace:
        raise checkpoints.exists(asked.identifier)


async def _dump(
    inside: Inside,
    asked: Capture,
    inspected: Inspected,
    staged: Path,
    archive: Archive,
    bundle: Bundle,
    settings: Settings,
) -> None:
    place = staged / CRIU_DIR
    place.mkdir(mode=0o700)
    directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with phase("enter"):
            entry = entering.Entry(images=directory, work=directory)
            criu = await entering.dump(inside, asked.target, bundle, settings, entry)
    finally:
        os.close(directory)

    async def notified(point: str) -> None:
        if point == "post-dump":
            with phase("files-frozen"):
                await asyncio.to_thread(_while_frozen, inspected, asked.target, archive)

    with criu.rpc:
        chosen = rpc.options(
            bundle,
            images_fd=criu.numbers["images"],
            work_fd=criu.numbers["work"],
            log_name=_DUMP_LOG,
        )
        chosen.pid = inspected.root.pid
        chosen.leave_running = True
        try:
            with phase("dump"):
                await rpc.dump(bundle, criu.rpc, chosen, notified)
        except CRIUFailedError as error:
            raise _explained(error, asked, place, settings) from error
    with phase("leave"):
        await inside.ended()


def _while_frozen(inspected: Inspected, target: Target, archive: Archive) -> None:
    inspect.unchanged(inspected, target)
    archive.copy()


def _explained(
    error: CRIUFailedError, asked: Capture, place: Path, settings: Settings
) -> ChrekError:
    told = log.told(error.message, place / _DUMP_LOG)
    free = shutil.disk_usage(place).free
    if "No space left" in told or free == 0:
        return StorageError(f"no space is left for the checkpoint of {asked.target.name}")
    kept = settings.logs / f"{asked.target.name}-dump.log"
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place / _DUMP_LOG, kept)
    return DumpError(
        f"{asked.target.name} could not be dumped and runs on: {told}", hint=f"CRIU's log: {kept}"
    )


def _pack(
    asked: Capture,
    store: Checkpoints,
    inspected: Inspected,
    staged: Path,
    bundle: Bundle,
    variant: Variant,
    seconds: dict[str, float],
) -> Manifest:
    facts = _complete(inspected, staged, bundle)
    try:
        shutil.copyfile(f"/proc/{inspected.root.host_pid}/exe", staged / facts.reaper)
        statistics = images.statistics(bundle, (staged / CRIU_DIR / "stats-dump").read_bytes())
        manifest = Manifest(
            format=FORMAT_VERSION,
            id=asked.identifier,
            variant=variant,
            namespace=store.namespace,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            chrek=chrek.__version__,
            source=asked.target.name,
            facts=facts,
            files=checkpoints.table(staged),
            phases=dict(seconds),
            frozen_seconds=statistics.freezing_seconds + statistics.frozen_seconds,
            spec=asked.target.spec,
        )
        (staged / MANIFEST).write_bytes(manifests.encode(manifest))
    except OSError as error:
        raise StorageError(f"packing the checkpoint of {asked.target.name}: {error}") from error
    return manifest


def _complete(inspected: Inspected, staged: Path, bundle: Bundle) -> Facts:
    """The images know PIDs that came to be between inspection and freeze."""
    pstree = (staged / CRIU_DIR / "pstree.img").read_bytes()
    highest = max(inspected.facts.max_pid, images.highest_pid(bundle, pstree))
    return msgspec.structs.replace(inspected.facts, max_pid=highest)
