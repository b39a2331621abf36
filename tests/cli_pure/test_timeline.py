"""Phases as bars: together they are the time of the whole."""

from hypothesis import given
from hypothesis import strategies as st

from chrek.cli import timeline
from chrek.phases import Span

SECONDS = st.floats(0, 1000, allow_nan=False)


def test_bars_stand_one_behind_the_other() -> None:
    rows = list(timeline.bars({"inspect": 1.0, "dump": 2.0, "pages": 1.0}))
    assert [row[:3] for row in rows] == [
        ["inspect", "0.000", "1.000"],
        ["dump", "1.000", "2.000"],
        ["pages", "3.000", "1.000"],
    ]
    assert [row[3] for row in rows] == [
        "#" * 10 + "." * 30,
        "." * 10 + "#" * 20 + "." * 10,
        "." * 30 + "#" * 10,
    ]


@given(st.dictionaries(st.text(min_size=1), SECONDS, max_size=8))
def test_every_phase_is_seen_and_every_bar_is_as_wide(phases: dict[str, float]) -> None:
    rows = list(timeline.bars(phases))
    assert [row[0] for row in rows] == list(phases)
    assert all(len(row[3]) == 40 and "#" in row[3] for row in rows)


def test_a_phase_inside_another_is_seen_in_its_bar() -> None:
    rows = list(
        timeline.spans([Span("enter", 0.0, 1.0), Span("pages", 2.0, 3.0), Span("criu", 1.0, 4.0)])
    )
    assert rows == [
        ["enter", "0.000", "1.000", "#" * 10 + "." * 30],
        ["criu", "1.000", "3.000", "." * 10 + "#" * 10 + "-" * 10 + "#" * 10],
        ["pages", "2.000", "1.000", "." * 20 + "#" * 10 + "." * 10],
    ]


@given(
    st.lists(
        st.builds(lambda name, a, b: Span(name, min(a, b), max(a, b)), st.text(), SECONDS, SECONDS)
    )
)
def test_every_span_is_seen_as_wide_in_order_of_its_begin(spans: list[Span]) -> None:
    rows = list(timeline.spans(spans))
    assert sorted(row[0] for row in rows) == sorted(span.phase for span in spans)
    assert all(len(row[3]) == 40 and set(row[3]) & set("#-") for row in rows)
    begins = [float(row[1]) for row in rows]
    assert begins == sorted(begins)
