"""Threads, families, what they share, who they are and how they were started."""

import hashlib
import os
import signal
from pathlib import Path

import pytest

from tests.survival.lives import Life, Lives


def test_two_hundred_threads_go_on_each_with_its_own(lives: Lives) -> None:
    source = lives.start("threads", "threads.py")
    before = source.ask()
    assert before["went on"] == 200

    copy = lives.again(source, "copy")

    assert copy.ask() == before
    assert source.ask() == before


@pytest.mark.parametrize("kind", [[], ["daemon"]], ids=["orphans", "daemons"])
def test_a_family_stays_together_for_three_generations(lives: Lives, kind: list[str]) -> None:
    """A chain of pipes, a group, a session, an orphan, a stopped process; a daemon."""
    source = lives.start("trees", "trees.py", *kind)
    before = source.ask()
    assert before["chain"] == "+xxxxx"
    members = before.keys() - {"chain", "stopped"}

    generations = [source]
    for number in range(3):
        generations.append(lives.again(generations[-1], f"copy-{number}"))

    for life in generations:
        told = life.ask()
        assert told["chain"] == "+xxxxx"
        assert told["stopped"] == "T"
        for name in members:
            # Those that lost their parent are still in the reaper's family, and no one else's.
            for what in ("pid", "parent", "session", "group"):
                assert told[name][what] == before[name][what], (name, what)
            assert told[name]["asked"] == 2


def test_multiprocessing_goes_on(lives: Lives) -> None:
    """A pool, a queue, a manager; shared memory and semaphores, in /dev/shm."""
    source = lives.start("sharing", "sharing.py")
    before = source.ask()
    assert before["count"] == 1

    copy = lives.again(source, "copy")
    grandchild = lives.again(copy, "grandchild")

    for life in (source, copy, grandchild):
        assert life.ask() == before | {"count": 2}


def test_workers_share_memory_with_their_server_as_before(lives: Lives) -> None:
    mebibytes = 48
    source = lives.start("prefork", "prefork.py", str(mebibytes))
    before = source.ask()

    copy = lives.again(source, "copy")

    assert copy.ask() == before == source.ask()
    assert resident_mebibytes(source) < 3 * mebibytes
    assert resident_mebibytes(copy) < 3 * mebibytes


def resident_mebibytes(life: Life) -> int:
    """What all processes of a container take together, each shared page counted once."""
    total_kibibytes = 0
    for one in life.processes:
        text = Path(f"/proc/{one.host_pid}/smaps_rollup").read_text()
        row = next(line for line in text.splitlines() if line.startswith("Pss:"))
        total_kibibytes += int(row.split()[1])
    return total_kibibytes >> 10


def test_a_tree_of_three_users_keeps_them_apart(lives: Lives) -> None:
    source = lives.start("uids", "uids.py")
    before = source.ask()
    assert "may not" in before[1]

    copy = lives.again(source, "copy")

    assert copy.ask() == before == source.ask()


def test_an_environment_of_a_mebibyte_is_the_same(lives: Lives) -> None:
    large = {f"BIG_{number}": f"{number}" * 110_000 for number in range(10)}
    content = b"\0".join(f"{name}={value}".encode() for name, value in sorted(large.items()))
    assert len(content) > 1 << 20
    source = lives.start("environment", "environment.py", "argument " * 1000, env=large)
    before = source.ask()
    assert before[0] == hashlib.sha256(content).hexdigest()

    copy = lives.again(source, "copy")

    assert copy.ask() == before == source.ask()


@pytest.mark.parametrize(
    ("how", "parent", "status"), [("exec", "chrek-reaper", 5), ("fork", "entry.sh", 7)]
)
def test_a_script_as_entrypoint(lives: Lives, how: str, parent: str, status: int) -> None:
    """With `exec` the program gets the signal, without it the script does, as anywhere."""
    source = lives.start("entry", "/programs/entry.sh", how, "/programs/signals.py")
    before = source.ask()
    assert before["parent"] == parent
    assert before["prepared"] == "by /programs/entry.sh"

    copy = lives.again(source, "copy")

    assert copy.ask() == before == source.ask()
    os.kill(copy.target.init, signal.SIGTERM)
    assert copy.exit_status() == status
    assert source.ask() == before
