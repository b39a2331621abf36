"""`python -m bench.memory`: large memory, restored by bare CRIU and by chrek, by turns, in one run.

Its rows are added to the JSON that `python -m bench` wrote.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.criu import bundle as bundles
from agent.pages import workers
from bench import entry, limits, machine, quiet, report, workload
from bench.bare import Bare
from bench.chrek_side import Chrek
from bench.memory import rounds, rows

_RESULTS = Path(__file__).parents[1] / "results" / "latest.json"
_KINDS = ("random", "half-zero", "zero")
_PART = "memory"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1024, 4096], metavar="MIB")
    parser.add_argument("--data", choices=_KINDS, nargs="+", default=list(_KINDS))
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2, 4], metavar="N",
        help="what chrek is tried with at the largest size of random data (default: 1 2 4)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="DIR")
    parser.add_argument("--json", type=Path, default=_RESULTS, metavar="FILE")
    asked = parser.parse_args()
    if asked.rounds < 1 or min(asked.sizes) < 16 or min(asked.threads) < 1:
        parser.error("rounds and threads are at least 1, sizes at least 16")
    return asked


def _measured(asked: argparse.Namespace, work: Path, stack: ExitStack) -> list[dict[str, Any]]:
    sides: list[rounds.Side] = []
    for make in (lambda: Bare(work, bundles.find()), lambda: Chrek(work)):
        side = make()
        stack.callback(entry.closed, side)
        sides.append(side)
    stack.callback(entry.undisturbed)
    program = workload.installed(work)
    found: list[dict[str, Any]] = []
    for size in asked.sizes:
        for data in asked.data:
            swept = size == max(asked.sizes) and data == "random"
            case = rounds.Case(size << 20, data)
            threads = asked.threads if swept else [0]
            print(f"bench: {size} MiB, {data}", file=sys.stderr)
            found += rows.rows(case, rounds.found(sides, case, asked.rounds, threads, program))
    size_bytes = max(asked.sizes) >> 4 << 24
    found += limits.rows(work, size_bytes, list(dict.fromkeys((1, workers.threads()))))
    return found


def _run(asked: argparse.Namespace) -> int:
    console = Console(highlight=False)
    console.width = report.width(console)
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="chrek-bench-", dir=asked.work)
        work = Path(stack.enter_context(made))
        work.chmod(0o755)
        facts = machine.facts(bundles.find(), work)
        with quiet.pressure() as pressure:
            found = _measured(asked, work, stack)
        if pressure.share is not None:
            facts["time_with_a_queue_for_cores"] = f"{pressure.share:.0%}"
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    console.print(f"{told}\n{asked.rounds} rounds, sides by turns, medians\n", soft_wrap=True)
    for table in (rows.restores(found), rows.checkpoints(found), rows.limits(found)):
        console.print(table)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(asked.json.read_text()) if asked.json.exists() else []
    others = [row for row in before if row.get("part") != _PART]
    own = [row | {"part": _PART, "machine": facts} for row in found]
    asked.json.write_text(json.dumps(others + own, indent=1) + "\n")
    print(f"\nJSON: {os.path.relpath(asked.json)}")
    return 0


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    asked = _asked()
    return entry.entered(lambda: _run(asked))


if __name__ == "__main__":
    sys.exit(main())
