"""`python -m bench`: every side in one run, a table on stdout, JSON beside it."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from agent.criu import bundle as bundles
from agent.criu.bundle import Bundle
from bench import entry, machine, measure, quiet, report, results, rows, tables, workload
from bench.bare import Bare
from bench.chrek_side import Chrek
from bench.failures import SideFailedError, UnavailableError
from bench.podman import Podman
from bench.results import Results
from bench.side import Side

_PART = "service"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1024], metavar="MIB",
        help="memory of the service (default: 100 1024)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp"), metavar="DIR",
        help="where checkpoints are written, on the root file system (default: /var/tmp)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    asked = parser.parse_args()
    if asked.rounds < 1 or min(asked.sizes) < 1:
        parser.error("sizes and rounds are at least 1")
    if not asked.work.is_dir():
        parser.error(f"--work {asked.work} is no directory")
    return asked


def _opened(work: Path, bundle: Bundle, stack: ExitStack) -> tuple[list[Side], dict[str, str]]:
    """The sides that this machine has, closed with `stack`; and why it has not the others."""
    makers: dict[str, Callable[[], Side]] = {
        "criu": lambda: Bare(work, bundle),
        "podman": lambda: Podman(work, bundle, export=False),
        "podman export": lambda: Podman(work, bundle, export=True),
        "chrek": lambda: Chrek(work),
    }
    sides: list[Side] = []
    absent: dict[str, str] = {}
    for name, make in makers.items():
        try:
            side = make()
        except (UnavailableError, SideFailedError) as error:
            absent[name] = str(error)
            continue
        stack.callback(entry.closed, side)
        sides.append(side)
    return sides, absent


def _run(asked: argparse.Namespace, bundle: Bundle) -> int:
    sizes = [size << 20 for size in asked.sizes]
    with ExitStack() as stack:
        work = stack.enter_context(entry.workplace(asked.work))
        sides, absent = _opened(work, bundle, stack)
        stack.callback(entry.undisturbed)
        facts = machine.facts(bundle, work)
        facts |= {side.name: side.version for side in sides if side.name == "podman"}
        found = Results(asked.json, _PART, facts)
        with quiet.pressure() as pressure:
            measured = measure.measured(sides, sizes, asked.rounds, workload.installed(work))
        found.add(rows.rows(measured, absent, sizes))
        found.disturbed(pressure)
    console = tables.console()
    how = f"{asked.rounds} rounds, sides alternating: median (least-most), milliseconds"
    console.print(f"{tables.told(found.facts)}\n{how}\n", soft_wrap=True)
    console.print(report.all_of(measured, absent, sizes))
    print(f"\nJSON: {os.path.relpath(asked.json)}")
    return int(any(each.failure for each in measured.values()))


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    asked = _asked()
    return entry.entered(lambda: _run(asked, bundles.find()))


if __name__ == "__main__":
    sys.exit(main())
