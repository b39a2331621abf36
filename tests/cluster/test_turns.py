"""Test runs that use one cluster have it in turn, and the last one takes it down."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from .client import Cluster
from .layout import REPOSITORY
from .second import SETTINGS, run

TEST_RUN = """
import sys
from tests.cluster import lifecycle
with lifecycle.up_for_tests(False, lambda text: print(text, flush=True)):
    print("has it", flush=True)
    sys.stdin.read()
lifecycle.down_after_tests()
"""
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(running: Cluster) -> Iterator[Start]:
    """Starts test runs of the second cluster, which is down; each ends with its input."""
    if not running.own:
        pytest.skip("a cluster that KUBECONFIG names is not started or ended here")
    run("down", "--force")
    runs = []

    def start() -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", TEST_RUN]
        runs.append(
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY, env=SETTINGS
            )
        )
        return runs[-1]

    yield start
    for each in runs:
        with each:
            each.kill()
    run("down", "--force")


def hear(test_run: "subprocess.Popen[str]", words: str) -> None:
    assert test_run.stdout
    heard = []
    for line in test_run.stdout:
        heard.append(line)
        if words in line:
            return
    raise AssertionError(f"{words!r} was not said, but {heard}")


def end(test_run: "subprocess.Popen[str]") -> None:
    assert test_run.stdin
    test_run.stdin.close()
    assert test_run.wait(60) == 0


def test_two_test_runs_have_it_in_turn_and_the_last_takes_it_down(start: Start) -> None:
    first = start()
    hear(first, "has it")
    assert "a test run uses it" in run("down", code=1)
    last = start()
    hear(last, "waiting for another test run")
    end(first)
    hear(last, "has it")
    assert "ended" not in run("status")
    end(last)
    assert run("status", code=1).split() == ["node", "down"]
