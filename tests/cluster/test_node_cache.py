"""A capture is put together on the node's own disk, and the copy that stays there is what pods of
this node are restored from. The claim has large memory compressed, the node as it is."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import on_node
from .client import Cluster
from .node import Node
from .podspecs import deployment, model, pod
from .team import Team, at_work

MEBIBYTES = 60


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Node:
    return on_node.node_of(cluster)


@pytest.fixture(scope="module")
def team(cluster: Cluster, node: Node) -> Iterator[Team]:
    with at_work(cluster, "copies", "storage.compression=zstd") as made:
        made.create(deployment("web", 1, pod("x", model(mebibytes=MEBIBYTES))))
        yield made


@pytest.fixture(scope="module")
def token(team: Team) -> str:
    """What the first pod has, which is captured."""
    return team.captured()


def counted(team: Team, name: str) -> float:
    """A sample of the agent's metrics, 0 if there is none."""
    (agent,) = team.chrek.pods("agent")
    path = f"/api/v1/namespaces/{team.chrek.namespace}/pods/{agent['metadata']['name']}:8081"
    page = team.cluster.kubectl("get", "--raw", f"{path}/proxy/metrics").out
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def restores(team: Team, result: str) -> float:
    return counted(team, f'chrek_node_cache_restores_total{{result="{result}"}}')


def kept(team: Team, node: Node) -> list[Path]:
    return sorted(team.copies(node).glob("*/*/manifest.json"))


def pages(place: Path) -> set[str]:
    """How the names of page files end."""
    return {path.suffix for path in place.glob("pages-*")}


def test_a_capture_goes_through_the_nodes_directory_and_stays_there(
    team: Team, node: Node, token: str
) -> None:
    assert token
    said = team.chrek.log("agent")
    assert "phase=copy" in said
    assert "captured on the volume" not in said
    [manifest] = kept(team, node)
    [stored] = team.claim.glob(f"{team.namespace}/*/*/manifest.json")
    assert manifest.read_bytes() == stored.read_bytes()
    assert pages(manifest.parent) == {".bin"}
    assert pages(stored.parent) == {".zst"}
    assert not list(team.copies(node).glob("*/.*"))
    assert not list(team.claim.glob(f"{team.namespace}/*/.*"))
    assert counted(team, "chrek_node_cache_bytes") > MEBIBYTES << 20


def test_pods_are_restored_from_it_without_the_volumes_files(
    team: Team, node: Node, token: str
) -> None:
    before = restores(team, "hit")
    [stored] = team.claim.glob(f"{team.namespace}/*/*/manifest.json")
    files = [*stored.parent.glob("pages-*"), *stored.parent.glob("criu/*")]
    for file in files:
        file.rename(f"{file}.away")
    try:
        team.restored(token)
        team.restored(token)
    finally:
        for file in files:
            Path(f"{file}.away").rename(file)
    assert restores(team, "hit") == before + 2
    assert restores(team, "damaged") == 0


def test_a_node_that_has_none_is_filled_once_the_pod_runs(
    team: Team, node: Node, token: str
) -> None:
    hits, misses = restores(team, "hit"), restores(team, "miss")
    shutil.rmtree(team.copies(node))
    team.restored(token)
    assert restores(team, "miss") == misses + 1
    team.wait("the node to be filled", lambda: kept(team, node))
    assert pages(kept(team, node)[0].parent) == {".bin"}
    team.restored(token)
    assert (restores(team, "hit"), restores(team, "miss")) == (hits + 1, misses + 1)


def test_a_copy_goes_with_its_checkpoint(team: Team, node: Node, token: str) -> None:
    assert token
    assert kept(team, node)
    team.kubectl("scale", "deployment", "web", "--replicas=0")
    team.kubectl("delete", "checkpoints", "--all", "--timeout=90s")
    team.wait("the copy to go", lambda: not kept(team, node))
