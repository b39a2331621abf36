"""`python -m bench.memory`: large memory, restored by bare CRIU and by chrek, by turns, in one run.

Cases begin with the smallest; each is written as soon as it is known.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from agent.criu import bundle as bundles
from agent.kernel import workers
from bench import caches, entry, limits, machine, quiet, results, tables, workload
from bench.bare import Bare
from bench.budget import Budget
from bench.chrek_side import Chrek
from bench.failures import SideFailedError
from bench.memory import plan, rounds, rows
from bench.memory.plan import Planned, Room
from bench.memory.rounds import Side
from bench.results import Cache, Results

_KINDS = ("random", "half-zero", "zero")
_PART = "memory"
_LIMIT_BYTES = 1 << 30


def _asked(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1024, 4096, 8192], metavar="MIB",
        help="default: 100 1024 4096 8192, as far as memory and disk allow",
    )  # fmt: skip
    parser.add_argument("--data", choices=_KINDS, nargs="+", default=list(_KINDS))
    parser.add_argument(
        "--cache", choices=get_args(Cache), nargs="+", default=list(get_args(Cache)),
        help="where checkpoints are when they are restored (default: all, for random bytes; the "
        "first alone for others)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N",
        help="restores from the first cache, one less from 4 GiB on, two less from 8 GiB on, but "
        "one at least; one from others (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2, 4], metavar="N",
        help="what chrek is tried with, beside its own choice, at the largest size of random bytes "
        "at which both sides' checkpoints fit into memory (default: 1 2 4)",
    )  # fmt: skip
    parser.add_argument(
        "--budget-seconds", type=float, default=540, metavar="S",
        help="after so many no new case begins (default: 540)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="DIR")
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    asked = parser.parse_args(words)
    if asked.rounds < 1 or min(asked.sizes) < 16 or min(asked.threads) < 1:
        parser.error("rounds and threads are at least 1, sizes at least 16")
    return asked


def _planned(asked: argparse.Namespace, work: Path) -> list[Planned]:
    sizes_bytes = [size << 20 for size in asked.sizes]
    room = Room(machine.available_bytes(), shutil.disk_usage(work).free)
    every = list(plan.planned(sizes_bytes, asked.data, asked.cache, asked.rounds, room))
    return plan.swept(every, [each for each in asked.threads if each != workers.threads()])


def _sides(place: Path, stack: ExitStack) -> list[Side]:
    sides: list[Side] = []
    for make in (lambda: Bare(place, bundles.find()), lambda: Chrek(place)):
        side = make()
        stack.callback(entry.closed, side)
        sides.append(side)
    return sides


def _measured(
    asked: argparse.Namespace, work: Path, stack: ExitStack, found: Results, budget: Budget
) -> None:
    on_disk = _sides(work, stack)
    every = _planned(asked, work)
    in_memory: list[Side] = []
    if any(each.case.cached == ["tmpfs"] for each in every):
        in_memory = _sides(stack.enter_context(caches.tmpfs(work / "tmpfs")), stack)
    stack.callback(entry.undisturbed)
    program = workload.installed(work)
    size_bytes = min(max(asked.sizes) << 20, _LIMIT_BYTES)
    size_bytes -= size_bytes % limits.STRIPE_BYTES
    for row in limits.rows(work, size_bytes, list(dict.fromkeys((1, workers.threads())))):
        found.add([row])
    for each in every:
        if not each.sides:
            budget.leave_out(each.name, "memory or disk is too small")
        elif budget.allows(each.name):
            print(f"bench: {each.name}", file=sys.stderr)
            sides = in_memory if each.case.cached == ["tmpfs"] else on_disk
            try:
                _case(each, sides, found, program)
            except SideFailedError as error:
                budget.leave_out(each.name, str(error))
                found.add([rows.failed(each.case, str(error))])


def _case(each: Planned, sides: list[Side], found: Results, program: Path) -> None:
    by_turns = each.sides == len(sides)
    for group in [sides] if by_turns else [[side] for side in sides]:
        restored = rounds.found(group, each.case, program)
        found.add(rows.rows(each.case, restored, by_turns=by_turns))


def _run(asked: argparse.Namespace) -> int:
    console, budget = tables.console(), Budget(asked.budget_seconds)
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="chrek-bench-", dir=asked.work)
        work = Path(stack.enter_context(made))
        work.chmod(0o755)
        found = Results(asked.json, _PART, machine.facts(bundles.find(), work))
        with quiet.pressure() as pressure:
            _measured(asked, work, stack, found, budget)
        found.disturbed(pressure)
    console.print(f"{tables.told(found.facts)}\nmedians, sides by turns where there is room\n")
    every = found.rows
    for table in (rows.restores, rows.straight, rows.checkpoints, rows.limits):
        console.print(table(every))
    for text in (*rows.verdicts(every), *budget.told()):
        print(text)
    print(f"\nJSON: {os.path.relpath(asked.json)}")
    return int(any(row.get("failure") for row in every))


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    asked = _asked()
    return entry.entered(lambda: _run(asked))


if __name__ == "__main__":
    sys.exit(main())
