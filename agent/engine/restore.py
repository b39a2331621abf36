"""Restore: compare -> verify -> enter -> files -> CRIU -> leave -> adopt.

Whatever fails, nothing of a half-restored tree stays and the placeholder starts cold.
"""

import asyncio
import contextlib
import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agent.criu import log, rpc
from agent.criu.rpc import CRIUFailedError
from agent.engine import entering, gpu_placement, killed, operations, orphans, stdio
from agent.engine.compare import compare
from agent.engine.means import Means
from agent.engine.prepared import Prepared
from agent.engine.reading import reading
from agent.engine.threads import to_its_end
from agent.files.apply import Written, apply, holds_files
from agent.init import words
from agent.inside.child import CRIUProcess, Inside
from agent.kernel import tree
from agent.runtime.target import Target
from agent.store import checkpoints
from agent.trust import running
from chrek.errors import ChrekError, RestoreError, TargetGoneError
from chrek.ids import NamespacePID
from chrek.manifest import Manifest
from chrek.phases import Span, phase, recording

_RESTORE_LOG = "restore.log"
_FAILED = 1


@dataclass(frozen=True, slots=True)
class Choices:
    """How to restore. namespace: whose checkpoints fit. timeout_seconds: None means that of the
    settings. restart: the container was started before in this pod, so what other containers
    share with it stays as it is. fresh_container: after a failure a new one can come, so that no
    cold start meets the source's files; False where a container is never started again.
    """

    namespace: str
    timeout_seconds: float | None = None
    on_failure: Literal["cold-start", "fail"] = "cold-start"
    restart: bool = False
    fresh_container: bool = True


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored placeholder. ended: the app exited before it could be handed over; the
    container has its exit code. phases: seconds by name; `criu` is CRIU's own. spans: when they
    ran. copied: it was read from the node's own copy."""

    target: Target
    pid: NamespacePID
    phases: dict[str, float]
    spans: list[Span]
    ended: bool
    copied: bool = False


@dataclass(frozen=True, slots=True)
class _Work:
    """One restore under way. scratch: directory on a tmpfs for what CRIU reads and logs."""

    target: Target
    path: Path
    means: Means
    choices: Choices
    scratch: Path
    manifest: Manifest | None


async def fitting(target: Target, path: Path, *, means: Means, choices: Choices) -> Manifest:
    """The manifest of the checkpoint in `path`, if that may be restored into `target`, whose PID 1
    is chrek-init; raises ChrekError."""
    manifest = await checkpoints.loaded(path, means.keys)
    checkpoints.belongs(manifest, choices.namespace)
    await asyncio.to_thread(compare, manifest, target)
    return manifest


async def restore(
    target: Target,
    path: Path,
    *,
    means: Means,
    choices: Choices,
    manifest: Manifest | None = None,
) -> Restored:
    """Restore the checkpoint in `path` into a placeholder whose chrek-init waits. manifest: what
    `fitting` gave for both, where it was asked before.

    Raises ChrekError after the placeholder was told to start cold, or to end.
    """
    limit_seconds = choices.timeout_seconds or means.settings.restore_timeout_seconds
    work = _Work(target, path, means, choices, means.settings.new_scratch(), manifest)
    try:
        with recording(target.name) as seconds:
            async with asyncio.timeout(limit_seconds):
                restored = await _restore(work)
            return replace(restored, phases=dict(seconds), spans=seconds.spans)
    except TimeoutError as error:
        failure = RestoreError(
            f"the restore into {target.name} took more than {limit_seconds:.0f} s"
        )
        await instead(target, choices, failure)
        raise failure from error
    except ChrekError as error:
        await instead(target, choices, error)
        raise
    except Exception as error:
        failure = RestoreError(f"the restore into {target.name} failed: {error!r}")
        await instead(target, choices, failure)
        raise failure from error
    except asyncio.CancelledError:
        await asyncio.shield(start_cold(target, RestoreError("the restore was interrupted")))
        raise


async def instead(target: Target, choices: Choices, why: ChrekError) -> None:
    """What a placeholder that cannot be restored does: its command, or an end."""
    if choices.on_failure == "cold-start":
        await start_cold(target, why)
    else:
        with contextlib.suppress(TargetGoneError):
            words.tell(target, f"exit {_FAILED}")


async def start_cold(target: Target, why: ChrekError) -> None:
    """Have the placeholder run its original command; silent when it is gone already."""
    with contextlib.suppress(TargetGoneError):
        await words.cold(target, f"{why.reason}: {why.message}")


async def _restore(work: _Work) -> Restored:
    target, settings = work.target, work.means.settings
    async with contextlib.AsyncExitStack() as stack:
        with phase("enter"):
            await gpu_placement.expected(target, work.means)
            inside = await stack.enter_async_context(Inside())
        stack.enter_context(operations.recorded(settings, "restore", target, [work.scratch]))
        with phase("compare"):
            await words.reachable(target)
            manifest = work.manifest or await fitting(
                target, work.path, means=work.means, choices=work.choices
            )
            placing = stack.enter_context(gpu_placement.placing(manifest, target, work.means))
            await stack.enter_async_context(words.restoring(target))
        with phase("verify"):
            stack.callback(tree.remove, work.scratch)
            source = await stack.enter_async_context(
                reading(work.path, manifest, target, work.means, work.scratch)
            )
            prepared = source.prepared
        with phase("compare"):
            placement = await placing
            await stack.enter_async_context(gpu_placement.roomy(placement, target, work.means))
        with phase("enter"):
            streams = stack.enter_context(stdio.inherited(manifest.facts.stdio, target))
            criu = await _enter(work, inside, manifest, prepared, streams)
        with phase("files"):
            prepared.install_reaper(target)
            if await asyncio.to_thread(holds_files, prepared.archive):
                if work.choices.fresh_container:
                    words.files(target)
                file_roots, restart = manifest.facts.file_roots, work.choices.restart
                written = Written(target.init)
                stack.push(lambda kind, *_: written.withdraw() if kind is not None else None)
                into = functools.partial(apply, written=written, restart=restart)
                await to_its_end(into, prepared.archive, file_roots)
        stopped = placement is not None
        with killed.said(target):
            pid = await _run_criu(work, criu, manifest, prepared, streams, stopped=stopped)
        if placement is not None:
            await gpu_placement.resumed(placement, target, pid, work.means)
        with phase("leave"):
            await inside.ended()
        with phase("adopt"):
            ended = False
            try:
                await words.adopt(target, pid)
            except TargetGoneError:
                ended = True
    return Restored(target, pid, {}, [], ended, copied=source.copy is not None)


async def _enter(
    work: _Work, inside: Inside, manifest: Manifest, prepared: Prepared, streams: dict[str, int]
) -> CRIUProcess:
    entry = entering.Entry(
        images=prepared.images,
        work=prepared.images,
        last_pid=_last_pid(manifest, prepared),
        large=prepared.large,
        stdio=streams,
        labelled=prepared.passed.labelled,
    )
    return await entering.restore(inside, work.target, work.means, entry)


def _last_pid(manifest: Manifest, prepared: Prepared) -> int:
    """Above every PID of the image, and above those that CRIU takes for helpers while it restores
    (one for a process whose session's or group's leader is dead): the next free ones after the
    image's. CRIU itself must have none of them."""
    return manifest.facts.max_pid + len(prepared.passed.threads)


async def _run_criu(
    work: _Work,
    criu: CRIUProcess,
    manifest: Manifest,
    prepared: Prepared,
    streams: dict[str, int],
    *,
    stopped: bool,
) -> NamespacePID:
    """stopped: leave every task stopped, so that it does not run before its GPU is back."""

    bundle, root = work.means.bundle, NamespacePID(manifest.facts.root_pid)
    keeper = orphans.Keeper(work.target, NamespacePID(criu.pid), root)
    has_orphans = orphans.has_any(bundle, prepared.passed.images)

    async def notified(point: str) -> None:
        if point == orphans.POINT and has_orphans:
            await keeper.begin()
        if point == "pre-resume":
            threads, container = prepared.passed.threads, prepared.container
            try:
                with phase("verify"):
                    await prepared.verified
                    pids = await asyncio.to_thread(running.check, work.target, threads, container)
                if prepared.fill:
                    with phase("pages"):
                        await prepared.fill(pids)
                with phase("adopt"):
                    words.expect(work.target, root)
            except BaseException:
                running.end(work.target, threads)  # a no CRIU only logs, and lets the tree go
                raise

    with criu.rpc:
        chosen = rpc.options(
            bundle,
            images_fd=criu.numbers["images"],
            work_fd=criu.numbers["work"],
            log_name=_RESTORE_LOG,
        )
        chosen.leave_stopped = stopped
        for key in streams:
            chosen.inherit_fd.add(key=key, fd=criu.numbers[key])
        try:
            with phase("criu"):
                return NamespacePID(await rpc.restore(bundle, criu.rpc, chosen, notified))
        except CRIUFailedError as error:
            raise _explained(error, work) from error
        finally:
            await keeper.end()


def _explained(error: CRIUFailedError, work: _Work) -> RestoreError:
    name, written = work.target.name, work.scratch / _RESTORE_LOG
    told = log.told(error.message, written)
    place = work.means.settings.logs / f"{name}-restore.log"
    kept = log.keep(written, place, work.means.settings.shown(place))
    return RestoreError(f"CRIU could not restore into {name}: {told}", hint=kept)
