"""Whose limit it was that the kernel killed for, from what cgroups count."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.engine import killed
from agent.kernel import cgroups
from chrek.errors import ChrekError, DamagedError, OutOfMemoryError, RestoreError

MIB = 1 << 20
TARGET: Any = SimpleNamespace(name="web", init=1)


@pytest.fixture
def levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A container of 512 MiB in a pod of 1024."""
    pod = tmp_path / "pod"
    container = pod / "container"
    container.mkdir(parents=True)
    for level, size in ((container, 512), (pod, 1024)):
        (level / "memory.max").write_text(f"{size * MIB}\n")
        (level / "memory.current").write_text("0\n")
        count(level, kills=0, hits=0)
    monkeypatch.setattr(cgroups, "charged", lambda _: container)
    return [container, pod]


def count(level: Path, *, kills: int, hits: int) -> None:
    (level / "memory.events").write_text(f"low 0\noom {hits}\noom_kill {kills}\n")
    (level / "memory.events.local").write_text(f"low 0\noom {hits}\noom_kill {kills}\n")


def fail(levels: list[Path], error: ChrekError, *, kills: int, hit: list[int]) -> None:
    """A restore that fails so, after which cgroups have counted so."""
    with killed.said(TARGET):
        for number, level in enumerate(levels):
            count(level, kills=kills if number == 0 else 0, hits=int(number in hit))
        raise error


@pytest.mark.parametrize(
    ("hit", "told"),
    [
        ([0], "a memory limit of 512 MiB"),
        ([1], "a memory limit of 1024 MiB"),
        ([], "the end of the node's memory"),
    ],
)
def test_the_limit_that_was_reached_is_named(levels: list[Path], hit: list[int], told: str) -> None:
    with pytest.raises(OutOfMemoryError, match=told):
        fail(levels, RestoreError("a process is gone"), kills=1, hit=hit)


def test_what_failed_without_a_kill_says_so_itself(levels: list[Path]) -> None:
    count(levels[0], kills=3, hits=0)
    with pytest.raises(RestoreError, match="CRIU"):
        fail(levels, RestoreError("CRIU could not"), kills=3, hit=[0])


def test_damage_is_damage(levels: list[Path]) -> None:
    with pytest.raises(DamagedError):
        fail(levels, DamagedError("its hash differs"), kills=1, hit=[0])


def test_where_the_kernel_counts_nothing_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "of", lambda _: {"memory,hugetlb": "/none"})
    with pytest.raises(RestoreError, match="CRIU"):
        fail([], RestoreError("CRIU could not"), kills=0, hit=[])
