"""`python -m bench.gpu`: programs on a GPU, by chrek and by bare CRIU, beside the raw limits; and a
process without a GPU that has more memory than any of `python -m bench.memory`.

Each row is printed, and written, as soon as it is known.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from agent.criu import bundle as bundles
from agent.kernel import workers
from bench import caches, commands, entry, machine, quiet, results, tables
from bench.budget import Budget
from bench.failures import SideFailedError, UnavailableError
from bench.gpu import cases, order, programs, report, verdicts
from bench.gpu.running import Running
from bench.memory import rows
from bench.results import Results

_PART, _WITHOUT = "gpu", "large"
_GIB = 1 << 30


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
        help="the most wanted first; chrek-always: with CHREK_HUGE_PAGES=always; chrek-node: that, "
        "through a node's directory in memory, read from there and from the disk (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--cache", choices=("page", "disk", "tmpfs"), nargs="+", default=["page"],
        help="where checkpoints are when they are restored (default: page)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="restores (default: 1)")
    parser.add_argument(
        "--memory", type=float, nargs="*", default=[16, 32, 56, 64], metavar="GIB",
        help="of random bytes in a process without a GPU, restored from a tmpfs by chrek and by "
        "bare CRIU, as far as there is memory for both (default: 16 32 56 64)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, nargs="*", default=[1, 2, 4, 8], metavar="N",
        help="what chrek is tried with at the least --memory, beside its own choice "
        "(default: 1 2 4 8)",
    )  # fmt: skip
    parser.add_argument(
        "--limit-gib", type=float, default=4, metavar="GIB",
        help="that each raw limit moves (default: 4; 0: none is measured)",
    )  # fmt: skip
    parser.add_argument(
        "--budget-seconds", type=float, default=None, metavar="S",
        help="nothing begins that would last longer (default: no limit)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="DIR")
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    asked = parser.parse_args(words)
    least = min([1, *asked.sizes, *asked.memory, *asked.threads])
    if asked.rounds < 1 or asked.limit_gib < 0 or least <= 0:
        parser.error("rounds are at least 1, sizes more than 0, --limit-gib is not less than 0")
    return asked


def _steps(asked: argparse.Namespace) -> list[order.Step]:
    return order.ordered(
        programs.programs(asked.sizes, asked.models),
        asked.sides,
        asked.cache,
        [int(size * 1024) << 20 for size in asked.memory],
        [count for count in asked.threads if count != workers.threads()],
    )


def _run(asked: argparse.Namespace) -> int:
    python, budget, bundle = programs.python(), Budget(asked.budget_seconds), bundles.find()
    facts = machine.facts(bundle, asked.work) | _gpus()
    on_gpu, without = (Results(asked.json, part, facts) for part in (_PART, _WITHOUT))
    failed = True
    try:
        with ExitStack() as stack:
            work = stack.enter_context(entry.workplace(asked.work))
            tmpfs = stack.enter_context(caches.tmpfs(work / "tmpfs", huge=True))
            for found in (on_gpu, without):
                found.facts["tmpfs"] = (
                    "huge pages" if caches.has_huge_pages(tmpfs) else "small pages"
                )
            print(tables.told(on_gpu.facts), flush=True)
            running = Running(work, tmpfs, python, asked.rounds, budget, on_gpu, without, stack)
            try:
                with quiet.pressure() as pressure:
                    running.limits(int(asked.limit_gib * _GIB))
                    for step in _steps(asked):
                        running.step(step)
            finally:
                entry.undisturbed()  # while sides are ended, also those made since
            for found in (on_gpu, without):
                found.disturbed(pressure)
            failed = running.failed
    finally:
        _tell(on_gpu, without, budget)  # also of a run that was interrupted
        print(f"\nJSON: {os.path.relpath(asked.json)}")
    return int(failed)


def _tell(on_gpu: Results, without: Results, budget: Budget) -> None:
    console = tables.console()
    console.print(report.programs(on_gpu.rows))
    console.print(report.limits([*on_gpu.rows, *without.rows]))
    for table in (rows.restores, rows.straight, rows.checkpoints):
        console.print(table(without.rows))
    for text in (
        *verdicts.near(on_gpu.rows),
        *verdicts.gains(on_gpu.rows),
        *verdicts.verdicts([*on_gpu.rows, *without.rows]),
        *rows.verdicts(without.rows),
        *budget.told(),
    ):
        print(text)


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
