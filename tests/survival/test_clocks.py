"""Clocks: the day jumps, the monotonic one does not, however far apart two machines are."""

import subprocess
import sys
import time

import pytest

from tests.survival.lives import Life, Lives

APART_SECONDS = 100 * 24 * 3600
SLACK_SECONDS = 600


def test_a_monotonic_clock_goes_on_and_the_day_is_todays(lives: Lives) -> None:
    source = lives.start("clocks", "clocks.py")
    before = source.ask()
    stored = lives.capture(source)
    time.sleep(3)  # between capture and restore: for the copy it never was

    copy = lives.restore(stored, "copy")

    told = copy.ask()
    assert told["backwards"] == []
    assert told["waited"]
    assert before["since start"] < told["since start"] < source.ask()["since start"] - 3
    assert abs(told["day"] - time.time()) < SLACK_SECONDS
    for name, seconds in told["left"].items():
        assert before["left"][name] - SLACK_SECONDS < seconds < before["left"][name], name
    assert source.ask()["backwards"] == []


def test_a_monotonic_clock_of_a_machine_that_has_run_far_longer(lives: Lives) -> None:
    """The source starts in a time namespace: 100 days ahead of the copy's machine."""
    source = started_apart(lives)
    before = source.ask()
    assert before["monotonic"] - time.monotonic() > APART_SECONDS - SLACK_SECONDS

    copy = lives.again(source, "copy")
    grandchild = lives.again(copy, "grandchild")

    for life in (copy, grandchild, source):
        told = life.ask()
        assert told["backwards"] == []
        assert told["waited"]
        assert before["monotonic"] < told["monotonic"] < before["monotonic"] + SLACK_SECONDS
        for name, seconds in told["left"].items():
            assert before["left"][name] - SLACK_SECONDS < seconds < before["left"][name], name


def started_apart(lives: Lives) -> Life:
    """Only the monotonic clock: that of boot is in every process's start time, by which chrek knows
    a process again."""
    program = (
        "import sys; from pathlib import Path; from tests.survival.lives import Lives;"
        "Lives(Path(sys.argv[1])).start('apart', 'clocks.py')"
    )
    command = ["unshare", "--time", "--monotonic", str(APART_SECONDS), "--fork"]
    done = subprocess.run(
        [*command, sys.executable, "-c", program, str(lives.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in done.stderr:
        pytest.skip("needs time namespaces")
    assert done.returncode == 0, done.stderr
    machine = lives.machine
    return Life(machine, machine.containers.target("apart"))
