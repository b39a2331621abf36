"""Restore: compare -> verify -> enter -> files -> CRIU -> leave -> adopt.

Whatever fails, nothing of a half-restored tree stays and the placeholder starts cold.
"""

import asyncio
import contextlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from agent.criu import log, rpc
from agent.criu.bundle import Bundle
from agent.criu.rpc import CRIUFailedError
from agent.engine import entering, operations, stdio
from agent.engine.compare import compare
from agent.engine.prepared import Prepared, prepare
from agent.files.apply import apply
from agent.init import words
from agent.inside.child import CRIUProcess, Inside
from agent.kernel import addresses
from agent.runtime.target import Target
from agent.settings import Settings
from agent.store import checkpoints
from chrek.errors import ChrekError, RestoreError, TargetGoneError
from chrek.ids import NamespacePID
from chrek.manifest import Manifest
from chrek.phases import phase, recording

_RESTORE_LOG = "restore.log"


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored placeholder. ended: the app exited before it could be handed over; the
    container has its exit code. phases: seconds by name; `criu` is CRIU's own."""

    target: Target
    pid: NamespacePID
    phases: dict[str, float]
    ended: bool


async def restore(
    target: Target, path: Path, *, bundle: Bundle, settings: Settings
) -> Restored:
    """Restore the checkpoint in `path` into a placeholder whose chrek-init waits.

    Raises ChrekError after the placeholder was told to start cold.
    """
    try:
        with recording() as seconds:
            async with asyncio.timeout(settings.restore_timeout_seconds):
                pid, ended = await _restore(target, path, bundle, settings)
            return Restored(target, pid, dict(seconds), ended)
    except TimeoutError as error:
        failure = RestoreError(
            f"the restore into {target.name} took more than "
            f"{settings.restore_timeout_seconds:.0f} s"
        )
        await start_cold(target, failure)
        raise failure from error
    except ChrekError as error:
        await start_cold(target, error)
        raise
    except asyncio.CancelledError:
        await asyncio.shield(start_cold(target, RestoreError("the restore was interrupted")))
        raise


async def start_cold(target: Target, why: ChrekError) -> None:
    """Have the placeholder run its original command; silent when it is gone already."""
    with contextlib.suppress(TargetGoneError):
        await words.cold(target, f"{why.reason}: {why.message}")


async def _restore(
    target: Target, path: Path, bundle: Bundle, settings: Settings
) -> tuple[NamespacePID, bool]:
    scratch = settings.scratch / uuid.uuid4().hex
    async with Inside() as inside, contextlib.AsyncExitStack() as stack:
        stack.enter_context(operations.recorded(settings, "restore", target, [scratch]))
        with phase("compare"):
            manifest = await asyncio.to_thread(checkpoints.load, path)
            await words.reachable(target)
            await asyncio.to_thread(compare, manifest, target)
        with phase("verify"):
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            directory = stack.enter_context(checkpoints.opened(path))
            prepared = await stack.enter_async_context(
                prepare(manifest, directory, scratch, bundle, addresses.own(target.init))
            )
        await stack.enter_async_context(words.restoring(target))
        with phase("enter"):
            streams = stack.enter_context(stdio.inherited(manifest.facts.stdio, target))
            criu = await _enter(inside, target, manifest, prepared, streams, bundle, settings)
        with phase("files"):
            prepared.install_reaper(target)
            await asyncio.to_thread(
                apply, prepared.archive, manifest.facts.file_roots, target.init
            )
        pid = await _run_criu(criu, target, manifest, prepared, streams, bundle, settings, scratch)
        with phase("leave"):
            await inside.ended()
        with phase("adopt"):
            try:
                await words.adopt(target, pid)
            except TargetGoneError:
                return pid, True
    return pid, False


async def _enter(
    inside: Inside,
    target: Target,
    manifest: Manifest,
    prepared: Prepared,
    streams: dict[str, int],
    bundle: Bundle,
    settings: Settings,
) -> CRIUProcess:
    entry = entering.Entry(
        images=prepared.images,
        work=prepared.images,
        last_pid=manifest.facts.max_pid,
        large=prepared.large,
        stdio=streams,
    )
    return await entering.restore(inside, target, bundle, settings, entry)


async def _run_criu(
    criu: CRIUProcess,
    target: Target,
    manifest: Manifest,
    prepared: Prepared,
    streams: dict[str, int],
    bundle: Bundle,
    settings: Settings,
    scratch: Path,
) -> NamespacePID:
    async def notified(point: str) -> None:
        if point == "pre-resume":
            with phase("verify"):
                await prepared.verified
            with phase("adopt"):
                words.expect(target, NamespacePID(manifest.facts.root_pid))

    with criu.rpc:
        chosen = rpc.options(
            bundle,
            images_fd=criu.numbers["images"],
            work_fd=criu.numbers["work"],
            log_name=_RESTORE_LOG,
        )
        for key in streams:
            chosen.inherit_fd.add(key=key, fd=criu.numbers[key])
        try:
            with phase("criu"):
                return NamespacePID(await rpc.restore(bundle, criu.rpc, chosen, notified))
        except CRIUFailedError as error:
            raise _explained(error, target, scratch, settings) from error


def _explained(
    error: CRIUFailedError, target: Target, scratch: Path, settings: Settings
) -> RestoreError:
    told = log.told(error.message, scratch / _RESTORE_LOG)
    kept = settings.logs / f"{target.name}-restore.log"
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scratch / _RESTORE_LOG, kept)
    return RestoreError(f"CRIU could not restore into {target.name}: {told}", hint=f"Log: {kept}")


