"""What a node's agent takes from a Checkpoint, whatever its form."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.plan.checkpoint import CheckpointView, parse
from webhook.knowledge import parse as admission

from ..pods.making import few
from .making import NOW, OTHER, VARIANT, anything, checkpoint, status, variant
from .test_pod_view import damaged

WHOLE = {
    "metadata": {"name": VARIANT, "namespace": "ml"},
    "spec": {"claim": "data", "ttl": "30d", "keep": 3},
    "status": status(
        variant(restores=2, lastRestoreTime="2026-03-01T11:59:00Z"),
        variant(OTHER, phase="Damaged"),
        capture={"node": "n", "podUID": "u", "renewedAt": "2026-03-01T12:00:00Z", "failures": 1},
        images=[{"image": "a:1", "digest": "sha256:0", "entrypoint": ["x"], "cmd": [""]}],
        conditions=[{"type": "Trimmed", "status": "True"}],
    ),
}


def test_a_checkpoint_is_read() -> None:
    found = parse(WHOLE)
    assert found.auto
    assert found.ttl_seconds == 30 * 86400
    assert found.keep == 3
    assert found.size_bytes == 2 << 30
    assert [each.name for each in found.ready] == [VARIANT]
    assert found.variants[0].used == NOW - timedelta(minutes=1)
    assert found.trimmed
    assert found.lease is not None
    assert (found.lease.node, found.lease.renewed, found.lease.failures) == ("n", NOW, 1)
    (image,) = found.images
    assert (image.image, image.entrypoint, image.cmd) == ("a:1", ("x",), ("",))


def test_the_newest_variant_comes_first() -> None:
    found = checkpoint(variant(age=60), variant(OTHER, age=30))
    assert [each.name for each in found.ready] == [OTHER, VARIANT]


@pytest.mark.parametrize("name", ["", "..", "../x", "A" * 16, "0123456789abcde", "a/b"])
def test_a_variant_whose_name_could_lead_elsewhere_is_left_out(name: str) -> None:
    assert checkpoint(variant(name)).variants == ()


@pytest.mark.parametrize("name", ["", "../x", "a.b", "A"])
def test_a_checkpoint_whose_name_can_be_no_directory_has_a_problem(name: str) -> None:
    assert parse({"metadata": {"name": name, "namespace": "ml"}}).problem


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("2m", 120), ("3h", 10800), ("1d", 86400), ("", None), ("1w", None), ("x", None)],
)
def test_a_ttl_is_a_number_with_a_unit(written: str, seconds: int | None) -> None:
    assert parse({"spec": {"ttl": written}}).ttl_seconds == seconds


def test_a_name_of_a_persons_own_is_not_automatic() -> None:
    assert not checkpoint(name="mine").auto
    assert not checkpoint(name=OTHER).auto, "another identity is recorded"
    assert checkpoint().auto


@few
@given(st.data())
def test_a_checkpoint_of_any_form_gives_a_view(draw: st.DataObject) -> None:
    found: Any = WHOLE
    for _ in range(draw.draw(st.integers(1, 3))):
        found = damaged(found, draw)
    if isinstance(found, dict):
        assert isinstance(parse(found), CheckpointView)


@few
@given(st.lists(st.sampled_from(["Ready", "Damaged"]), max_size=3), st.booleans())
def test_admission_and_agent_agree_on_what_can_be_restored(
    phases: list[str], is_deleting: bool
) -> None:
    listed = [variant(f"{n:016x}", phase=phase) for n, phase in enumerate(phases)]
    metadata = {"name": VARIANT, "namespace": "ml"}
    if is_deleting:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    found = {"metadata": metadata, "status": status(*listed)}
    view = parse(found)
    assert admission.checkpoint(found).usable == (bool(view.ready) and not view.deleting)


@few
@given(anything)
def test_a_lease_of_any_form_is_read_or_is_none(found: Any) -> None:
    parse({"status": {"capture": found}})
    parse({"status": found})
