"""How the command prints: tables for people, JSON for programs."""

import json
import sys
import time
from collections.abc import Sequence

import msgspec

from chrek.errors import ChrekError


def as_json(value: object) -> None:
    """One JSON document on stdout."""
    json.dump(msgspec.to_builtins(value), sys.stdout, indent=2)
    print()


def problem(error: ChrekError) -> None:
    """One sentence and its reason, on stderr."""
    print(f"chrek: {error} ({error.reason})", file=sys.stderr)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns aligned and never wrapped: names stay whole for who reads and who greps."""
    lines = [[_plain(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _plain(cell: str) -> str:
    """On one line, and nothing that a terminal would obey: names come from containers."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(cell.split()))


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
