"""checkpoint, restore, ls, inspect, verify, rm: checkpoints."""

import argparse
import asyncio
import sys
import time
from dataclasses import replace

import msgspec

from agent.engine import identity
from agent.engine.capture import Capture, capture
from agent.engine.means import Means
from agent.engine.restore import Choices, restore
from agent.init import words
from agent.settings import compression_of
from agent.store import checkpoints
from agent.store.checkpoints import Stored
from agent.trust import decoded
from chrek import ids
from chrek.cli import output, timeline
from chrek.cli.machine import Machine
from chrek.errors import ChrekError, UsageError
from chrek.manifest import Manifest, StoredFile
from chrek.names import MANIFEST
from chrek.phases import Span
from chrek.runspec import RunSpec

_FAILED = 1
_STARTED_COLD = 4
_MOST_REPLICAS = 256


async def checkpoint(machine: Machine, asked: argparse.Namespace) -> int:
    """Capture a running container."""
    named = ids.checkpoint_id(asked.identifier) if asked.identifier else None
    target = machine.containers.target(asked.name)
    assert target.spec is not None
    identifier = named or identity.of_spec(target.spec)
    if asked.compress is not None:
        chosen = compression_of(asked.compress, "--compress")
        machine = replace(machine, settings=replace(machine.settings, compression=chosen))
    async with machine.means() as means:
        stored = await capture(
            Capture(target, identifier, replace=asked.replace), store=machine.store, means=means
        )
    if asked.exit:
        words.tell(target, "exit 0")
    made = stored.manifest
    if asked.json:
        output.as_json(_summary(made))
    else:
        print(
            f"checkpoint {made.id}: {output.size(made.size_bytes)}, "
            f"{asked.name} stood still for {made.frozen_seconds:.3f} s"
        )
        print(f"  {output.phases(made.phases)}")
        print(f"  to start it warm: chrek restore {made.id}")
    return 0


async def restore_command(machine: Machine, asked: argparse.Namespace) -> int:
    """Start replicas side by side; 4 when any of them had to start cold."""
    if not 1 <= asked.count <= _MOST_REPLICAS:
        raise UsageError(f"--count {asked.count} is not between 1 and {_MOST_REPLICAS}")
    identifier = ids.checkpoint_id(asked.identifier)
    path = machine.store.newest(identifier)
    stored = Stored(path, checkpoints.load(path, machine.keys()))
    if stored.manifest.spec is None:
        raise UsageError(f"checkpoint {identifier} was made in a cluster and has no command")
    means = machine.means()  # before any container is made
    spec = stored.manifest.spec
    if asked.net:
        spec = msgspec.structs.replace(spec, network=asked.net)
    if asked.gpus:
        spec = msgspec.structs.replace(spec, gpus=asked.gpus.split(","))
    names = _names(machine, asked, identifier)
    loading = asyncio.create_task(asyncio.to_thread(decoded.load, means.bundle))
    async with means:
        results = await asyncio.gather(
            *(
                _replica(machine, means, name, spec, stored, fail=asked.on_failure == "fail")
                for name in names
            )
        )
    await loading
    if asked.json:
        output.as_json(results)
    else:
        for result in results:
            _say(result)
    if all(result["restored"] for result in results):
        return 0
    cold = [result for result in results if not result["restored"] and result["cold"]]
    return _STARTED_COLD if cold else _FAILED


async def _replica(
    machine: Machine, means: Means, name: str, spec: RunSpec, stored: Stored, *, fail: bool
) -> dict[str, object]:
    started = time.monotonic()
    found = stored.manifest
    result: dict[str, object] = {"name": name, "checkpoint": found.id}
    try:
        target = await machine.start(name, spec)
    except ChrekError as error:  # the other replicas go on
        return result | {
            "restored": False,
            "cold": False,
            "reason": error.reason,
            "message": str(error),
            "seconds": time.monotonic() - started,
        }
    container_seconds = time.monotonic() - started
    try:
        choices = Choices(machine.settings.namespace)
        restored = await restore(target, stored.path, means=means, choices=choices)
    except ChrekError as error:
        result |= {"restored": False, "cold": not fail}
        result |= {"reason": error.reason, "message": str(error)}
        if fail:
            await asyncio.to_thread(machine.containers.stop, name, 0.0)
    except asyncio.CancelledError:
        if fail:
            await asyncio.to_thread(machine.containers.stop, name, 0.0)
        else:
            print(f"chrek: {name} runs, started cold; chrek stop {name}", file=sys.stderr)
        raise
    else:
        spans = [Span("container", 0.0, container_seconds)]
        spans += [
            Span(each.phase, each.began + container_seconds, each.ended + container_seconds)
            for each in restored.spans
        ]
        machine.containers.note_restored(name, f"{found.id}/{found.variant}", spans)
        result |= {"restored": True, "ended": restored.ended}
        result["phases"] = {"container": container_seconds, **restored.phases}
    result["seconds"] = time.monotonic() - started
    if not fail or result["restored"]:
        result["address"] = machine.containers.describe(name).address
    return result


def _say(result: dict[str, object]) -> None:
    if result["restored"]:
        phases = result["phases"]
        assert isinstance(phases, dict)
        where = f", address {result['address']}" if result.get("address") else ""
        print(f"{result['name']} restored in {result['seconds']:.3f} s{where}")
        print(f"  {output.phases(phases)}")
    else:
        instead = "It started cold instead" if result["cold"] else "It was not started"
        print(
            f"chrek: {result['name']} was not restored: {result['message']}. {instead} "
            f"({result['reason']})",
            file=sys.stderr,
        )


def _names(machine: Machine, asked: argparse.Namespace, identifier: str) -> list[str]:
    """Names for the replicas: as asked, else the first free ID-1, ID-2, ..."""
    if asked.name and asked.count == 1:
        return [ids.label(asked.name, "container name")]
    base = asked.name or identifier
    taken = {container.name for container in machine.containers.list()}
    names: list[str] = []
    number = 0
    while len(names) < asked.count:
        number += 1
        name = ids.label(f"{base}-{number}", "container name")
        if name not in taken:
            names.append(name)
    return names


async def ls(machine: Machine, asked: argparse.Namespace) -> int:
    """List checkpoints; one that is damaged or not trusted is listed as such."""
    rows: list[list[str]] = []
    documents: list[dict[str, object]] = []
    keys = machine.keys()
    for identifier in machine.store.ids():
        for path in machine.store.every_variant(identifier):
            try:
                found = checkpoints.load(path, keys)
            except ChrekError as error:
                rows.append([identifier, path.name, "-", "-", "-", error.reason])
                documents.append({"id": identifier, "variant": path.name, "reason": error.reason})
                continue
            documents.append(_summary(found))
            age = output.ago((path / MANIFEST).stat().st_mtime)
            size = output.size(found.size_bytes)
            frozen = f"{found.frozen_seconds:.3f} s"
            rows.append([found.id, found.variant, size, frozen, age, found.source])
    if asked.json:
        output.as_json(documents)
    else:
        output.table(["ID", "VARIANT", "SIZE", "FROZEN", "AGE", "SOURCE"], rows)
    return 0


async def inspect(machine: Machine, asked: argparse.Namespace) -> int:
    """Show one checkpoint."""
    path = machine.store.newest(ids.checkpoint_id(asked.identifier))
    found = checkpoints.load(path, machine.keys())
    if asked.json:
        output.as_json(found)
        return 0
    if asked.timeline:
        _timelines(machine, found)
        return 0
    facts = found.facts
    command = " ".join(found.spec.argv) if found.spec else "-"
    for label, text in (
        ("checkpoint", f"{found.id}, variant {found.variant}, format {found.format}"),
        ("captured", f"{found.created} from {found.source} by chrek {found.chrek}"),
        ("command", command),
        ("machine", f"{facts.architecture}, {facts.cpu_model}, kernel {facts.kernel}"),
        ("made with", f"CRIU {facts.criu}, {facts.chrek_init}"),
        ("user", f"{facts.uid}:{facts.gid}"),
        *_on_gpus(found),
        ("addresses", ", ".join(fact.address for fact in facts.addresses) or "-"),
        ("frozen for", f"{found.frozen_seconds:.3f} s"),
        ("phases", output.phases(found.phases)),
    ):
        print(f"{label + ':':<12} {text}")
    print()
    output.table(
        ["PID", "PARENT", "UID", "THREADS", "MEMORY", "NAME"],
        [
            [*map(str, (p.pid, p.parent, p.uid, p.threads)), output.size(p.rss_bytes), p.name]
            for p in facts.processes
        ],
    )
    print()
    largest = sorted(found.files, key=lambda file: -file.size_bytes)[:8]
    output.table(["FILE", "SIZE", "COMPRESSED"], [_sizes(file) for file in largest])
    total = output.size(found.size_bytes)
    print(f"{len(found.files)} files, {total}")
    return 0


def _sizes(file: StoredFile) -> list[str]:
    made = file.compressed
    shown = f"{output.size(made.size_bytes)} ({made.codec})" if made else "-"
    return [file.name, output.size(file.size_bytes), shown]


def _timelines(machine: Machine, found: Manifest) -> None:
    """Of the capture, and of every restore whose container is on this machine."""
    columns = ["PHASE", "FROM", "SECONDS", ""]
    print(f"capture of {found.source}: {sum(found.phases.values()):.3f} s")
    output.table(columns, list(timeline.bars(found.phases)))
    for container in machine.containers.list():
        if container.restored_from == f"{found.id}/{found.variant}" and container.timeline:
            seconds = max(span.ended for span in container.timeline)
            print(f"\nrestore into {container.name}: {seconds:.3f} s")
            output.table(columns, list(timeline.spans(container.timeline)))


def _on_gpus(found: Manifest) -> list[tuple[str, str]]:
    if found.gpu is None:
        return []
    used = output.size(sum(process.bytes for process in found.gpu.processes))
    products = ", ".join(sorted(device.product for device in found.gpu.devices))
    return [("GPUs", f"{products}; {used} in use; driver {found.gpu.driver}")]


async def verify(machine: Machine, asked: argparse.Namespace) -> int:
    """Check every byte of every variant."""
    identifier = ids.checkpoint_id(asked.identifier)
    machine.store.newest(identifier)
    keys = machine.keys()
    documents: list[dict[str, object]] = []
    for path in machine.store.variants(identifier):
        document: dict[str, object] = {"id": identifier, "variant": path.name}
        try:
            found = await asyncio.to_thread(checkpoints.verify, path, keys)
        except ChrekError as error:
            documents.append(document | {"whole": False, "message": str(error)})
            print(f"chrek: {identifier}/{path.name}: {error} ({error.reason})", file=sys.stderr)
            continue
        documents.append(document | _summary(found) | {"whole": True})
        if not asked.json:
            total = output.size(found.size_bytes)
            print(f"{found.id}/{found.variant}: {len(found.files)} files, {total}, all whole")
    if asked.json:
        output.as_json(documents)
    return 0 if all(document["whole"] for document in documents) else 1


async def rm(machine: Machine, asked: argparse.Namespace) -> int:
    """Delete checkpoints; those that exist even when one does not."""
    deleted: list[dict[str, object]] = []
    code = 0
    for named in asked.identifier:
        try:
            identifier = ids.checkpoint_id(named)
            count = await asyncio.to_thread(machine.store.remove, identifier)
        except ChrekError as error:
            output.problem(error)
            code = 1
            continue
        deleted.append({"id": identifier, "variants": count})
        if not asked.json:
            print(f"checkpoint {identifier} deleted ({count} variant{'s' if count > 1 else ''})")
    if asked.json:
        output.as_json(deleted)
    return code


def _summary(found: Manifest) -> dict[str, object]:
    return {
        "id": found.id,
        "variant": found.variant,
        "source": found.source,
        "created": found.created,
        "size_bytes": found.size_bytes,
        "frozen_seconds": found.frozen_seconds,
        "processes": len(found.facts.processes),
        "phases": found.phases,
    }
