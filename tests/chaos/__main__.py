"""`python -m tests.chaos --rounds N --seed S`: rounds of faults, and a summary.

A round that fails says what it did and how to play it again; its root directory is kept.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.chaos.ground import Ground, Wrong
from tests.chaos.needs import missing
from tests.chaos.plan import OPERATIONS, PROGRAMS, STUCK, Round, chosen
from tests.chaos.rounds import Play, play

_CHOICES = ("operation", "fault", "program")


def main() -> int:
    """1 when a round failed, 3 when none can be played."""
    asked = _asked()
    seed = asked.seed if asked.seed is not None else random.randrange(1 << 31)
    numbers = [asked.only] if asked.only is not None else range(asked.rounds)
    end = time.monotonic() + asked.minutes * 60 if asked.minutes else float("inf")
    if lacks := missing():
        print(f"chaos: {lacks}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, ended)
    rounds: list[Round] = []
    played: list[Play] = []
    failed: list[Round] = []
    for number in numbers:
        if time.monotonic() > end:
            break
        instead = {name: getattr(asked, name) for name in _CHOICES}
        chose = chosen(seed, number, **instead)
        started = time.monotonic()
        rounds.append(chose)
        try:
            done = one(chose)
        except Wrong as error:
            failed.append(chose)
            print(f"round {number} FAILED: {chose}\n    {error}")
            again = f"python -m tests.chaos --seed {seed} --only {number}"
            for name, value in instead.items():
                again += f" --{name} {value}" if value else ""
            print(f"    again: {again}", flush=True)
            continue
        played.append(done)
        took = time.monotonic() - started
        print(f"round {number}: {chose}: {'; '.join(done.notes)} ({took:.1f} s)", flush=True)
    _summary(seed, rounds, played, failed)
    return 1 if failed else 0


def ended(*_: object) -> None:
    """SIGTERM: what is broken off takes away what it made."""
    raise SystemExit(143)


def one(chose: Round) -> Play:
    """Play a round on ground of its own; raises Wrong, and then the ground is kept."""
    with ground() as made:
        return play(chose, made)


@contextmanager
def ground() -> Iterator[Ground]:
    """Below a directory of its own, which stays when a round fails."""
    # Not below /tmp: that may be a tmpfs.
    root = Path(tempfile.mkdtemp(prefix="chrek-chaos-", dir="/var/lib"))
    try:
        with closing(Ground(root)) as made:
            yield made
    except Wrong as error:
        raise Wrong(f"{error}; kept: {root}") from error
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    shutil.rmtree(root)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--seed", type=int, default=None, help="default: another each time")
    parser.add_argument("--minutes", type=float, default=0, help="begin none after so long")
    parser.add_argument("--only", type=int, default=None, metavar="N", help="only round N")
    parser.add_argument("--operation", choices=sorted(OPERATIONS), help="in every round")
    faults = sorted({fault for found in OPERATIONS.values() for fault in found} | {STUCK})
    parser.add_argument("--fault", choices=faults, help="in every round")
    parser.add_argument("--program", choices=PROGRAMS, help="in every round")
    return parser.parse_args()


def _summary(seed: int, rounds: list[Round], played: list[Play], failed: list[Round]) -> None:
    for what in ("operation", "fault", "program"):
        counts = Counter(getattr(each, what) for each in rounds)
        print(f"by {what}: " + ", ".join(f"{name} {n}" for name, n in counts.most_common()))
    missed = sum(not each.fault.struck and each.asked.fault != "none" for each in played)
    lost = sum(each.lost for each in played)
    gap_seconds = max((each.gap_seconds for each in played), default=0.0)
    print(
        f"chaos: {len(rounds)} rounds with seed {seed}; {missed} faults came too late to strike; "
        f"{lost} sources lost to the death of their CRIU; longest standstill of a source "
        f"{gap_seconds:.2f} s; {len(failed)} failed"
        + (": " + ", ".join(str(each.number) for each in failed) if failed else "")
    )


if __name__ == "__main__":
    sys.exit(main())
