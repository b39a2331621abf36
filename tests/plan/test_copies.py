"""Which copies on a node are of no use any more."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.plan.checkpoint import CheckpointView, Lease
from agent.plan.copies import CopyView, needless

from . import making
from .making import NOW, OTHER, VARIANT, checkpoint, variant

CREATED = NOW - timedelta(seconds=7200)
COPY = CopyView("ml", "warm", VARIANT, CREATED)


def test_a_copy_of_what_is_stored_stays() -> None:
    assert not needless(COPY, checkpoint(variant()), NOW)
    assert not needless(COPY, checkpoint(variant(OTHER), variant()), NOW)


@pytest.mark.parametrize(
    "seen",
    [
        None,
        checkpoint(),
        checkpoint(variant(OTHER)),
        checkpoint(variant(phase="Damaged")),
        checkpoint(variant(age=60)),
        checkpoint(variant(), metadata={"deletionTimestamp": making.stamp(NOW)}),
    ],
    ids=["gone", "empty", "another variant", "damaged", "made anew", "being deleted"],
)
def test_a_copy_of_what_is_not_goes(seen: CheckpointView | None) -> None:
    assert needless(COPY, seen, NOW)


def test_a_copy_that_does_not_tell_when_it_was_made_goes() -> None:
    assert needless(COPY._replace(created=None), checkpoint(variant()), NOW)


def test_while_somebody_captures_what_is_there_stays() -> None:
    seen = checkpoint(variant(OTHER))
    assert not needless(COPY, replace(seen, lease=Lease(renewed=NOW)), NOW)
    lapsed = Lease(renewed=NOW - timedelta(minutes=5))
    assert needless(COPY, replace(seen, lease=lapsed), NOW)
