"""One step after the other, as far as memory, disk and time allow; every row is printed, and
written, as soon as it is known."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.criu import bundle as bundles
from agent.kernel import workers
from bench import entry, limits, machine, results, workload
from bench.bare import Bare
from bench.budget import Budget
from bench.chrek_side import Chrek
from bench.failures import SideFailedError, UnavailableError
from bench.gpu import cases, programs, report
from bench.gpu.cases import How
from bench.gpu.order import Memory, OnGPU, Step
from bench.gpu.programs import Program
from bench.gpu.stock import Stock
from bench.memory import plan, rounds, rows
from bench.memory.plan import Room
from bench.memory.rounds import Case, Found
from bench.node_side import Node
from bench.results import Cache, Results, Row

_COPIES: Final = Path(__file__).with_name("copies.py")
_UNABLE: Final = 3
_ON_NODE: Final[tuple[Cache, ...]] = ("tmpfs", "disk")
"""The node's directory is in memory, the volume on the disk."""


@dataclass
class Running:
    """work: a directory on a disk; tmpfs: one in memory. python: has torch. count: restores of a
    program from each cache. on_gpu, without: rows of what has a GPU, and of what has none. stack:
    ends what was begun."""

    work: Path
    tmpfs: Path
    python: str
    count: int
    budget: Budget
    on_gpu: Results
    without: Results
    stack: ExitStack
    failed: bool = False
    _sides: dict[Path, cases.Side | Bare] = field(default_factory=dict)
    _commands: dict[Program, list[str] | None] = field(default_factory=dict)

    def limits(self, size_bytes: int) -> None:
        """What the machine gives without chrek, in copies of so much: to and from a GPU, and from
        the page cache and the tmpfs."""
        size_bytes -= size_bytes % limits.STRIPE_BYTES
        if not size_bytes:
            return
        try:
            for row in _copies(self.python, size_bytes):
                self._note(self.on_gpu, row)
        except SideFailedError as error:
            self._fail("copies to and from the GPU", error)
        places: Mapping[Cache, tuple[Path, Results]] = {
            "page": (self.work, self.on_gpu),
            "tmpfs": (self.tmpfs, self.without),
        }
        for cache, (place, found) in places.items():
            cold = () if cache == "tmpfs" else limits.COLD
            for row in limits.rows(place, size_bytes, [workers.threads()], limits.ALONE, cold):
                self._note(found, row if row["cache"] == "disk" else row | {"cache": cache})

    def step(self, step: Step) -> None:
        """If there is room and time."""
        room = Room(machine.available_bytes(), shutil.disk_usage(self.work).free)
        if isinstance(step, Memory):
            self._memory(step, room)
        else:
            self._program(step, room)

    def _memory(self, step: Memory, room: Room) -> None:
        together = plan.together(step.size_bytes, room, tmpfs=True)
        if not together:
            has, needs = room.memory_bytes >> 30, plan.needed_bytes(step.size_bytes, 1) >> 30
            self.budget.leave_out(step.name, f"{needs} GiB of memory are needed, {has} are free")
            return
        home = self.tmpfs / "without"
        chrek = self._side(home / "chrek", Chrek)
        bare = self._side(home / "criu", lambda place: Bare(place, bundles.find()))
        assert isinstance(chrek, Chrek)
        assert isinstance(bare, Bare)
        case = Case(step.size_bytes, "random", ["tmpfs"], 1, (0, *step.threads))
        program = workload.installed(self.work)
        for group in rounds.groups([chrek, bare], together):
            names = [side.name for side in group]
            if not self.budget.allows(f"{step.name}, {'/'.join(names)}", step.seconds(names)):
                continue
            known: dict[str, Found] = {}
            try:
                rounds.found(group, case, program, known)
            except SideFailedError as error:
                self._fail(step.name, error)
                self._note(self.without, rows.failed(case, str(error)))
            finally:
                for row in rows.rows(case, known, by_turns=len(group) > 1):
                    self._note(self.without, row)

    def _program(self, step: OnGPU, room: Room) -> None:
        program, variant = step.program, cases.VARIANTS[step.side]
        is_ready = program in self._commands
        if not program.fits(room.memory_bytes, room.disk_bytes, is_ready=is_ready):
            self.budget.leave_out(step.name, "memory or disk is too small")
            return
        takes = step.seconds + (0 if is_ready else program.ready_seconds)
        if not self.budget.allows(step.name, takes):
            return
        command = self._ready(program)
        if command is None:
            self.budget.leave_out(step.name, "it could not be made ready")
            return
        how = How(variant, _ON_NODE if variant.name == Node.name else step.cached, self.count)
        try:
            for row in cases.measured(self._on_gpu(step), program, command, how):
                self._note(self.on_gpu, row)
        except SideFailedError as error:
            self._fail(step.name, error)
            row = results.row(
                "restore",
                program.size_bytes,
                variant.name,
                cache=how.cached[0],
                failure=str(error),
                program=program.name,
                huge_pages=variant.huge_pages,
            )
            self._note(self.on_gpu, row)

    def _ready(self, program: Program) -> list[str] | None:
        """What starts it, less its port; once made ready it stays so. None: it could not be."""
        if program not in self._commands:
            self._commands[program] = None
            try:
                made = programs.ready(program, self.python, self.work)
                self._commands[program] = self.stack.enter_context(made)
            except SideFailedError as error:
                self._fail(f"{program.name} could not be made ready", error)
        return self._commands[program]

    def _on_gpu(self, step: OnGPU) -> cases.Side:
        options = ["--gpus", "all"]
        for variable in programs.PASSED:
            options += ["--env", variable] if variable in os.environ else []
        place = self.tmpfs / "gpu" if step.cached == ["tmpfs"] else self.work
        makers: dict[str, Callable[[Path], cases.Side]] = {
            "chrek": lambda home: Chrek(home, options),
            "chrek node": lambda home: Node(home, {"tmpfs": self.tmpfs / "kept"}, options),
            "criu": lambda home: Stock(home, bundles.find()),
        }
        name = cases.VARIANTS[step.side].name
        made = self._side(place / name.replace(" ", "-"), makers[name])
        assert isinstance(made, cases.Side)
        return made

    def _side(self, home: Path, make: Callable[[Path], cases.Side | Bare]) -> cases.Side | Bare:
        """That of a directory, made when it is first needed."""
        if home not in self._sides:
            home.mkdir(parents=True, exist_ok=True)
            made = make(home)
            self.stack.callback(entry.closed, made)
            self._sides[home] = made
        return self._sides[home]

    def _note(self, found: Results, row: Row) -> None:
        print(report.line(row), flush=True)
        found.add([row])

    def _fail(self, what: str, error: SideFailedError) -> None:
        self.failed = True
        print(f"bench: {what}: {error}", flush=True)


def _copies(python: str, size_bytes: int) -> Iterator[Row]:
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
