"""run, ps, logs, stop: containers."""

import argparse
import asyncio
import sys

import msgspec

from agent.init import words
from agent.runtime.runc.containers import Container
from chrek.cli import output
from chrek.cli.machine import Machine
from chrek.cli.request import run_spec
from chrek.errors import ChrekError

_LOG_POLL_SECONDS = 0.1


async def run(machine: Machine, asked: argparse.Namespace) -> int:
    """Start a container and its command."""
    spec = run_spec(asked)
    target = await machine.start(asked.name, spec)
    try:
        await words.cold(target, "started by chrek run")
    except (ChrekError, asyncio.CancelledError):
        machine.containers.stop(asked.name, grace_seconds=0)
        raise
    made = machine.containers.describe(asked.name)
    if asked.json:
        output.as_json(_json(made))
    elif made.status is not None:
        print(f"{made.name} has ended with {made.status}: see chrek logs {made.name}")
    else:
        where = f", address {made.address}" if made.address else ", on the machine's network"
        print(f"{made.name} runs{where}")
    return 0


async def ps(machine: Machine, asked: argparse.Namespace) -> int:
    """List containers."""
    found = machine.containers.list()
    if asked.json:
        output.as_json([_json(container) for container in found])
        return 0
    rows = [
        [
            container.name,
            container.state
            if container.status is None
            else f"{container.state} ({container.status})",
            container.address or "-",
            output.ago(container.started) if container.started else "-",
            container.restored_from.partition("/")[0] if container.restored_from else "-",
            " ".join(container.command)[:60],
        ]
        for container in found
    ]
    output.table(["NAME", "STATE", "ADDRESS", "AGE", "RESTORED FROM", "COMMAND"], rows)
    return 0


async def logs(machine: Machine, asked: argparse.Namespace) -> int:
    """Print a container's output."""
    log = machine.containers.places(asked.name).log
    machine.containers.describe(asked.name)
    offset = 0
    while True:
        ended = machine.containers.describe(asked.name).state != "running"
        if log.exists():
            with log.open("rb") as file:
                file.seek(offset)
                while piece := file.read(1 << 20):
                    sys.stdout.buffer.write(piece)
                    offset += len(piece)
            sys.stdout.flush()
        if ended or not asked.follow:
            return 0
        await asyncio.sleep(_LOG_POLL_SECONDS)


async def stop(machine: Machine, asked: argparse.Namespace) -> int:
    """End containers; all that exist even when one does not."""
    ended: list[dict[str, object]] = []
    code = 0
    for name in asked.name:
        try:
            status = await asyncio.to_thread(machine.containers.stop, name, asked.time)
        except ChrekError as error:
            output.problem(error)
            code = 1
            continue
        ended.append({"name": name, "status": status})
        if not asked.json:
            print(f"{name} ended" + (f" with {status}" if status is not None else ""))
    if asked.json:
        output.as_json(ended)
    return code


def _json(container: Container) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(container)
    return shown
