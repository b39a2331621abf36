"""The cleaner's pod: one a claim, let in everywhere, and of no use to whoever finds it."""

import re
from datetime import UTC, datetime

import pytest

from agent.act.collect import cleaner
from agent.act.collect.cleaner import Maker
from agent.plan.checkpoint import CheckpointView

MAKER = Maker("node-1", "chrek-system", "init:1")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def wanted(count: int = 1) -> list[CheckpointView]:
    now = datetime.now(UTC)
    return [CheckpointView(f"c{n}", "ml", f"uid-{n}", "1", now) for n in range(count)]


@pytest.mark.parametrize("claim", ["chrek-checkpoints", "a.b", "x" * 253, "m" * 49, "m" * 50])
def test_its_name_is_a_label_that_tells_the_claim_if_it_can(claim: str) -> None:
    name = cleaner.name(claim)
    assert LABEL.fullmatch(name)
    if "." not in claim and len(claim) <= 49:
        assert name.endswith(claim)


def test_names_of_different_claims_differ() -> None:
    claims = ["x" * 253, "x" * 252, "x" * 252 + "y", "a.b", "a-b"]
    assert len({cleaner.name(claim) for claim in claims}) == len(claims)


def test_it_is_recognised_with_its_claim() -> None:
    assert cleaner.claim_of(cleaner.pod("a-claim", wanted(), MAKER)) == "a-claim"


def test_others_are_not() -> None:
    made = cleaner.pod("a-claim", wanted(), MAKER)
    made["metadata"]["labels"] = {}
    assert cleaner.claim_of(made) is None
    made = cleaner.pod("a-claim", wanted(), MAKER)
    made["spec"]["volumes"] = [{"name": "chrek-claim", "hostPath": {"path": "/"}}]
    assert cleaner.claim_of(made) is None
    assert cleaner.claim_of({}) is None


def test_it_goes_with_the_checkpoints_that_it_is_for() -> None:
    owners = cleaner.pod("a-claim", wanted(300), MAKER)["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [f"uid-{n}" for n in range(100)]


def test_it_runs_where_an_agent_is_and_best_where_the_one_is_that_asks() -> None:
    affinity = cleaner.pod("a-claim", wanted(), MAKER)["spec"]["affinity"]
    [agents] = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert agents["namespaces"] == ["chrek-system"]
    [preferred] = affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["preference"]["matchFields"][0]["values"] == ["node-1"]


def test_pod_security_restricted_lets_it_in() -> None:
    spec = cleaner.pod("a-claim", wanted(), MAKER)["spec"]
    [container] = spec["containers"]
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["runAsNonRoot"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    kinds = {key for volume in spec["volumes"] for key in volume} - {"name"}
    assert kinds == {"emptyDir", "persistentVolumeClaim"}
    assert spec["automountServiceAccountToken"] is False


def test_the_claim_is_writable_on_the_host_and_not_in_the_container() -> None:
    spec = cleaner.pod("a-claim", wanted(), MAKER)["spec"]
    [claim] = [v for v in spec["volumes"] if "persistentVolumeClaim" in v]
    assert claim["persistentVolumeClaim"] == {"claimName": "a-claim"}
    [mount] = [m for m in spec["containers"][0]["volumeMounts"] if m["mountPath"] == "/checkpoints"]
    assert mount["readOnly"] is True
