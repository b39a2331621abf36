"""`python -m bench.gpu`: programs on a GPU, by chrek and by bare CRIU, beside the raw limits.

Each row is printed, and written, as soon as it is known.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from agent.criu import bundle as bundles
from agent.kernel import workers
from bench import caches, commands, entry, limits, machine, quiet, results, tables
from bench.budget import Budget
from bench.chrek_side import Chrek
from bench.failures import SideFailedError, UnavailableError
from bench.gpu import cases, programs, report
from bench.gpu.cases import How, Variant
from bench.gpu.programs import Program
from bench.gpu.stock import Stock
from bench.results import Cache, Results, Row

_PART = "gpu"
_COPIES = Path(__file__).with_name("copies.py")
_UNABLE = 3


def _asked(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument(
        "--sizes", type=float, nargs="*", default=[2, 8, 16], metavar="GIB",
        help="of random bytes on the GPU (default: 2 8 16)",
    )  # fmt: skip
    parser.add_argument(
        "--models", choices=programs.SHAPES, nargs="*", default=["0.6b", "8b"],
        help="shapes of Qwen3 (default: 0.6b 8b)",
    )  # fmt: skip
    parser.add_argument(
        "--sides", choices=cases.VARIANTS, nargs="+", default=list(cases.VARIANTS),
        help="chrek-always: with CHREK_HUGE_PAGES=always (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--cache", choices=("page", "disk", "tmpfs"), nargs="+", default=["page"],
        help="where checkpoints are when they are restored (default: page)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="restores (default: 1)")
    parser.add_argument(
        "--limit-gib", type=float, default=4, metavar="GIB",
        help="that each raw limit moves (default: 4; 0: none is measured)",
    )  # fmt: skip
    parser.add_argument(
        "--budget-seconds", type=float, default=None, metavar="S",
        help="after so many no new case begins (default: no limit)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="DIR")
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    asked = parser.parse_args(words)
    if asked.rounds < 1 or asked.limit_gib < 0 or min([1, *asked.sizes]) <= 0:
        parser.error("rounds are at least 1, sizes more than 0, --limit-gib is not less than 0")
    return asked


def _limits(asked: argparse.Namespace, python: str, work: Path) -> Iterator[Row]:
    size_bytes = int(asked.limit_gib * 2**30) // limits.STRIPE_BYTES * limits.STRIPE_BYTES
    if not size_bytes:
        return
    words = [python, str(_COPIES), str(size_bytes >> 20)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as copying:
        assert copying.stdout is not None
        for line in copying.stdout:
            copied = json.loads(line)
            yield results.row("limit", size_bytes, copied["what"], total_seconds=copied["seconds"])
    if copying.returncode == _UNABLE:
        raise UnavailableError("torch cannot copy to a GPU here")
    if copying.returncode:
        raise SideFailedError(f"{_COPIES.name} ended with {copying.returncode}")
    yield from limits.rows(work, size_bytes, [workers.threads()], limits.ALONE)


class _Run:
    """Cases one after the other; sides are made when they are first needed.

    places: the directory of the sides, and from which caches their checkpoints are restored.
    """

    def __init__(
        self,
        asked: argparse.Namespace,
        found: Results,
        places: Sequence[tuple[Path, Sequence[Cache]]],
        stack: ExitStack,
    ) -> None:
        self.failed = False
        self.budget = Budget(asked.budget_seconds)
        self._asked, self._found, self._places, self._stack = asked, found, places, stack
        self._sides: dict[tuple[Path, str], cases.Side] = {}

    def note(self, row: Row) -> None:
        """Print and keep it."""
        print(report.line(row), flush=True)
        self._found.add([row])

    def all(self, python: str, work: Path) -> None:
        """The raw limits, then every program that the budget allows."""
        try:
            for row in _limits(self._asked, python, work):
                self.note(row)
        except SideFailedError as error:
            self.failed = True
            print(f"bench: the raw limits: {error}", flush=True)
        for program in programs.programs(self._asked.sizes, self._asked.models):
            if not program.fits(machine.available_bytes(), shutil.disk_usage(work).free):
                self.budget.leave_out(program.name, "memory or disk is too small")
            elif self.budget.allows(program.name):
                self._program(program, python, work)

    def _program(self, program: Program, python: str, work: Path) -> None:
        try:
            with programs.ready(program, python, work) as command:
                for place, cached in self._places:
                    for name in self._asked.sides:
                        if self.budget.allows(f"{program.name}, {name}"):
                            self._case(program, cases.VARIANTS[name], command, place, cached)
        except SideFailedError as error:
            self.failed = True
            print(f"bench: {program.name} could not be made ready: {error}", flush=True)

    def _case(
        self,
        program: Program,
        variant: Variant,
        command: Sequence[str],
        place: Path,
        cached: Sequence[Cache],
    ) -> None:
        try:
            side = self._side(variant.name, place)
            how = How(variant, cached, self._asked.rounds)
            for row in cases.measured(side, program, command, how):
                self.note(row)
        except SideFailedError as error:
            self.failed = True
            self.note(
                results.row(
                    "restore",
                    program.size_bytes,
                    variant.name,
                    cache=cached[0],
                    failure=str(error),
                    program=program.name,
                    huge_pages=variant.huge_pages,
                )
            )

    def _side(self, name: str, place: Path) -> cases.Side:
        if (place, name) not in self._sides:
            options = ["--gpus", "all"]
            for variable in programs.PASSED:
                options += ["--env", variable] if variable in os.environ else []
            made = Chrek(place, options) if name == "chrek" else Stock(place, bundles.find())
            self._stack.callback(entry.closed, made)
            self._sides[place, name] = made
        return self._sides[place, name]


def _run(asked: argparse.Namespace) -> int:
    python = programs.python()
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="chrek-bench-", dir=asked.work)
        work = Path(stack.enter_context(made))
        work.chmod(0o755)
        found = Results(asked.json, _PART, machine.facts(bundles.find(), work) | _gpus())
        print(tables.told(found.facts), flush=True)
        places: list[tuple[Path, Sequence[Cache]]] = []
        if files := [each for each in asked.cache if each != "tmpfs"]:
            places.append((work, files))
        if "tmpfs" in asked.cache:
            places.append((stack.enter_context(caches.tmpfs(work / "tmpfs")), ["tmpfs"]))
        run = _Run(asked, found, places, stack)
        stack.callback(entry.undisturbed)
        with quiet.pressure() as pressure:
            run.all(python, work)
        found.disturbed(pressure)
    console = tables.console()
    console.print(report.programs(found.rows))
    console.print(report.limits(found.rows))
    for text in (*report.near(found.rows), *report.verdicts(found.rows), *run.budget.told()):
        print(text)
    print(f"\nJSON: {os.path.relpath(asked.json)}")
    return int(run.failed)


def _gpus() -> dict[str, object]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        named = commands.output(query).strip().splitlines()
    except (UnavailableError, SideFailedError):
        named = []
    return {"GPUs": "; ".join(named) or "unknown"}


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    asked = _asked()
    return entry.entered(lambda: _run(asked))


if __name__ == "__main__":
    sys.exit(main())
