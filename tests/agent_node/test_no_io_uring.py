"""The profile at work: containers under runc, on this kernel."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.node import profile

from .conftest import wait_for

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = "/usr/bin/python3"
ENOSYS = 38

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("runc"), reason="needs root and runc: makes containers"
)

RunUnder = Callable[[Path | None], dict[str, int]]


@pytest.fixture
def run_under() -> Iterator[RunUnder]:
    """Runs programs/calls.py in a container with a profile: the errno of each call."""
    root = Path(tempfile.mkdtemp(prefix="chrek-test-", dir="/var/lib"))
    started: list[str] = []

    def chrek(*arguments: str) -> str:
        command = [sys.executable, "-m", "chrek.cli.main", "--root", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(seccomp: Path | None) -> dict[str, int]:
        name = f"calls-{len(started)}"
        options = ["--net", "host", "--volume", f"{PROGRAMS}:/programs:ro"]
        options += ["--seccomp", str(seccomp)] if seccomp else []
        chrek("run", "--name", name, *options, "--", PYTHON, "/programs/calls.py")
        started.append(name)
        wait_for(lambda: "}" in chrek("logs", name), "the program's answer")
        found: dict[str, int] = json.loads(chrek("logs", name).splitlines()[-1])
        return found

    try:
        yield run
    finally:
        for name in started:
            chrek("stop", name)
        shutil.rmtree(root, ignore_errors=True)


def test_a_container_with_the_profile_has_no_io_uring(run_under: RunUnder, tmp_path: Path) -> None:
    profile.install(tmp_path)
    found = run_under(tmp_path / profile.NAME)
    assert found.pop("getpid") == 0
    assert found.pop("getpid32", 0) == 0, "32-bit programs run as before"
    assert found
    assert set(found.values()) == {ENOSYS}


def test_without_it_the_kernel_answers(run_under: RunUnder) -> None:
    found = run_under(None)
    if found["io_uring_setup"] != 0:
        pytest.skip("this kernel lets nobody use io_uring")
    assert ENOSYS not in found.values()
