"""How the command prints: tables for people, JSON for programs."""

import json
import sys
import time
from collections.abc import Sequence

import msgspec

_WIDTH = 200
"""Of tables that go into a file or another program."""


def as_json(value: object) -> None:
    """One JSON document on stdout."""
    json.dump(msgspec.to_builtins(value), sys.stdout, indent=2)
    print()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table; only its head when there are no rows."""
    # Imported here: half of the commands print no table, and it takes 25 ms.
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    wide = None if sys.stdout.isatty() else _WIDTH
    Console(highlight=False, emoji=False, width=wide).print(shown)


def size(count_bytes: float) -> str:
    """Bytes for people: 300.2 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count_bytes < 1024 or unit == "GiB":  # noqa: PLR2004
            return f"{count_bytes:.0f} B" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1024
    raise AssertionError


def ago(when: float) -> str:
    """How long ago, in one unit."""
    left = max(0.0, time.time() - when)
    for seconds, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if left >= seconds:
            return f"{int(left / seconds)}{unit}"
    return f"{int(left)}s"


def phases(seconds: dict[str, float]) -> str:
    """criu 0.251 s, files 0.004 s, ..."""
    return ", ".join(f"{name} {took:.3f} s" for name, took in seconds.items())
