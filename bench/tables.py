"""Tables as every bench prints them."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

_LEAST_COLUMNS = 180


def console() -> Console:
    """Wide enough for a row on one line, also into a file."""
    made = Console(highlight=False)
    made.width = max(made.width, _LEAST_COLUMNS)
    return made


def told(facts: Mapping[str, object]) -> str:
    """On what machine, with what, on one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def table(title: str, words: Sequence[str], figures: Sequence[str]) -> Table:
    """An empty one: columns of words, then columns of figures."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in words:
        made.add_column(column, no_wrap=True)
    for column in figures:
        made.add_column(column, justify="right", no_wrap=True)
    return made
