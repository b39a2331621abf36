"""Phases are exclusive: their sum is the time of the whole."""

import asyncio
import time

import pytest

from chrek.phases import phase, recording


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_nested_phases_add_up_to_the_outer_ones_time() -> None:
    with recording() as seconds:
        started = time.monotonic()
        with phase("whole"):
            busy(0.005)
            with phase("part"):
                busy(0.02)
                with phase("deep"):
                    busy(0.01)
            with phase("other"):
                busy(0.005)
        took = time.monotonic() - started
    assert list(seconds) == ["deep", "part", "other", "whole"]
    assert sum(seconds.values()) == pytest.approx(took, abs=0.004)
    assert seconds["part"] >= 0.02
    assert seconds["whole"] >= 0.005
    assert seconds["whole"] < took - 0.03


def test_a_name_that_occurs_again_adds_up() -> None:
    with recording() as seconds:
        for _ in range(3):
            with phase("again"):
                busy(0.003)
    assert list(seconds) == ["again"]
    assert seconds["again"] >= 0.009


def test_it_is_known_when_each_phase_ran() -> None:
    with recording() as seconds:
        for _ in range(2):
            with phase("outer"):
                busy(0.004)
                with phase("inner"):
                    busy(0.004)
    assert [span.phase for span in seconds.spans] == ["inner", "outer"] * 2
    first_inner, first, _, second = seconds.spans
    assert first.began <= first_inner.began - 0.004 < first_inner.ended <= first.ended
    assert first.ended <= second.began


def test_a_name_inside_itself_is_counted_once() -> None:
    with recording() as seconds:
        started = time.monotonic()
        with phase("same"), phase("same"):
            busy(0.01)
        took = time.monotonic() - started
    assert 0.01 <= seconds["same"] <= took


def test_a_phase_that_fails_is_measured_and_its_error_goes_on() -> None:
    with recording() as seconds:
        with pytest.raises(ZeroDivisionError), phase("whole"), phase("failing"):
            raise ZeroDivisionError
        with phase("next"):
            pass
    assert list(seconds) == ["failing", "whole", "next"]


async def test_recordings_of_tasks_side_by_side_are_apart_and_threads_belong_to_theirs() -> None:
    async def one(name: str) -> dict[str, float]:
        with recording() as seconds, phase(name):
            await asyncio.to_thread(inner, f"{name}-inner")
        return seconds

    def inner(name: str) -> None:
        with phase(name):
            busy(0.01)

    found = await asyncio.gather(one("a"), one("b"))
    assert [list(seconds) for seconds in found] == [["a-inner", "a"], ["b-inner", "b"]]


def test_without_a_recording_nothing_is_kept() -> None:
    with phase("alone"):
        pass
    with recording() as seconds:
        pass
    assert seconds == {}
