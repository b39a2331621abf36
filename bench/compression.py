"""`python -m bench.compression`: when it pays to compress large memory on its volume.

The same memory is checkpointed with each codec and restored from the page cache, from the disk, and
from a disk that gives so many MB/s and no more: the kernel's throttling of block devices stands for
a network volume.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from rich.table import Table

from agent.criu import bundle as bundles
from bench import caches, entry, figures, machine, quiet, results, tables, workload
from bench.budget import Budget
from bench.chrek_side import Chrek
from bench.failures import SideFailedError, UnavailableError
from bench.memory.rows import engine_seconds
from bench.results import Cache, Results, Row, row
from bench.side import Checkpointed, Restored
from bench.workload import Workload

_PART: Final = "compression"
_KINDS: Final = ("weights", "text", "random")
_CODECS: Final = ("none", "lz4", "zstd:1", "zstd:3")
_CGROUP: Final = Path("/sys/fs/cgroup/blkio")
_MEGA: Final = 1_000_000


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compression", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="default: 1024")
    parser.add_argument("--data", choices=_KINDS, nargs="+", default=list(_KINDS))
    parser.add_argument(
        "--codecs", nargs="+", default=list(_CODECS), metavar="CODEC[:LEVEL]",
        help=f"default: {' '.join(_CODECS)}",
    )  # fmt: skip
    parser.add_argument(
        "--rates", type=int, nargs="+", default=[100, 250, 500, 1000], metavar="MB/s",
        help="of the disk (default: 100 250 500 1000)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--budget-seconds", type=float, default=540, metavar="S")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="DIR")
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    return parser.parse_args()


class Throttle:
    """A control group whose processes read the disk of `directory` at a rate at most. Raises
    UnavailableError where there is none."""

    def __init__(self, directory: Path) -> None:
        disk = directory.stat().st_dev
        self._device = f"{os.major(disk)}:{os.minor(disk)}"
        self._home = _CGROUP / f"chrek-bench-{os.getpid()}"
        try:
            self._home.mkdir()
        except OSError as error:
            raise UnavailableError(f"no blkio control groups (version 1): {error}") from error
        try:
            self._set(_MEGA)
        except OSError as error:
            self.close()
            raise UnavailableError(f"{directory} is on no disk of its own: {error}") from error

    def close(self) -> None:
        """Remove it."""
        self._home.rmdir()

    @contextmanager
    def at(self, rate: int) -> Iterator[None]:
        """What the block starts reads so many MB/s."""
        self._set(rate * _MEGA)
        (self._home / "cgroup.procs").write_text("0")
        try:
            yield
        finally:
            (_CGROUP / "cgroup.procs").write_text("0")

    def _set(self, rate_bytes: int) -> None:
        place = self._home / "blkio.throttle.read_bps_device"
        place.write_text(f"{self._device} {rate_bytes}")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a checkpoint is read from. rate: MB/s that a disk gives; None for all that it can."""

    cache: Cache
    rate: int | None = None
    throttle: Throttle | None = None

    @property
    def name(self) -> str:
        """For a person."""
        if self.rate is None:
            return {"page": "page cache"}.get(self.cache, self.cache)
        return f"{self.rate} MB/s"

    def reached(self) -> AbstractContextManager[None]:
        """For the time of a restore."""
        if self.throttle is None or self.rate is None:
            return nullcontext()
        return self.throttle.at(self.rate)


def _measured(
    asked: argparse.Namespace, work: Path, stack: ExitStack, found: Results, budget: Budget
) -> None:
    side = Chrek(work)
    stack.callback(entry.closed, side)
    places = [_Place("page"), _Place("disk")]
    try:
        throttle = Throttle(work)
    except UnavailableError as error:
        budget.leave_out("disks that give less", str(error))
    else:
        stack.callback(throttle.close)
        places += [_Place("disk", rate, throttle) for rate in sorted(asked.rates, reverse=True)]
    stack.callback(entry.undisturbed)
    program = workload.installed(work)
    for data in asked.data:
        for codec in asked.codecs:
            name = f"{asked.size} MiB of {data}, {codec}"
            if budget.allows(name):
                print(f"bench: {name}", file=sys.stderr)
                service = workload.made(asked.size << 20, program, data)
                try:
                    found.add(_case(side, service, codec, asked.rounds, places))
                finally:
                    side.discard()


def _case(
    side: Chrek, service: Workload, codec: str, rounds: int, places: Sequence[_Place]
) -> list[Row]:
    side.compression = codec
    side.start(service)
    digest = service.digest()
    quiet.wait()
    made = side.checkpoint()
    side.end_source()
    stored_bytes = side.stored_bytes()
    rows = [_checkpointed(service, codec, made, stored_bytes)]
    for place in places:
        samples = [_restored(side, service, digest, place) for _ in range(rounds)]
        restored = row(
            "restore",
            service.size_bytes,
            "chrek",
            data=service.data,
            cache=place.cache,
            place=place.name,
            phases=figures.medians([sample.phases for sample in samples]),
            total_seconds=median(sample.seconds for sample in samples),
            engine_seconds=median(map(engine_seconds, samples)),
            compression=codec,
            stored_bytes=stored_bytes,
            disk_bytes_per_second=place.rate and place.rate * _MEGA,
        )
        rows.append(restored)
    return rows


def _checkpointed(service: Workload, codec: str, made: Checkpointed, stored_bytes: int) -> Row:
    return row(
        "checkpoint", service.size_bytes, "chrek", data=service.data, phases=made.phases,
        total_seconds=made.seconds, compression=codec, stored_bytes=stored_bytes,
    )  # fmt: skip


def _restored(side: Chrek, service: Workload, digest: str, place: _Place) -> Restored:
    quiet.wait()
    if place.cache == "disk":
        caches.drop(side.checkpoints)
    with place.reached():
        restored = side.restore()
    try:
        if service.digest() != digest:
            raise SideFailedError("what was restored holds other memory")
    finally:
        side.end_restored()
    return restored


def restores(found: Sequence[Row]) -> Table:
    """Seconds by data, codec and place."""
    of = [each for each in found if each["case"] == "restore"]
    places = list(dict.fromkeys(each["place"] for each in of))
    made = tables.table(
        "restores, seconds of the engine, by where the checkpoint is",
        ("data", "compression"),
        ("stored", "compressed in s", *places),
    )
    for packed in (each for each in found if each["case"] == "checkpoint"):
        seconds = {each["place"]: each["engine_seconds"] for each in of if _same(each, packed)}
        made.add_row(
            packed["data"],
            packed["compression"],
            f"{packed['stored_bytes'] / packed['bytes']:.0%}",
            f"{packed['phases'].get('compress', 0.0):.2f}",
            *(f"{seconds[place]:.2f}" for place in places),
        )
    return made


def _same(each: Row, other: Row) -> bool:
    return all(each[key] == other[key] for key in ("data", "compression", "bytes"))


def _run(asked: argparse.Namespace) -> int:
    console, budget = tables.console(), Budget(asked.budget_seconds)
    with ExitStack() as stack:
        work = stack.enter_context(entry.workplace(asked.work))
        found = Results(asked.json, _PART, machine.facts(bundles.find(), work))
        with quiet.pressure() as pressure:
            _measured(asked, work, stack, found, budget)
        found.disturbed(pressure)
    console.print(f"{tables.told(found.facts)}\n")
    console.print(restores(found.rows))
    for text in budget.told():
        print(text)
    print(f"\nJSON: {os.path.relpath(asked.json)}")
    return 0


def main() -> int:
    """0: measured; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    asked = _asked()
    return entry.entered(lambda: _run(asked))


if __name__ == "__main__":
    sys.exit(main())
