"""`python -m bench.webhook`: every side in one run, a table on stdout, JSON beside it."""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import quiet
from bench.failures import SideFailedError, UnavailableError
from bench.webhook import bodies, report
from bench.webhook.load import serving
from bench.webhook.measure import SIDES, Sides, measured, soaked
from certs.__main__ import main as certs

_RESULTS: Final = Path(__file__).parent.parent / "results" / "webhook.json"
_SOAK: Final = 100_000
_UNABLE: Final = 3


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.webhook", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=int, default=4, metavar="N", help="of each run of wrk")
    parser.add_argument("--soak", type=int, default=_SOAK, metavar="REQUESTS")
    parser.add_argument("--json", type=Path, default=_RESULTS, metavar="FILE")
    asked = parser.parse_args()
    if min(asked.rounds, asked.seconds, asked.soak) < 1:
        parser.error("rounds, seconds and soak are at least 1")
    return asked


def _run(asked: argparse.Namespace, work: Path) -> int:
    if certs(["--directory", str(work), "--dns-name", "localhost"]):
        raise SideFailedError("no certificate could be made")
    with (
        serving("echo", work) as echo,
        serving("source", work) as source,
        serving("placeholder", work) as placeholder,
        quiet.pressure() as pressure,
    ):
        sides = Sides({"echo": echo, "source": source, "placeholder": placeholder}, work)
        found = measured(sides, asked.rounds, asked.seconds)
        patches = {side: sides.patch_bytes(side) if side != "echo" else 0 for side in SIDES}
        soak = soaked(sides, asked.soak, asked.seconds)
    bar = statistics.median(run.per_second for run in found["echo"]["busy"])
    rows = [report.row(side, found[side], bar, patches[side]) for side in SIDES]
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    console.print(report.table(rows))
    report.verdicts(rows, soak)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    body = len(bodies.review(annotated=True))
    asked.json.write_text(
        json.dumps({"body_bytes": body, "rows": rows, "soak": soak}, indent=1) + "\n"
    )
    if pressure.share is not None:
        print(f"time with a queue for cores: {pressure.share:.0%} (wrk and a server use both)")
    return 0


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot."""
    asked = _asked()
    try:
        with tempfile.TemporaryDirectory(prefix="chrek-bench-") as work:
            return _run(asked, Path(work))
    except UnavailableError as error:
        print(f"bench: {error}", file=sys.stderr)
        return _UNABLE
    except SideFailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
