"""Huge pages for what comes from a GPU, while it comes.

The driver does not ask for them, and nobody can ask for them in another process's memory: so they
are switched on for the whole node, for the seconds of a copy, if that was wished for. Other
programs that take memory in those seconds get huge pages too, and may hold more than they would.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SWITCH: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_CHOSEN = re.compile(r"\[(\w+)\]")
_ALWAYS: Final = "always"


def chosen(switch: Path = SWITCH) -> str:
    """What the node's administrator has set: always, madvise, never; "" where there are none."""
    try:
        found = _CHOSEN.search(switch.read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def to_be_changed(*, wished: bool, switch: Path = SWITCH) -> str:
    """What is to be put back afterwards; "" where nothing is changed. `never` has its reason."""
    found = chosen(switch) if wished else ""
    return found if found == "madvise" else ""


@contextmanager
def always(before: str, switch: Path = SWITCH) -> Iterator[None]:
    """Huge pages for everybody in the block; `before`, of to_be_changed, is put back."""
    if not before:
        yield
        return
    try:
        switch.write_text(_ALWAYS)
        yield
    finally:
        put_back(before, switch)


def put_back(before: str, switch: Path = SWITCH) -> None:
    """Undo what always() did, here or in a process that was killed."""
    if before and chosen(switch) == _ALWAYS:
        switch.write_text(before)
