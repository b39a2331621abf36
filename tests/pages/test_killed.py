"""The agent is killed while it moves pages: nobody else's memory is harmed, nothing is left."""

import random
import time

import pytest

from agent.kernel import process
from tests.machine.conftest import PYTHON, Chrek, _remove_shim, chrek, leftovers, shim, wait_for
from tests.pages.memory import OWN_PROGRAMS
from tests.survival.lives import PROGRAMS

__all__ = ["_remove_shim", "chrek", "shim"]
MEBIBYTES = 160


def start(chrek: Chrek) -> None:
    volumes = ("--volume", f"{OWN_PROGRAMS}:/own:ro", "--volume", f"{PROGRAMS}:/programs:ro")
    chrek("run", "--name", "source", *volumes, "--", PYTHON, "/own/holding.py", str(MEBIBYTES))
    wait_for(lambda: "ready" in chrek.log("source"), "the program")


def ask(chrek: Chrek, name: str) -> list[str]:
    answer = chrek.inside(name, "/tmp/answer")
    chrek.inside(name, "/tmp/ask").touch()
    wait_for(answer.exists, f"{name} to answer")
    told = [word.strip('",') for word in answer.read_text().strip("[]").split()]
    answer.unlink()
    return told


def filled_bytes(chrek: Chrek, name: str) -> int:
    """What the largest process of a container has of memory."""
    try:
        init = chrek.init(name)
        return max(each.rss_bytes for each in process.in_pid_namespace(init))  # type: ignore[arg-type]
    except Exception:
        return 0


@pytest.mark.parametrize("seed", range(2))
def test_a_restore_that_is_killed_while_it_loads_ends_cold(chrek: Chrek, seed: int) -> None:
    start(chrek)
    told = ask(chrek, "source")
    chrek("checkpoint", "source", "--as", "warm")
    chrek("stop", "source")
    enough = random.Random(seed).randrange(16, MEBIBYTES - 64) << 20

    chrek.environment["CHREK_PAGE_THREADS"] = "1"
    command = chrek.start("restore", "warm", "--name", "copy")
    while command.poll() is None and filled_bytes(chrek, "copy") < enough:
        time.sleep(0.005)
    command.kill()
    command.communicate()

    wait_for(lambda: "ready" in chrek.log("copy"), "the cold start")
    assert ask(chrek, "copy")[0] != told[0]
    chrek("restore", "warm", "--name", "other")
    assert ask(chrek, "other") == told


@pytest.mark.parametrize("seed", range(2))
def test_a_capture_that_is_killed_while_it_packs_leaves_a_source(chrek: Chrek, seed: int) -> None:
    start(chrek)
    told = ask(chrek, "source")
    command = chrek.start("checkpoint", "source", "--as", "warm")
    home = chrek.root / "checkpoints/default/warm"
    while command.poll() is None and not list(home.glob(".staging-*/pages-*.bin")):
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, 0.1))
    command.kill()
    command.communicate()

    chrek("ls")
    assert not leftovers(chrek.root)
    assert ask(chrek, "source") == told
    chrek("checkpoint", "source", "--as", "warm", "--replace")
    chrek("restore", "warm", "--name", "copy")
    assert ask(chrek, "copy") == told
