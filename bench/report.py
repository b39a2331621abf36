"""The tables that a run prints."""

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench import figures, tables
from bench.figures import Metric, Spread
from bench.measure import Measured

_BASE = "criu"
_CHREK = "chrek"


def all_of(
    results: Mapping[tuple[str, int], Measured],
    absent: Mapping[str, str],
    sizes_bytes: Sequence[int],
) -> Group:
    """All that was measured; absent: side -> why it could not run."""
    names = list(dict.fromkeys(name for name, _ in results))
    parts: list[Table | Text] = []
    for size in sizes_bytes:
        found = {name: results[name, size] for name in names}
        parts += [_compared(found, size), *_explained(found), Text("")]
        if found.get(_CHREK) is not None and found[_CHREK].samples:
            parts += [_inside(found[_CHREK], size), Text("")]
    parts += [Text(f"{name}: not measured, {why}") for name, why in absent.items()]
    parts += _targets(results, sizes_bytes)
    return Group(*parts)


def _compared(found: Mapping[str, Measured], size: int) -> Table:
    """One column a side, then each side's median against bare CRIU's."""
    table = tables.table(f"{size >> 20} MiB of random memory", [""], [])
    others = [name for name in found if name != _BASE]
    for name in found:
        table.add_column(name, justify="right", no_wrap=True)
    for name in others:
        table.add_column(f"{name}\n/ {_BASE}", justify="right", no_wrap=True)
    for label, metric in figures.COMPARED.items():
        spreads = {name: _spread(measured, metric) for name, measured in found.items()}
        cells = [_cell(spread) for spread in spreads.values()]
        base = spreads.get(_BASE)
        table.add_row(label, *cells, *(_ratio(spreads[name], base) for name in others))
    return table


def _inside(measured: Measured, size: int) -> Table:
    table = tables.table(f"inside chrek's restore, {size >> 20} MiB", [""], ["chrek"])
    for label, metric in figures.RESTORE_PARTS.items():
        table.add_row(label, _cell(_spread(measured, metric)))
    phases = figures.medians([sample.restored.phases for sample in measured.samples])
    own = {name: seconds for name, seconds in phases.items() if name not in figures.NOT_OWN}
    table.add_section()
    for name, seconds in own.items():
        table.add_row(f"  phase {name}", f"{seconds * 1000:.1f}")
    return table


def _targets(results: Mapping[tuple[str, int], Measured], sizes_bytes: Sequence[int]) -> list[Text]:
    lines: list[Text] = []
    for size in sizes_bytes:
        chrek, base = results.get((_CHREK, size)), results.get((_BASE, size))
        if chrek is None or not chrek.samples:
            continue
        own = Spread.of([figures.own_seconds(sample) for sample in chrek.samples]).median
        lines += [
            _target(size, "engine's own phases, s", own, figures.OWN_SECONDS_NOW),
            _target(size, "engine's own phases, s (later)", own, figures.OWN_SECONDS_LATER),
        ]
        frozen = figures.COMPARED["source frozen"]
        ours, bare = _spread(chrek, frozen), _spread(base, frozen) if base else None
        if ours is not None and bare is not None:
            ratio = ours.median / bare.median
            lines.append(_target(size, "source frozen, times bare", ratio, figures.FREEZE_RATIO))
    return lines


def _target(size: int, what: str, value: float, limit: float) -> Text:
    verdict = "reached" if value <= limit else "MISSED"
    return Text(f"{size >> 20:>5} MiB  {what:<32} {value:6.3f}  at most {limit:5.3f}  {verdict}")


def _explained(found: Mapping[str, Measured]) -> list[Text]:
    return [
        Text(f"{name}: failed after {len(measured.samples)} samples: {measured.failure}")
        for name, measured in found.items()
        if measured.failure is not None
    ]


def _spread(measured: Measured, metric: Metric) -> Spread | None:
    values = [metric(sample) for sample in measured.samples]
    return Spread.of(values) if values else None


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    median, least, most = (
        f"{seconds * 1000:.0f}" for seconds in (spread.median, spread.least, spread.most)
    )
    return f"{median} ({least}-{most})"


def _ratio(spread: Spread | None, base: Spread | None) -> str:
    if spread is None or base is None:
        return "-"
    return f"{spread.median / base.median:.2f}"
