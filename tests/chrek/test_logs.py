"""A log line is an event with fields."""

import logging

import pytest

from chrek import logs


def test_an_event_is_one_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.set_up(logging.INFO)
        logger = logging.getLogger("chrek.test")
        logs.event(logger, logging.INFO, "restored", pod="web-1", seconds=0.5)
        logs.event(logger, logging.DEBUG, "hidden")
        logs.event(logger, logging.INFO, "asked", why='a "b"\nforged info line=1')
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    said = capsys.readouterr().err
    first, second = said.splitlines()
    assert first.endswith(" info chrek.test restored pod=web-1 seconds=0.5")
    assert second.endswith(r' info chrek.test asked why="a \"b\"\nforged info line=1"')
    assert "hidden" not in said
