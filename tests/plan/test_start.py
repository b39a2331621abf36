"""What a container that has just started is told."""

from dataclasses import replace
from typing import Any

import pytest

from agent.plan.fit import Here
from agent.plan.start import Cold, Done, Restore, at_start
from chrek.pods import names

from ..pods.making import container
from .making import DIGEST, HERE, OTHER, VARIANT, checkpoint, live, taken_on, variant, view, viewed


def started(found: Any = None, here: Here = HERE, failed: int = 0, **pod: Any) -> Any:
    return at_start(viewed(**pod) if pod else view(), found, here, failed_restores=failed)


def reason(decision: Any) -> str:
    assert isinstance(decision, Cold)
    assert decision.message.endswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789)"))
    assert not decision.message[0].isupper()
    return decision.reason


def test_a_pod_with_a_checkpoint_is_restored() -> None:
    assert started(checkpoint(variant())) == Restore((VARIANT,), 300.0)


def test_the_newest_variant_is_tried_first() -> None:
    found = checkpoint(variant(age=60), variant(OTHER, age=30))
    assert started(found).variants == (OTHER, VARIANT)


def test_the_first_pod_of_its_kind_starts_cold() -> None:
    assert reason(started(None)) == "NoCheckpoint"


def test_a_checkpoint_without_data_is_not_ready() -> None:
    decision = started(checkpoint(phase="Capturing"))
    assert reason(decision) == "CheckpointNotReady"
    assert "Capturing" in decision.message


def test_what_is_being_deleted_is_not_restored() -> None:
    deleted = checkpoint(variant(), metadata={"deletionTimestamp": "2026-03-01T12:00:00Z"})
    assert reason(started(deleted)) == "CheckpointDeleted"


def test_a_named_checkpoint_of_another_pod_is_not_restored() -> None:
    other = checkpoint(variant(), name="mine", identity="0" * 16)
    found = started(other, annotations={names.CHECKPOINT: "mine"})
    assert reason(found) == "IdentityDiffers"
    assert "kubectl delete checkpoint mine" in found.message


@pytest.mark.parametrize(
    ("here", "word"),
    [
        (Here("arm64", DIGEST, ""), "architecture (stored amd64, here arm64)"),
        (Here("amd64", "sha256:" + "b" * 64, ""), "image digest"),
        (Here("amd64", DIGEST, "0" * 16), "environment"),
    ],
)
def test_what_does_not_fit_is_named(here: Here, word: str) -> None:
    decision = started(checkpoint(variant()), here)
    assert reason(decision) == "NoVariantFits"
    assert word in decision.message


def test_a_digest_that_nobody_knows_does_not_matter() -> None:
    assert isinstance(started(checkpoint(variant()), Here("amd64", "", "")), Restore)
    assert isinstance(started(checkpoint(variant(imageDigest="")), HERE), Restore)


def test_a_digest_is_the_same_under_every_name() -> None:
    stored = variant(imageDigest=f"registry.example/a@{DIGEST}")
    assert isinstance(started(checkpoint(stored)), Restore)


def test_only_the_variants_that_fit_are_tried() -> None:
    other = variant(OTHER, imageDigest="sha256:" + "b" * 64, age=1)
    assert started(checkpoint(variant(), other)).variants == (VARIANT,)


def test_a_damaged_variant_is_not_tried() -> None:
    damaged = variant(phase="Damaged", age=1)
    assert reason(started(checkpoint(damaged))) == "CheckpointDamaged"
    assert started(checkpoint(damaged, variant(OTHER))).variants == (OTHER,)
    unfit = variant(OTHER, architecture="arm64")
    assert reason(started(checkpoint(damaged, unfit))) == "CheckpointDamaged"


def test_after_three_failed_restores_in_a_row_it_starts_cold() -> None:
    assert isinstance(started(checkpoint(variant()), failed=2), Restore)
    assert reason(started(checkpoint(variant()), failed=3)) == "TooManyFailures"


def test_who_asked_to_fail_never_starts_cold_for_it() -> None:
    found = started(checkpoint(variant()), failed=9, annotations={names.ON_FAILURE: "fail"})
    assert isinstance(found, Restore)


@pytest.mark.parametrize(
    ("asked", "recorded", "seconds"),
    [
        (None, None, 300), (None, 40.2, 41), (None, 0.3, 2), (None, 4000, 300),
        ("7", 40.2, 7), ("1", None, 2), ("3600", 5, 3600),
    ],
)  # fmt: skip
def test_a_restore_may_take_as_long_as_a_cold_start(
    asked: str | None, recorded: float | None, seconds: float
) -> None:
    annotations = {names.RESTORE_TIMEOUT: asked} if asked else {}
    members = {"coldStartSeconds": recorded} if recorded is not None else {}
    found = started(checkpoint(variant(), **members), annotations=annotations)
    assert found.timeout_seconds == seconds


def test_a_job_whose_only_task_is_the_checkpoint_is_done_if_that_is_there() -> None:
    job = {"annotations": {names.AFTER_CHECKPOINT: "exit"}, "restartPolicy": "Never"}
    assert isinstance(started(checkpoint(variant()), **job), Done)
    assert isinstance(started(checkpoint(phase="Failed"), **job), Cold)
    served = {**job, "restartPolicy": "Always"}
    assert isinstance(started(checkpoint(variant()), **served), Restore)


def test_annotations_that_were_spoilt_since_start_it_cold_and_say_so() -> None:
    spoilt = live(taken_on())
    spoilt["metadata"]["annotations"][names.CLAIM] = "No Name"
    found = at_start(view(spoilt), checkpoint(variant()), HERE, failed_restores=0)
    assert reason(found) == "InvalidAnnotation"
    del spoilt["metadata"]["annotations"][names.CLAIM]
    del spoilt["metadata"]["annotations"][names.CHECKPOINT]
    found = at_start(view(spoilt), checkpoint(variant()), HERE, failed_restores=0)
    assert reason(found) == "NotAsked"


def test_a_checkpoint_of_an_impossible_name_is_as_none() -> None:
    found = replace(checkpoint(variant()), problem="its name is none")
    assert reason(started(found)) == "NoCheckpoint"


def test_a_pod_that_was_learned_from_is_no_other() -> None:
    assert viewed(container(command=["a"])).identity != view().identity
