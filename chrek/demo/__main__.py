"""The demo: start a service cold, checkpoint it while it serves, restore three replicas."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from agent.engine.capture import Capture, capture
from agent.engine.restore import Choices, restore
from agent.init import words
from agent.machine.check import answers
from agent.runtime.runc.spec import sees
from agent.store.checkpoints import Stored
from chrek.cli import output
from chrek.cli.machine import Machine, open_machine
from chrek.demo import client
from chrek.demo.client import Answer, Gaps
from chrek.errors import ChrekError, ExistsError, MachineError, RuntimeFailedError
from chrek.ids import CheckpointID
from chrek.runspec import RunSpec, Volume

_REPLICAS = 3
_WEIGHTS_BYTES = 200 << 20
_COLD_SECONDS = 180.0
_WARM_SECONDS = 60.0
_UNABLE = 3
_ROOT = Path("/var/lib/chrek-demo")
_SERVICE = Path(__file__).with_name("service.py")


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica. seconds: from asking for it to its first answer."""

    name: str
    seconds: float
    phases: dict[str, float]
    answer: Answer | None
    failure: str = ""


def main() -> int:
    """Run the demo; 0 only if every replica answered with the source's state."""
    try:
        _able()
        machine = open_machine(_ROOT)
        with _alone(machine):
            return asyncio.run(_demo(machine))
    except TimeoutError:
        print("demo: the service stopped answering", file=sys.stderr)
        return 1
    except MachineError as error:
        print(f"demo: {error}", file=sys.stderr)
        return _UNABLE
    except ChrekError as error:
        print(f"demo: {error} ({error.reason})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything was ended", file=sys.stderr)
        return 130


def _able() -> None:
    """One sentence for a machine that cannot; raises MachineError."""
    if sys.platform != "linux" or os.geteuid() != 0:
        open_machine(None)  # says which
    for answer in answers():
        if answer.verdict == "no":
            raise MachineError(
                f"this machine cannot run chrek: {answer.question}: {answer.found}",
                hint=answer.cure,
            )


@contextlib.contextmanager
def _alone(machine: Machine) -> Iterator[None]:
    """Two demos at once would end each other's containers."""
    descriptor = os.open(machine.settings.root / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ExistsError("another demo runs on this machine", hint="Wait for its end") from error
    else:
        yield
    finally:
        os.close(descriptor)


async def _demo(machine: Machine) -> int:
    await machine.tidy()
    _stop_all(machine)
    console = Console(highlight=False)
    spec = _spec()
    identifier = CheckpointID("demo")
    try:
        with _step(console, "starting the service cold"):
            cold_seconds, source = await _start_cold(machine, spec)
        with _step(console, "checkpointing it while it goes on serving"):
            stored, gaps = await _capture(machine, identifier)
        with _step(console, f"restoring {_REPLICAS} replicas side by side"):
            replicas = await asyncio.gather(
                *(_restore(machine, stored, spec, f"replica-{n + 1}") for n in range(_REPLICAS))
            )
        _show(cold_seconds, stored, gaps, list(replicas))
        return _verdict(cold_seconds, source, list(replicas))
    finally:
        _stop_all(machine)
        with contextlib.suppress(ChrekError):
            machine.store.remove(identifier)


@contextlib.contextmanager
def _step(console: Console, text: str) -> Iterator[None]:
    started = time.monotonic()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        progress.add_task(text, total=None)
        yield
    print(f"{text}: {time.monotonic() - started:.1f} s")


def _spec() -> RunSpec:
    """The service, run by this Python; its files are mounted wherever the checkout lies."""
    needed = {Path(sys.prefix), Path(sys.base_prefix), _SERVICE.parents[2], _weights().parent}
    return RunSpec(
        argv=[sys.executable, str(_SERVICE), str(_weights()), str(client.PORT)],
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        cwd="/",
        volumes=[
            Volume(str(path), str(path), read_only=True)
            for path in sorted(needed)
            if not sees(path, [])
        ],
    )


def _weights() -> Path:
    """A file of random weights, made once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chrek" / "demo"
    path = cache / "weights.bin"
    if not path.exists() or path.stat().st_size != _WEIGHTS_BYTES:
        cache.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            for _ in range(_WEIGHTS_BYTES >> 20):
                file.write(os.urandom(1 << 20))
        beside.rename(path)
    return path


async def _start_cold(machine: Machine, spec: RunSpec) -> tuple[float, Answer]:
    started = time.monotonic()
    target = await machine.start("source", spec)
    await words.cold(target, "started by the demo")
    first = await _ready(machine, "source", _COLD_SECONDS)
    return time.monotonic() - started, first


async def _capture(machine: Machine, identifier: CheckpointID) -> tuple[Stored, Gaps]:
    target = machine.containers.target("source")
    async with client.asking(_address(machine, "source")) as gaps:
        stored = await capture(
            Capture(target, identifier, replace=True), store=machine.store, means=machine.means()
        )
        async with asyncio.timeout(_WARM_SECONDS):
            await gaps.more(10)  # it serves on
    return stored, gaps


async def _restore(machine: Machine, stored: Stored, spec: RunSpec, name: str) -> Replica:
    started = time.monotonic()
    phases: dict[str, float] = {}
    try:
        target = await machine.start(name, spec)
        phases["container"] = time.monotonic() - started
        choices = Choices(machine.settings.namespace)
        restored = await restore(target, stored.path, means=machine.means(), choices=choices)
        phases |= restored.phases
        done = time.monotonic()
        answer = await _ready(machine, name, _WARM_SECONDS)
        phases["first answer"] = time.monotonic() - done
    except ChrekError as error:
        return Replica(name, time.monotonic() - started, phases, None, str(error))
    return Replica(name, time.monotonic() - started, phases, answer)


async def _ready(machine: Machine, name: str, timeout_seconds: float) -> Answer:
    """The first answer of a container's service; its log when it ends instead."""
    log = machine.containers.places(name).log

    def runs() -> None:
        if machine.containers.describe(name).state != "running":
            said = log.read_text(errors="replace").strip() if log.exists() else "nothing"
            raise RuntimeFailedError(f"{name} ended; its log says: {said[-400:]}")

    return await client.ready(_address(machine, name), timeout_seconds, runs)


def _address(machine: Machine, name: str) -> str:
    return machine.containers.describe(name).address or "127.0.0.1"


def _stop_all(machine: Machine) -> None:
    for container in machine.containers.list():
        machine.containers.stop(container.name, grace_seconds=5)
    shutil.rmtree(machine.settings.root / "containers", ignore_errors=True)


def _show(cold_seconds: float, stored: Stored, gaps: Gaps, replicas: list[Replica]) -> None:
    manifest = stored.manifest
    capture_seconds = sum(manifest.phases.values())
    seen = f"a client saw {gaps.answers} answers, {gaps.failures} failures, "
    seen += f"{gaps.longest_seconds:.3f} s at most between two"
    rows = [
        ["cold start", f"{cold_seconds:.3f}", "load, index, warm up, first answer"],
        ["capture", f"{capture_seconds:.3f}", output.phases(manifest.phases)],
        ["frozen", f"{manifest.frozen_seconds:.3f}", seen],
    ]
    for replica in replicas:
        note = replica.failure or output.phases(replica.phases)
        rows.append([replica.name, f"{replica.seconds:.3f}", note])
    rows.append(["size", "", output.size(manifest.size_bytes)])
    print()
    output.table(["WHAT", "SECONDS", "BY PHASE"], rows)
    print()


def _verdict(cold_seconds: float, source: Answer, replicas: list[Replica]) -> int:
    """The last line; 0 only if all answered from the source's own memory."""
    same = [replica for replica in replicas if replica.answer == source]
    restored_seconds = statistics.median(replica.seconds for replica in replicas)
    print(
        f"demo: cold {cold_seconds:.1f} s, restored {restored_seconds:.1f} s, "
        f"{cold_seconds / restored_seconds:.0f}x faster, "
        f"{len(same)} of {len(replicas)} replicas answered"
    )
    return 0 if len(same) == len(replicas) else 1


if __name__ == "__main__":
    sys.exit(main())
