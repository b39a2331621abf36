"""`python -m bench.memory`: large memory, restored by bare CRIU and by chrek, by turns, in one run.

Cases begin with the smallest; each is written as soon as it is known. At the end: what a node's own
directory for checkpoints gains.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from agent.criu import bundle as bundles
from agent.kernel import workers
from bench import caches, entry, limits, machine, quiet, results, tables, workload
from bench.bare import Bare
from bench.budget import Budget
from bench.chrek_side import Chrek
from bench.failures import SideFailedError
from bench.memory import node, plan, rounds, rows
from bench.memory.plan import Planned, Room
from bench.memory.rounds import Case, Side
from bench.node_side import Node
from bench.results import Cache, Results, Row

_KINDS = ("random", "half-zero", "zero")
_PART = "memory"
_LIMIT_BYTES = 1 << 30


def _asked(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[100, 1024, 4096, 8192], metavar="MIB",
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
        "--node", type=int, nargs="*", default=[1024], metavar="MIB",
        help="what is captured to a volume through a node's directory, and restored from both, "
        "--rounds times each, fewer from 4 GiB on (default: 1024)",
    )  # fmt: skip
    parser.add_argument(
        "--budget-seconds", type=float, default=540, metavar="S",
        help="after so many no new case begins (default: 540)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="DIR")
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    asked = parser.parse_args(words)
    if not asked.sizes and not asked.node:
        parser.error("no sizes")
    if asked.rounds < 1 or min([16, *asked.sizes, *asked.node]) < 16 or min(asked.threads) < 1:
        parser.error("rounds and threads are at least 1, sizes at least 16")
    return asked


@dataclass(frozen=True, slots=True)
class _Run:
    """work: a directory on a disk. program: the service in it."""

    asked: argparse.Namespace
    work: Path
    program: Path
    found: Results
    budget: Budget

    def measured(self, stack: ExitStack) -> None:
        """Everything; what is begun ends with `stack`."""
        on_disk = _sides(self.work, stack)
        every = self._planned()
        tmpfs = stack.enter_context(caches.tmpfs(self.work / "tmpfs"))
        is_wanted = any(each.case.cached == ["tmpfs"] for each in every)
        in_memory = _sides(tmpfs, stack) if is_wanted else []
        home = self.work / "node"
        on_node = Node(home, {"page": home / "kept", "tmpfs": tmpfs / "kept"})
        stack.callback(entry.closed, on_node)
        stack.callback(entry.undisturbed)
        self._limits()
        for each in every:
            is_roomy = each.sides > 0
            sides = in_memory if each.case.cached == ["tmpfs"] else on_disk
            self._case(each.name, self._by_turns(each, sides), each.case, is_roomy=is_roomy)
        for size in sorted({each << 20 for each in self.asked.node}):
            count = plan.rounds_of(size, self.asked.rounds)
            case = Case(size, "random", node.CACHED, count)
            made = node.measured(on_node, case, self.program)
            name = f"{size >> 20} MiB, a node's directory"
            self._case(name, made, case, is_roomy=plan.holds_copies(size, self._room()))

    def _room(self) -> Room:
        return Room(machine.available_bytes(), shutil.disk_usage(self.work).free)

    def _planned(self) -> list[Planned]:
        asked = self.asked
        sizes_bytes = [size << 20 for size in asked.sizes]
        planned = plan.planned(sizes_bytes, asked.data, asked.cache, asked.rounds, self._room())
        others = [each for each in asked.threads if each != workers.threads()]
        return plan.swept(list(planned), others)

    def _limits(self) -> None:
        size_bytes = min(max([*self.asked.sizes, *self.asked.node]) << 20, _LIMIT_BYTES)
        size_bytes -= size_bytes % limits.STRIPE_BYTES
        counts = list(dict.fromkeys((1, workers.threads())))
        for row in limits.rows(self.work, size_bytes, counts):
            self.found.add([row])

    def _by_turns(self, each: Planned, sides: list[Side]) -> Iterator[Row]:
        for group in rounds.groups(sides, each.sides):
            restored = rounds.found(group, each.case, self.program)
            yield from rows.rows(each.case, restored, by_turns=len(group) > 1)

    def _case(self, name: str, made: Iterator[Row], case: Case, *, is_roomy: bool) -> None:
        """Take its rows, if there is room and time."""
        if not is_roomy:
            self.budget.leave_out(name, "memory or disk is too small")
        elif self.budget.allows(name):
            print(f"bench: {name}", file=sys.stderr)
            try:
                for row in made:
                    self.found.add([row])
            except SideFailedError as error:
                self.budget.leave_out(name, str(error))
                self.found.add([rows.failed(case, str(error))])


def _sides(place: Path, stack: ExitStack) -> list[Side]:
    sides: list[Side] = []
    for make in (lambda: Bare(place, bundles.find()), lambda: Chrek(place)):
        side = make()
        stack.callback(entry.closed, side)
        sides.append(side)
    return sides


def _run(asked: argparse.Namespace) -> int:
    console, budget = tables.console(), Budget(asked.budget_seconds)
    with ExitStack() as stack:
        work = stack.enter_context(entry.workplace(asked.work))
        found = Results(asked.json, _PART, machine.facts(bundles.find(), work))
        with quiet.pressure() as pressure:
            _Run(asked, work, workload.installed(work), found, budget).measured(stack)
        found.disturbed(pressure)
    console.print(f"{tables.told(found.facts)}\nmedians, sides by turns where there is room\n")
    every = found.rows
    for table in (rows.restores, rows.straight, rows.checkpoints, node.gains, rows.limits):
        console.print(table(every))
    for text in (*rows.verdicts(every), *node.fills(every), *budget.told()):
        print(text)
    print(f"\nJSON: {os.path.relpath(asked.json)}")
    return int(any(row.get("failure") for row in every))


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    asked = _asked()
    return entry.entered(lambda: _run(asked))


if __name__ == "__main__":
    sys.exit(main())
