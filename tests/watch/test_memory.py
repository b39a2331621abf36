"""What watches tell is remembered, and whoever it concerns is woken."""

from collections.abc import Sequence
from typing import Any

import pytest

from agent.plan import checkpoint as checkpoints
from agent.watch.memory import Memory
from chrek.pods.refusals import SANDBOXED

from ..plan import making
from ..pods.making import pod as written


class Told:
    """A memory, and whom it has woken."""

    def __init__(self, sandboxed: Sequence[str] = SANDBOXED) -> None:
        self.woken: list[str] = []
        self.swept: list[tuple[str, str]] = []
        self.memory = Memory(self.woken.append, self.swept.append, sandboxed)
        watches = self.memory.watches(None, "node-1", "")  # type: ignore[arg-type]
        self.namespaces, self.checkpoints, self.pods = (watch._observer for watch in watches)

    def forget_calls(self) -> None:
        self.woken.clear()
        self.swept.clear()


@pytest.fixture
def told() -> Told:
    return Told()


def pod(uid: str = "uid-1", **annotations: str) -> dict[str, Any]:
    found = making.live(making.taken_on())
    found["metadata"]["uid"] = uid
    found["metadata"]["annotations"].update(annotations)
    return found


def checkpoint_of(found: dict[str, Any], phase: str = "Ready") -> dict[str, Any]:
    metadata = found["metadata"]
    return {
        "metadata": {
            "name": metadata["annotations"]["chrek.io/checkpoint-id"],
            "namespace": metadata["namespace"],
            "uid": "c-1",
            "resourceVersion": "1",
        },
        "status": {"phase": phase},
    }


def namespace(name: str, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"chrek": "enabled"}, "annotations": annotations}}


def test_a_pod_is_woken_when_it_comes_changes_and_goes(told: Told) -> None:
    told.pods.changed(pod())
    told.pods.changed(pod())
    told.pods.deleted(pod())
    assert told.woken == ["uid-1"] * 3
    assert told.memory.pod("uid-1") is None


def test_a_change_of_a_checkpoint_wakes_the_pods_that_have_its_id_and_no_others(told: Told) -> None:
    one, other = pod("uid-1"), pod("uid-2")
    other["metadata"]["annotations"]["chrek.io/checkpoint-id"] = "another"
    told.pods.replaced([one, other])
    told.forget_calls()
    told.checkpoints.changed(checkpoint_of(one))
    assert told.woken == ["uid-1"]
    assert len(told.swept) == 1
    found = told.memory.checkpoint(one["metadata"]["namespace"], told.swept[0][1])
    assert found is not None
    assert found.phase == "Ready"


def test_a_pod_that_was_left_alone_says_of_a_sandbox_what_this_installation_calls_one() -> None:
    left_alone = making.live(written())
    left_alone["spec"]["runtimeClassName"] = "enclave-1"
    uid = left_alone["metadata"]["uid"]
    for sandboxed, problem in ((["enclave-*"], "'enclave-1' is a sandbox"), (["gvisor"], "")):
        told = Told(sandboxed)
        told.pods.changed(left_alone)
        found = told.memory.pod(uid)
        assert found is not None
        assert problem in found.problem
        assert bool(found.problem) == bool(problem)


def test_defaults_of_the_namespace_reach_its_pods_when_they_change(told: Told) -> None:
    written = pod()
    name = written["metadata"]["namespace"]
    told.pods.changed(written)
    told.namespaces.changed(namespace(name))
    told.forget_calls()
    told.namespaces.changed(namespace(name, **{"chrek.io/on-failure": "fail"}))
    assert told.woken == ["uid-1"]
    found = told.memory.pod("uid-1")
    assert found is not None
    assert found.wish is not None
    assert found.wish.on_failure == "fail"


def test_what_is_listed_again_and_is_the_same_wakes_nobody(told: Told) -> None:
    told.pods.replaced([pod("uid-1"), pod("uid-2")])
    told.forget_calls()
    told.pods.replaced([pod("uid-1"), pod("uid-2")])
    assert told.woken == []
    told.pods.replaced([pod("uid-2")])
    assert told.woken == ["uid-1"]


def test_a_namespace_is_enabled_by_its_label_only_and_says_when_it_ends(told: Told) -> None:
    assert not told.memory.enabled("team")
    told.namespaces.changed(namespace("team"))
    assert told.memory.enabled("team")
    ending = namespace("team")
    ending["metadata"]["deletionTimestamp"] = "2026-11-24T10:00:00Z"
    told.namespaces.changed(ending)
    assert told.memory.ending("team")
    unlabelled = namespace("team")
    unlabelled["metadata"]["labels"] = {}
    told.namespaces.changed(unlabelled)
    assert not told.memory.enabled("team")


def test_a_checkpoint_is_read_once_for_each_time_that_it_changes(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    parse = checkpoints.parse
    monkeypatch.setattr(
        checkpoints, "parse", lambda found: read.append(found["status"]["phase"]) or parse(found)
    )
    found = checkpoint_of(pod(), "Pending")
    key = (found["metadata"]["namespace"], found["metadata"]["name"])
    for phase in ("Pending", "Ready"):
        told.checkpoints.changed(checkpoint_of(pod(), phase))
        for _ in range(3):
            assert [view.phase for view in told.memory.checkpoints()] == [phase]
            view = told.memory.checkpoint(*key)
            assert view is not None
            assert view.phase == phase
    assert read == ["Pending", "Ready"]
    told.checkpoints.deleted(found)
    assert told.memory.checkpoint(*key) is None
    assert told.memory.checkpoints() == []
