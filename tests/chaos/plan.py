"""What a round does: chosen by its seed and its number alone."""

import random
from dataclasses import dataclass
from typing import Final

PROGRAMS: Final = ("threads", "tree", "files", "shared", "restless", "large")
_ENDS: Final = ("none", "kill-chrek", "term-chrek", "kill-inside", "kill-criu", "pause-criu")
_CAPTURE: Final = (
    *(*_ENDS, "kill-container"),
    *("disk-full", "io-error", "read-only", "file-size"),
    *("app-killed", "app-exits", "init-killed", "shim-killed", "hostile-root", "proc-covered"),
)
_RESTORE: Final = (
    *_ENDS,
    *("io-error", "scratch-full", "app-killed", "init-killed", "shim-killed", "stopped"),
    *("damaged", "damaged-meanwhile", "removed-meanwhile", "replaced-meanwhile"),
)
OPERATIONS: Final[dict[str, tuple[str, ...]]] = {
    "capture": _CAPTURE,
    "replace": _CAPTURE,
    "restore": (*_RESTORE, "pid-taken", "hostile-root", "proc-covered"),
    "restores": _RESTORE,
    "rm": ("none", "kill-chrek", "term-chrek", "io-error", "restored-meanwhile"),
}
_WEIGHTS: Final = {"capture": 6, "replace": 4, "restore": 6, "restores": 3, "rm": 1}
STUCK: Final = "stuck-criu"
"""CRIU stopped for good: takes as long as chrek's patience, so it is only played when asked for."""
_PHASES: Final = {"capture": 9, "replace": 9, "restore": 11, "restores": 11, "rm": 1}
_MOST_DELAY_SECONDS: Final = 0.08


@dataclass(frozen=True, slots=True)
class Round:
    """One round. phases: after so many phases the fault strikes, `delay_seconds` later. seed:
    of every further choice."""

    number: int
    seed: int
    program: str
    operation: str
    fault: str
    phases: int
    delay_seconds: float
    private: bool
    again: bool

    def __str__(self) -> str:
        begin = "CRIU" if self.fault.endswith("-criu") else f"{self.phases} phases"
        when = f"{begin} + {self.delay_seconds * 1000:.0f} ms"
        network = "private" if self.private else "host"
        return f"{self.program}, {self.operation}, {self.fault} at {when}, {network} network"


def chosen(
    seed: int,
    number: int,
    *,
    operation: str | None = None,
    fault: str | None = None,
    program: str | None = None,
) -> Round:
    """Round `number` of `seed`; operation, fault, program: take these instead."""
    draw = random.Random(f"{seed}/{number}")
    names = [name for name in OPERATIONS if fault in (None, STUCK, *OPERATIONS[name])]
    drawn = draw.choices(names, [_WEIGHTS[name] for name in names])[0]
    operation = operation or drawn
    return Round(
        number=number,
        seed=draw.getrandbits(32),
        program=draw.choice([program] if program else PROGRAMS),
        operation=operation,
        fault=fault or draw.choice(OPERATIONS[operation]),
        phases=draw.randrange(_PHASES[operation]),
        delay_seconds=draw.uniform(0, _MOST_DELAY_SECONDS),
        private=draw.random() < 0.25,
        again=draw.random() < 0.35,
    )
