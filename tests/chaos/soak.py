"""`python -m tests.chaos.soak --cycles N`: captures and restores in one process, as in an agent
that lives long; fails when what it holds grows.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from agent.engine.capture import Capture, capture
from agent.engine.means import Means
from agent.engine.restore import Choices, restore
from agent.runtime.target import Target
from chrek.cli.machine import Machine
from tests.chaos import checks
from tests.chaos.__main__ import ended
from tests.chaos.ground import ID, Ground
from tests.chaos.needs import missing

_WARM_UP = 0.2
_ROWS = 20
_GROWTH_KIB = 8 << 10
"""So much more memory than after the warm-up is noise of the allocator, in any number of cycles; a
thread that has come since brings as much of its own."""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds, and what the source does: it is captured again and again."""

    rss_kib: int
    descriptors: int
    threads: int
    children: int
    mounts: int
    source_descriptors: int
    source_mappings: int
    source_mounts: int


def held(source: Target, app: int) -> Held:
    """As it is now."""
    own, theirs = Path("/proc/self"), Path(f"/proc/{app}")
    pages = int((own / "statm").read_text().split()[1])
    return Held(
        pages * os.sysconf("SC_PAGESIZE") >> 10,
        len(list((own / "fd").iterdir())),
        len(list((own / "task").iterdir())),
        sum(len((each / "children").read_text().split()) for each in (own / "task").iterdir()),
        len((own / "mountinfo").read_text().splitlines()),
        len(list((theirs / "fd").iterdir())),
        len((theirs / "maps").read_text().splitlines()),
        len(Path(f"/proc/{source.init}/mountinfo").read_text().splitlines()),
    )


def grown(first: Held, last: Held) -> list[str]:
    """What grew beyond its bound between two looks. Threads come as work asks for them, up to the
    pool's bound; what others mount on this machine is none of ours."""
    pool = min(32, (os.cpu_count() or 1) + 4)
    bounds = {
        "rss_kib": first.rss_kib + _GROWTH_KIB * (1 + max(0, last.threads - first.threads)),
        "descriptors": first.descriptors + 1,
        "threads": max(first.threads, pool + 2),
        "children": first.children,
        "source_descriptors": first.source_descriptors,
        "source_mappings": first.source_mappings + 8,
        "source_mounts": first.source_mounts,
    }
    return [
        f"{name}: {getattr(first, name)} -> {getattr(last, name)}, more than {bound}"
        for name, bound in bounds.items()
        if getattr(last, name) > bound
    ]


async def _cycle(machine: Machine, source: Target, means: Means) -> None:
    stored = await capture(Capture(source, ID, replace=True), store=machine.store, means=means)
    assert source.spec is not None
    target = await machine.start("copy", source.spec)
    choices = Choices(machine.settings.namespace)
    await restore(target, stored.path, means=means, choices=choices)
    await asyncio.to_thread(machine.containers.stop, "copy", 0.2)
    _reap()


def _reap() -> None:
    """Containers' shims, which outlive a command: this process would keep each as a zombie."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"runc.shim" in checks.line(int(child)) or not checks.line(int(child)):
                os.waitpid(int(child), os.WNOHANG)


async def soak(ground: Ground, source: Target, cycles: int) -> list[str]:
    """Run `cycles`, print a table; what grew."""
    machine = ground.machine
    app = next(each for each in checks.processes(source) if b"life.py" in checks.line(each))
    print(" ".join(f"{name:>18}" for name in ("cycle", "seconds", *(f.name for f in fields(Held)))))
    looks: list[Held] = []
    warm = max(1, int(cycles * _WARM_UP))
    started = time.monotonic()
    async with machine.means() as means:
        for number in range(1, cycles + 1):
            await _cycle(machine, source, means)
            if number in (warm, cycles):
                looks.append(held(source, app))
            if number % max(1, cycles // _ROWS) == 0 or number in (1, cycles):
                row = (number, int(time.monotonic() - started), *astuple(held(source, app)))
                print(" ".join(f"{value:>18}" for value in row), flush=True)
    return grown(looks[0], looks[-1])


def main() -> int:
    """1 when something grew, 3 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--program", default="shared")
    asked = parser.parse_args()
    if lacks := missing():
        print(f"soak: {lacks}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, ended)
    root = Path(tempfile.mkdtemp(prefix="chrek-chaos-", dir="/var/lib"))
    ground = Ground(root)
    try:
        source = ground.source(asked.program, private=False)
        before = checks.serves(source)
        grew = asyncio.run(soak(ground, source, asked.cycles))
        after = checks.serves(source)
        if after["token"] != before["token"]:
            grew.append("the source is another")
        checks.nothing_left(ground)
        print(f"soak: {asked.cycles} cycles; longest standstill {after['gap']:.2f} s; ", end="")
        print("; ".join(grew) or "nothing grew")
    finally:
        ground.stop_all()
        shutil.rmtree(root, ignore_errors=True)
    checks.nothing_runs(ground)
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
