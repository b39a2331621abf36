"""Which CPUs are near another process, and threads that stay where they are put."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import cpus

OURS = os.sched_getaffinity(0)
FEW = pytest.mark.skipif(len(OURS) == 1, reason="one CPU is everywhere")


@pytest.fixture
def other() -> Iterator[int]:
    """The PID of another process."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


@FEW
def test_those_that_both_may_use_are_near(other: int) -> None:
    assert cpus.near(other) == OURS
    one = {max(OURS)}
    os.sched_setaffinity(other, one)
    assert cpus.near(other) == one


def test_beside_a_process_that_is_gone_all_are() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert cpus.near(process.pid) == OURS


@pytest.mark.parametrize(
    ("ours", "theirs", "nearest"),
    [
        ({0, 1, 2, 3}, {1, 2}, {1, 2}),
        ({0, 1, 2, 3}, {3, 4}, {3}),
        ({0, 2, 3}, {1}, {0}),  # the pod has CPUs for itself alone
        ({0, 2, 3}, {4, 5}, {0, 2, 3}),
        ({0, 1}, set(), {0, 1}),
    ],
)
def test_with_none_in_common_those_on_the_same_nodes_are(
    ours: set[int], theirs: set[int], nearest: set[int]
) -> None:
    assert cpus.nearest(ours, theirs, [{0, 1}, {2, 3}, {4, 5}, set()]) == nearest


def test_a_machine_without_nodes_has_none(tmp_path: Path) -> None:
    assert cpus.nodes(tmp_path) == []
    assert cpus.nearest({0, 1}, {2}, []) == {0, 1}


def test_nodes_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    for name, text in {"node0": "0-2,8\n", "node1": "3\n", "node2": "\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "cpulist").write_text(text)
    assert sorted(cpus.nodes(tmp_path), key=len) == [set(), {3}, {0, 1, 2, 8}]


def test_this_machine_has_all_of_our_cpus_on_its_nodes() -> None:
    if found := cpus.nodes():
        assert set.union(*found) >= OURS


@FEW
def test_a_thread_stays_where_it_is_put_and_no_other_does() -> None:
    seen = _in_a_thread({min(OURS)})
    assert seen == {min(OURS)}
    assert os.sched_getaffinity(0) == OURS


@pytest.mark.parametrize("none", [set(), {1 << 12}])
def test_where_there_is_no_such_cpu_a_thread_may_go_anywhere(none: set[int]) -> None:
    assert _in_a_thread(none) == OURS


def _in_a_thread(where: set[int]) -> set[int]:
    seen: list[set[int]] = []

    def work() -> None:
        cpus.stay_on(where)
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return seen[0]
