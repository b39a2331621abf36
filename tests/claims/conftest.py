"""Volumes of a node, and attaching them as the agent does."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agent.claims.attach import attached

from . import nodes
from .nodes import Disk, Node

Attach = Callable[..., AbstractAsyncContextManager[Path]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = os.geteuid() != 0 or not shutil.which("unshare")
    for item in items:
        if missing and item.path.parent == here:
            item.add_marker(pytest.mark.skip(reason="needs root and unshare for mounts"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    home = tmp_path / "node"
    home.mkdir()
    with nodes.node(home) as started:
        yield started


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Path]:
    """Where claims are attached; nothing may be left there."""
    place = tmp_path / "claims"
    yield place
    assert not place.exists() or not list(place.iterdir())
    assert str(place) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def attach(node: Node, below: Path) -> Attach:
    """attached(), with the node as the host."""
    return functools.partial(attached, below=below, host_pid=node.pid)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not Path("/dev/loop-control").exists() or not shutil.which("mkfs.ext4"):
        pytest.skip("needs loop devices and mkfs.ext4")
    with nodes.disk(tmp_path) as made:
        yield made
