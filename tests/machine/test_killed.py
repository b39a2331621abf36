"""SIGKILL at any moment: the source runs on, and the next start cleans up."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PYTHON, Chrek, get, leftovers, processes_of, wait_for


def descendants(pid: int) -> list[int]:
    """`pid` and everything below it, the deepest last."""
    found = [pid]
    for child in found:
        try:
            children = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        except FileNotFoundError:
            continue
        found += [int(number) for number in children]
    return found


def inside_processes(pid: int) -> list[int]:
    """The processes below a command that entered a container, CRIU included."""
    return [found for found in descendants(pid)[1:] if Path(f"/proc/{found}").exists()]


def bundle_mounts(init: int) -> list[str]:
    text = Path(f"/proc/{init}/mountinfo").read_text()
    return [line for line in text.splitlines() if "criu/bundle" in line]


@pytest.mark.parametrize("seed", range(8))
def test_a_capture_that_is_killed_leaves_a_source_that_serves(chrek: Chrek, seed: int) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    before = chrek.get("source")
    command = chrek.start("checkpoint", "source", "--as", "warm")
    time.sleep(random.Random(seed).uniform(0.15, 0.45))
    command.kill()
    command.communicate()

    wait_for(lambda: not bundle_mounts(chrek.init("source")), "CRIU to end by itself")
    after = chrek.get("source")
    assert after["token"] == before["token"]
    wait_for(lambda: chrek.get("source")["child"] > after["child"], "its child to run")
    chrek("ls")
    assert not leftovers(chrek.root)
    done = chrek("checkpoint", "source", "--as", "warm", "--replace")
    assert "stood still" in done.out
    chrek("restore", "warm", "--name", "copy")
    assert chrek.get("copy")["token"] == before["token"]


@pytest.mark.parametrize("seed", range(4))
def test_a_capture_whose_inside_process_is_killed_leaves_a_source_that_serves(
    chrek: Chrek, seed: int
) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    before = chrek.get("source")
    command = chrek.start("checkpoint", "source", "--as", "warm")
    deadline = time.monotonic() + 30
    while not inside_processes(command.pid) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(random.Random(seed).uniform(0.0, 0.12))
    killed = inside_processes(command.pid)[:1]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    command.communicate(timeout=60)

    after = chrek.get("source")
    assert after["token"] == before["token"]
    chrek("checkpoint", "source", "--as", "again")
    assert not bundle_mounts(chrek.init("source"))
    assert not leftovers(chrek.root)
    chrek("restore", "again", "--name", "copy")
    assert chrek.get("copy")["token"] == before["token"]


@pytest.mark.parametrize("seed", range(8))
def test_a_restore_that_is_killed_ends_in_a_container_that_serves(chrek: Chrek, seed: int) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    token = chrek.get("source")["token"]
    chrek("checkpoint", "source", "--as", "warm")
    command = chrek.start("restore", "warm", "--name", "copy")
    time.sleep(random.Random(seed).uniform(0.25, 0.6))
    command.kill()
    command.communicate()
    time.sleep(0.2)

    chrek("ps")
    assert not leftovers(chrek.root)
    found = [entry for entry in chrek("ps", "--json").json if entry["name"] == "copy"]
    if found and found[0]["address"]:
        # Warm if it was handed over before the kill, else cold after 5 s of silence.
        assert get(found[0]["address"])["token"]
        assert not bundle_mounts(chrek.init("copy"))
    assert chrek.get("source")["token"] == token
    chrek("restore", "warm", "--name", "next")
    assert chrek.get("next")["token"] == token


def test_a_container_whose_shim_is_killed_is_taken_away_at_the_next_start(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    init = chrek.init("source")
    (shim,) = processes_of(chrek.root)
    os.kill(shim, signal.SIGKILL)
    wait_for(lambda: not processes_of(chrek.root), "the shim to end")

    assert chrek.container("source")["state"] == "exited"

    wait_for(lambda: not Path(f"/proc/{init}").exists(), "the container to end")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "chrek0" not in links or "master chrek0" in links
    chrek("stop", "source")


def test_an_interrupted_restore_starts_cold_at_once(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    token = chrek.get("source")["token"]
    chrek("checkpoint", "source", "--as", "warm")
    command = chrek.start("restore", "warm", "--name", "copy")
    deadline = time.monotonic() + 30
    while not inside_processes(command.pid) and time.monotonic() < deadline:
        time.sleep(0.001)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=60)

    assert command.returncode in (0, 130), said
    answer = chrek.get("copy")
    assert (answer["token"] == token) == (command.returncode == 0)
