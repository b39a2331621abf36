"""A checkpoint that cannot be made, or is not what was made: the pod serves all the same, says why
it was not restored, and a new checkpoint takes the place of a bad one."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import on_node
from .client import Cluster
from .podspecs import HEALTH, deployment, model, pod
from .team import Team, at_work

SMALL = "small"
HASTY = {**HEALTH, "initialDelaySeconds": 20, "failureThreshold": 2}


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    if not cluster.own:
        pytest.skip("the volumes of a cluster that KUBECONFIG names are not at hand")
    with at_work(cluster, "damage") as made:
        made.create(deployment("web", 1, pod("x", model())))
        yield made


def forget_copies(team: Team) -> None:
    """So that the volume is what is read."""
    shutil.rmtree(team.copies(on_node.node_of(team.cluster)))


def damage(stored: Path) -> None:
    """One bit of the largest file of memory."""
    pages = max(stored.glob("criu/pages-*.img"), key=lambda path: path.stat().st_size)
    with pages.open("r+b") as file:
        file.seek(pages.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def lose_signature(stored: Path) -> None:
    (stored / "manifest.json.sig").unlink()


def forge(stored: Path) -> None:
    """Something else than what was signed, of the same form."""
    manifest = stored / "manifest.json"
    before = manifest.read_text()
    after = re.sub(r'("created": ?")20', r"\g<1>19", before)
    assert after != before
    manifest.write_text(after)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage, "CheckpointDamaged"),
        (lose_signature, "CheckpointUnsigned"),
        (forge, "SignatureInvalid"),
    ],
    ids=["damaged", "unsigned", "forged"],
)
def test_a_bad_checkpoint_is_not_restored_and_is_made_anew(
    team: Team, harm: Callable[[Path], None], reason: str
) -> None:
    (source,) = team.wait_for_pods(1)
    team.wait_for_checkpoint(source)
    token = team.ask(source)["token"]
    forget_copies(team)
    harm(team.data(source))
    cold = team.replaced()
    team.wait_for_reason(cold, False, reason)
    assert "It starts cold" in team.events(cold)[reason]
    assert team.ask(cold)["token"] != token
    token = team.ask(cold)["token"]
    team.wait("it to be captured in its place", lambda: "Checkpointed" in team.events(cold))
    warm = team.replaced()
    team.wait_for_restored(warm)
    assert team.ask(warm)["token"] == token


def test_a_pod_that_would_rather_fail_than_start_cold_fails(team: Team) -> None:
    annotations = {"chrek.io/checkpoint": "auto", "chrek.io/on-failure": "fail"}
    strict = pod("x", model("--message", "strict"), annotations=annotations)
    team.create(deployment("strict", 1, strict))
    (source,) = team.wait_for_pods(1, "strict")
    team.wait_for_checkpoint(source)
    forget_copies(team)
    damage(team.data(source))
    failed = team.replaced("strict")
    status = team.wait_for_restart(failed)
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert "It is ended" in team.events(failed)["CheckpointDamaged"]


def test_a_full_claim_harms_nobody_and_is_used_again_when_there_is_room(team: Team) -> None:
    node = on_node.node_of(team.cluster)
    place = str(team.cluster.claim(team.namespace, SMALL))
    node.run("mount", "-t", "tmpfs", "-o", "size=30m,mode=777", "tmpfs", place)
    try:
        annotations = {"chrek.io/checkpoint": "auto", "chrek.io/claim": SMALL}
        full = pod("x", model("--message", "full"), annotations=annotations)
        team.create(deployment("full", 1, full))
        (name,) = team.wait_for_pods(1, "full")
        told = team.wait("it to say so", lambda: team.events(name).get("StorageFull"))
        assert "it runs on" in told
        assert not team.variants(name)
        before = team.ask(name)
        node.run("mount", "-o", "remount,size=300m", place)
        team.kubectl("delete", "checkpoint", team.checkpoint(name)["metadata"]["name"])
        team.wait("a checkpoint", lambda: team.variants(name))
        after = team.ask(name)
        assert (after["token"], after["pid"]) == (before["token"], before["pid"])
        assert team.container(name)["restartCount"] == 0
        restored = team.replaced("full")
        team.wait_for_restored(restored)
        team.kubectl("delete", "deployment", "full", "--cascade=foreground")
    finally:
        node.run("umount", "--lazy", place)


def test_a_source_whose_liveness_probe_would_end_it_is_not_captured(team: Team) -> None:
    large = model("--message", "large", mebibytes=800, livenessProbe=HASTY)
    team.create(deployment("large", 1, pod("x", large)))
    (name,) = team.wait_for_pods(1, "large")
    told = team.wait("it to say so", lambda: team.events(name).get("FreezeExceedsLiveness"))
    assert "Raise failureThreshold" in told
    assert "FreezeExceedsLiveness" in team.described(name)
    assert not team.checkpoint(name) or not team.variants(name)
    assert team.container(name)["restartCount"] == 0
    assert team.ask(name)["message"] == "large"
