"""When a warm pod is captured."""

from datetime import timedelta
from typing import Any

import pytest

from agent.plan.capture import Attempt, Refuse, Wait, attempt
from agent.plan.checkpoint import CheckpointView
from agent.plan.container import LivenessBudget
from agent.plan.fit import Here
from agent.plan.freeze import estimated_seconds, tolerated_seconds
from agent.plan.status import stamp
from chrek.pods import names

from ..pods.making import PROBE, container, pod
from .making import (
    DIGEST,
    HERE,
    NOW,
    OTHER,
    STARTED,
    checkpoint,
    live,
    taken_on,
    variant,
    view,
    viewed,
)

GIB = 1 << 30


def asked(found: CheckpointView | None = None, **given: Any) -> Attempt | Wait | Refuse:
    usual: dict[str, Any] = {
        "node": "node-1", "cold_because": "NoCheckpoint", "estimate_bytes": GIB,
        "claim_bytes_used": 0, "claim_bytes_limit": 0, "siblings": [],
    }  # fmt: skip
    one, here, now = given.pop("pod", None), given.pop("here", HERE), given.pop("now", NOW)
    return attempt(one or view(), found, here, now, **usual | given)


def reason(decision: Attempt | Wait | Refuse) -> str:
    assert isinstance(decision, Refuse | Wait)
    assert not decision.message[0].isupper()
    return decision.reason


def lease(age: float = 10, **members: Any) -> dict[str, Any]:
    at = stamp(NOW - timedelta(seconds=age))
    return {
        "node": "node-2", "podName": "web-2", "podUID": "another", "startedAt": at, "renewedAt": at,
    } | members  # fmt: skip


def test_the_first_warm_pod_is_captured() -> None:
    assert isinstance(asked(None), Attempt)
    assert isinstance(asked(checkpoint()), Attempt)


def test_what_an_agent_left_there_that_died_before_it_could_say_so_is_in_nobodys_way() -> None:
    assert asked(checkpoint()) == Attempt(replace=True)


def test_what_is_stored_already_is_not_captured_again() -> None:
    assert reason(asked(checkpoint(variant()))) == "AlreadyCheckpointed"
    assert reason(asked(checkpoint(variant()), cold_because="")) == "AlreadyCheckpointed"


@pytest.mark.parametrize(
    "here",
    [
        Here("arm64", DIGEST, ""),
        Here("amd64", "sha256:" + "b" * 64, ""),
        Here("amd64", DIGEST, "0" * 16),
    ],
)
def test_where_nothing_fits_another_variant_is_made(here: Here) -> None:
    assert isinstance(asked(checkpoint(variant()), here=here), Attempt)


@pytest.mark.parametrize("because", ["CPUFeaturesMissing", "ArchitectureDiffers"])
def test_what_the_engine_found_not_to_fit_gets_another_variant_beside_it(because: str) -> None:
    assert asked(checkpoint(variant()), cold_because=because) == Attempt(replace=False)


@pytest.mark.parametrize(
    "because",
    [
        "CheckpointDamaged",
        "CheckpointUnsigned",
        "SignatureInvalid",
        "FormatUnknown",
        "NotFound",
        "PrivilegeExceeds",
    ],
)
def test_what_is_no_good_is_made_anew_in_its_place(because: str) -> None:
    assert asked(checkpoint(variant()), cold_because=because) == Attempt(replace=True)


def test_what_is_marked_as_damaged_is_made_anew_in_its_place() -> None:
    assert asked(checkpoint(variant(phase="Damaged"))) == Attempt(replace=True)


def test_of_many_pods_that_found_the_same_damage_one_makes_it_anew() -> None:
    published = checkpoint(variant(createdAt=stamp(STARTED + timedelta(seconds=1))))
    assert reason(asked(published, cold_because="CheckpointDamaged")) == "AlreadyCheckpointed"


@pytest.mark.parametrize("because", ["RestoreFailed", "MountsDiffer"])
def test_what_would_come_out_the_same_is_not_made_again(because: str) -> None:
    assert reason(asked(checkpoint(variant()), cold_because=because)) == "AlreadyCheckpointed"


def test_while_another_captures_it_waits() -> None:
    decision = asked(checkpoint(phase="Capturing", capture=lease(age=10)))
    assert reason(decision) == "BeingCaptured"
    assert isinstance(decision, Wait)
    assert decision.seconds == pytest.approx(50)
    assert "web-2 on node node-2" in decision.message


def test_another_pod_of_this_node_waits_too() -> None:
    found = checkpoint(capture=lease(node="node-1"))
    assert reason(asked(found)) == "BeingCaptured"


def test_a_lease_of_a_dead_agent_is_taken_over() -> None:
    assert isinstance(asked(checkpoint(capture=lease(age=61))), Attempt)


def test_an_agent_that_came_back_goes_on_with_its_own_lease() -> None:
    ahead = lease(node="other", podUID="x", failures=1, renewedAt=stamp(NOW + timedelta(days=1)))
    assert isinstance(asked(checkpoint(capture=ahead)), Attempt), "a clock that was wrong"
    for failures in (0, 1, 2):
        own = lease(node="node-1", podUID=view().uid, failures=failures)
        assert isinstance(asked(checkpoint(capture=own)), Attempt)


def test_captures_that_kill_their_agents_become_rare() -> None:
    dying = checkpoint(capture=lease(age=200, failures=1))
    assert reason(asked(dying)) == "CaptureBackoff"
    assert isinstance(asked(checkpoint(capture=lease(age=301, failures=1))), Attempt)


def test_a_lease_from_the_future_holds_nobody_up_for_long() -> None:
    assert isinstance(asked(checkpoint(capture=lease(age=-100_000))), Attempt)


def test_after_a_failure_it_waits() -> None:
    ended = {"failures": 1, "retryAfter": stamp(NOW + timedelta(seconds=42))}
    decision = asked(checkpoint(capture=ended))
    assert reason(decision) == "CaptureBackoff"
    assert isinstance(decision, Wait)
    assert decision.seconds == pytest.approx(42)
    ended["retryAfter"] = stamp(NOW)
    assert isinstance(asked(checkpoint(capture=ended)), Attempt)


def test_after_three_failures_nobody_tries_again() -> None:
    decision = asked(checkpoint(phase="Failed", capture={"failures": 3}))
    assert reason(decision) == "CaptureFailed"
    assert isinstance(decision, Refuse)
    assert "kubectl delete checkpoint" in decision.message


def test_a_pod_that_goes_is_left_in_peace() -> None:
    going = view(live(taken_on(), deletionTimestamp=stamp(NOW)))
    assert reason(asked(pod=going)) == "PodDeleting"
    done = live(taken_on())
    done["status"]["phase"] = "Succeeded"
    assert reason(asked(pod=view(done))) == "PodDeleting"


def test_a_pod_that_is_not_chreks_is_left_alone() -> None:
    assert reason(asked(pod=view(live(pod())))) == "NotTakenOn"
    spoilt = view(**{names.ON_FAILURE: "shrug"})
    assert reason(asked(pod=spoilt)) == "InvalidAnnotation"


def test_a_named_checkpoint_of_another_pod_is_not_written_over() -> None:
    named = viewed(annotations={names.CHECKPOINT: "mine"})
    other = checkpoint(variant(), name="mine", identity="0" * 16)
    assert reason(asked(other, pod=named)) == "IdentityDiffers"


def test_a_checkpoint_that_is_being_deleted_is_waited_for() -> None:
    deleted = checkpoint(variant(), metadata={"deletionTimestamp": stamp(NOW)})
    decision = asked(deleted)
    assert isinstance(decision, Wait)
    assert decision.reason == "CheckpointDeleted"


@pytest.mark.parametrize(
    ("probe", "seconds"),
    [
        ({}, 21),
        ({"periodSeconds": 1, "failureThreshold": 1}, 1),
        ({"periodSeconds": 5, "failureThreshold": 3, "timeoutSeconds": 2}, 12),
        ({"periodSeconds": 1, "failureThreshold": 3, "timeoutSeconds": 4}, 12),
    ],
)
def test_a_kubelets_patience_is_counted_from_a_probe_at_the_first_moment(
    probe: dict[str, int], seconds: float
) -> None:
    chosen = viewed(container(livenessProbe=PROBE | probe)).chosen
    assert chosen is not None
    assert chosen.liveness is not None
    assert tolerated_seconds(chosen.liveness) == seconds


def test_a_freeze_is_estimated_from_what_is_in_memory() -> None:
    assert estimated_seconds(0) == 0.5
    assert estimated_seconds(10_000_000_000) == 20.5


def test_a_source_that_the_kubelet_would_end_meanwhile_is_not_frozen() -> None:
    quick = viewed(container(livenessProbe=PROBE | {"periodSeconds": 1, "failureThreshold": 2}))
    assert isinstance(asked(pod=quick, estimate_bytes=GIB // 2), Attempt)
    decision = asked(pod=quick, estimate_bytes=4 * GIB)
    assert reason(decision) == "FreezeExceedsLiveness"
    assert isinstance(decision, Refuse)
    for part in ("9.1 s", "2 s", "failureThreshold 2", "periodSeconds 1", "Raise"):
        assert part in decision.message
    assert isinstance(asked(pod=viewed(), estimate_bytes=400 * GIB), Attempt), "no liveness probe"


def test_the_longest_budgets_are_numbers_too() -> None:
    most = 2**31 - 1
    assert tolerated_seconds(LivenessBudget(most, most, most)) > most


def test_the_bytes_of_a_claim_are_bounded() -> None:
    decision = asked(claim_bytes_used=3 * GIB, claim_bytes_limit=3 * GIB)
    assert reason(decision) == "ClaimFull"
    assert isinstance(decision, Wait), "retention may make room"
    assert isinstance(asked(claim_bytes_used=3 * GIB, claim_bytes_limit=4 * GIB), Attempt)
    too_much = asked(estimate_bytes=5 * GIB, claim_bytes_limit=4 * GIB)
    assert isinstance(too_much, Refuse)


def test_what_is_replaced_needs_no_room_of_its_own() -> None:
    found = checkpoint(variant(phase="Damaged"))
    used = {"claim_bytes_used": GIB, "claim_bytes_limit": GIB}
    assert asked(found, **used) == Attempt(replace=True)
    assert isinstance(asked(checkpoint(variant(OTHER, architecture="arm64")), **used), Wait)


def sibling(number: int, *, age: float, **members: Any) -> CheckpointView:
    name = f"{number:016x}"
    return checkpoint(variant(age=age, **members), name=name, identity=name)


DAY = 86400.0


def test_a_workload_that_never_restores_is_not_captured_for_ever() -> None:
    vain = [sibling(n, age=n * DAY) for n in (1, 2, 3)]
    decision = asked(siblings=vain)
    assert reason(decision) == "NeverRestored"
    assert isinstance(decision, Refuse)
    assert "Deployment/web" in decision.message
    assert isinstance(asked(siblings=vain[:2]), Attempt)


def test_one_restore_among_the_last_three_is_enough() -> None:
    for restored in (1, 2, 3):
        found = [sibling(n, age=n * DAY, restores=int(n == restored)) for n in (1, 2, 3)]
        assert isinstance(asked(siblings=found), Attempt)
    found = [sibling(n, age=n * DAY, restores=int(n == 4)) for n in (1, 2, 3, 4)]
    assert reason(asked(siblings=found)) == "NeverRestored"


def test_an_image_that_changes_three_times_in_an_hour_is_normal() -> None:
    assert isinstance(asked(siblings=[sibling(n, age=n * 900) for n in (1, 2, 3)]), Attempt)


def test_after_a_week_the_workload_has_another_chance() -> None:
    assert isinstance(asked(siblings=[sibling(n, age=n * 8 * DAY) for n in (1, 2, 3)]), Attempt)


def test_variants_count_like_checkpoints() -> None:
    listed = [variant(f"{n:016x}", age=n * DAY, environmentHash=f"{n:016x}") for n in (1, 2, 3)]
    found = checkpoint(*listed)
    assert reason(asked(found, siblings=[found])) == "NeverRestored"


def test_what_retention_removed_is_remembered() -> None:
    trimmed = [{"type": "Trimmed", "status": "True"}]
    two = [variant(f"{n:016x}", age=n * DAY, environmentHash=f"{n:016x}") for n in (1, 2)]
    found = checkpoint(*two, conditions=trimmed)
    assert reason(asked(found, siblings=[found])) == "NeverRestored"
    found = checkpoint(*two, conditions=trimmed, restores=1)
    assert isinstance(asked(found, siblings=[found]), Attempt)


def test_a_checkpoint_with_a_name_of_its_own_is_always_captured() -> None:
    vain = [sibling(n, age=n * DAY) for n in (1, 2, 3)]
    named = viewed(annotations={names.CHECKPOINT: "mine"})
    assert isinstance(asked(pod=named, siblings=vain), Attempt)
    assert isinstance(asked(checkpoint(name="mine"), pod=named, siblings=vain), Attempt)
