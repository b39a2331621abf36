"""Containers with a profile of AppArmor, as every node of Ubuntu or Debian gives them one."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.kernel import process
from agent.trust import labels
from tests.machine.conftest import PYTHON, Chrek

PROFILE = """
profile {name} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  umount,
  signal,
  ptrace,
  deny mount,
  deny /forbidden-by-{name} w,
}}
"""
RUNC = """#!{python}
import json, os, sys
words = sys.argv[1:]
if "--bundle" in words:
    path = os.path.join(words[words.index("--bundle") + 1], "config.json")
    with open(path) as file:
        spec = json.load(file)
    with open({choice!r}) as file:
        spec["process"]["apparmorProfile"] = file.read()
    with open(path, "w") as file:
        json.dump(spec, file)
os.execv({runc!r}, ["runc", *words])
"""


@pytest.fixture
def labelled(chrek: Chrek, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Which profile the next containers get, by a runc that adds what `chrek run` does not ask
    for and every kubelet does."""
    names = ("chrek-test-source", "chrek-test-copy")
    rules = "".join(PROFILE.format(name=name) for name in names)
    subprocess.run(["apparmor_parser", "--replace"], input=rules, text=True, check=True)
    choice, runc = tmp_path / "profile", shutil.which("runc")
    assert runc is not None
    wrapper = tmp_path / "bin" / "runc"
    wrapper.parent.mkdir()
    wrapper.write_text(RUNC.format(python=PYTHON, choice=str(choice), runc=runc))
    wrapper.chmod(0o755)
    chrek.environment["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"
    yield lambda name: choice.write_text(name) and None
    for container in ("source", "copy"):
        chrek("stop", container)
    subprocess.run(["apparmor_parser", "--remove"], input=rules, text=True, check=True)


def test_a_copy_has_the_profile_of_its_own_container(
    chrek: Chrek, labelled: Callable[[str], None]
) -> None:
    labelled("chrek-test-source")
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    assert _labels(chrek, "source") == {"chrek-test-source"}
    chrek("checkpoint", "source", "--as", "warm")
    labelled("chrek-test-copy")

    chrek("restore", "warm", "--name", "copy", "--on-failure", "fail")

    assert chrek.get("copy")["token"] == chrek.get("source")["token"]
    assert _labels(chrek, "copy") == {"chrek-test-copy"}
    assert _labels(chrek, "source") == {"chrek-test-source"}


def _labels(chrek: Chrek, name: str) -> set[str]:
    """Of every thread of a container."""
    return {
        labels.of(f"{found.host_pid}/task/{thread.name}").text
        for found in process.in_pid_namespace(chrek.init(name))
        for thread in Path(f"/proc/{found.host_pid}/task").iterdir()
    }
