"""What a test does to the node that only this folder's own cluster lets it do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import node as nodes
from . import supervision
from .client import Cluster
from .node import Node
from .programs import Program, all_programs


def node_of(cluster: Cluster) -> Node:
    """The node; a test on a cluster that KUBECONFIG names is skipped."""
    node = nodes.find() if cluster.own else None
    if not node:
        pytest.skip("a node of a cluster that KUBECONFIG names is not hurt")
    return node


def containerd(node: Node, *words: str) -> str:
    return node.run("ctr", "--namespace", "k8s.io", *words)


def program(name: str) -> Program:
    return next(each for each in all_programs() if each.name == name)


@contextlib.contextmanager
def away(node: Node, name: str) -> Iterator[None]:
    """One of the cluster's programs is killed, and started again afterwards."""
    supervision.end(node, program(name))
    try:
        yield
    finally:
        supervision.start(node, program(name))
        supervision.wait_until_well(node, program(name))


def processes(node: Node, container: str) -> dict[int, int]:
    """Those of a container, by its ID: PID in the container -> PID on the node."""
    found = {}
    for entry in (node.root / "proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if container in (entry / "cgroup").read_text():
                    found[_innermost_pid(entry)] = int(entry.name)
    return found


def restoring(node: Node, word: str) -> int:
    """In how many containers, of those with this word in their command, chrek-init waits for the
    end of a restore that has begun."""
    count = 0
    for entry in (node.root / "proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if entry.read_text() == "chrek:restoring\n":
                count += word.encode() in (entry.parent / "cmdline").read_bytes().split(b"\0")
    return count


def kill(node: Node, *pids: int) -> None:
    """SIGKILL; those that have ended are passed over."""
    node.run("kill", "-KILL", *map(str, pids), check=False)


def _innermost_pid(entry: Path) -> int:
    lines = (entry / "status").read_text().splitlines()
    return int(next(line.split()[-1] for line in lines if line.startswith("NSpid:")))
