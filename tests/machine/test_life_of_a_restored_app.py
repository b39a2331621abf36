"""Signals, crashes and exit codes of an app that chrek-init never started."""

import http.client
import os
import signal
from pathlib import Path

import pytest
from conftest import PYTHON, Chrek, wait_for

from agent.kernel import process


@pytest.fixture
def copy(chrek: Chrek) -> Chrek:
    """A restored container named `copy`."""
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    chrek("checkpoint", "source", "--as", "warm", "--exit")
    chrek("restore", "warm", "--name", "copy")
    return chrek


def test_sigterm_reaches_it_and_it_ends_with_its_own_status(copy: Chrek) -> None:
    os.kill(copy.init("copy"), signal.SIGTERM)
    assert copy.exit_status("copy") == 0
    assert "goodbye" in copy.log("copy")


def test_its_exit_code_is_the_containers(copy: Chrek) -> None:
    _ask_in_vain(copy, "/exit?3")
    assert copy.exit_status("copy") == 3


def test_its_crash_is_the_containers(copy: Chrek) -> None:
    _ask_in_vain(copy, "/crash")
    assert copy.exit_status("copy") == 128 + signal.SIGSEGV


def test_sigkill_of_the_app_ends_the_container(copy: Chrek) -> None:
    inside = copy.get("copy")["pid"]
    init = copy.init("copy")
    (reaper,) = _children(init)
    (app,) = _children(reaper)
    assert _namespace_pid(app) == inside
    os.kill(app, signal.SIGKILL)
    assert copy.exit_status("copy") == 128 + signal.SIGKILL


def test_its_parent_is_the_reaper_under_pid_1_and_its_pid_is_high(copy: Chrek) -> None:
    told = copy.get("copy")
    assert told["pid"] > told["ppid"] >= 1000


def test_what_it_forks_gets_new_pids_and_is_reaped(copy: Chrek) -> None:
    init = copy.init("copy")
    for _ in range(5):
        copy.get("copy")
    wait_for(lambda: not _zombies(init), "no zombies to be left")


def _ask_in_vain(chrek: Chrek, path: str) -> None:
    """A request during which the server ends: the connection breaks without an answer."""
    connection = http.client.HTTPConnection(chrek.container("copy")["address"], 8000, timeout=20)
    connection.request("GET", path)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _namespace_pid(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row for row in lines if row.startswith("NSpid:")).split()[-1])


def _zombies(init: int) -> list[int]:
    return [child for child in _children(init) if process.read(child).state == "Z"]
