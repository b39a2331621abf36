"""What every bench writes: rows of one shape in one file, added to as soon as each is known.

A row has `case` (cold start, checkpoint, restore, fill or limit), `data` (random, half-zero or
zero; where it is compressed also weights or text), `bytes`, `system`, `cache` (page: the
checkpoint's files are in the page cache; disk: they are not; tmpfs: they are on one), `phases`
(seconds by name) and `total_seconds` (None: see `failure`). Beside these stand `part` (which
bench), `machine`, and what one bench has more than the others.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from bench.quiet import Pressure

LATEST: Final = Path(__file__).parent / "results" / "latest.json"

Row = dict[str, Any]
Cache = Literal["page", "disk", "tmpfs"]


def row(
    case: str,
    size_bytes: int,
    system: str,
    *,
    data: str = "random",
    cache: Cache = "page",
    phases: Mapping[str, float] | None = None,
    total_seconds: float | None = None,
    **more: Any,
) -> Row:
    """One row. more: what stands beside."""
    return {
        "case": case,
        "data": data,
        "bytes": size_bytes,
        "system": system,
        "cache": cache,
        "phases": dict(phases or {}),
        "total_seconds": total_seconds,
        **more,
    }


class Results:
    """The rows of one part; those of other parts stay in the file as they are.

    facts: of the machine, written with each row; may be added to. Several may write to one file by
    turns.
    """

    def __init__(self, place: Path, part: str, facts: Mapping[str, object]) -> None:
        self.rows: list[Row] = []
        self.facts = dict(facts)
        self._place, self._part = place, part

    def add(self, rows: Iterable[Row]) -> None:
        """Written when this returns: the machine may be gone the next moment."""
        self.rows += rows
        self.write()

    def disturbed(self, pressure: Pressure) -> None:
        """How much the run was: a fact of it, too."""
        if pressure.share is not None:
            self.facts["time_with_a_queue_for_cores"] = f"{pressure.share:.0%}"
        self.write()

    def write(self) -> None:
        """Again, with the facts that are known by now."""
        before = json.loads(self._place.read_text()) if self._place.exists() else []
        others = [each for each in before if each.get("part") != self._part]
        own = [each | {"part": self._part, "machine": self.facts} for each in self.rows]
        self._place.parent.mkdir(parents=True, exist_ok=True)
        staged = self._place.with_name(f".{self._place.name}")
        staged.write_text(json.dumps(others + own, indent=1) + "\n")
        staged.replace(self._place)
