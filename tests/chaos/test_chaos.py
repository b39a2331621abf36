"""A few rounds of chaos, and a short soak, as tests. Many: `make chaos ROUNDS=n SEED=s`."""

import asyncio

import pytest

from tests.chaos import soak
from tests.chaos.__main__ import ground, one
from tests.chaos.plan import OPERATIONS, chosen


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("capture", "kill-chrek"),
        ("capture", "kill-container"),
        ("replace", "io-error"),
        ("capture", "app-exits"),
        ("restores", "kill-criu"),
        ("restore", "pid-taken"),
        ("restore", "replaced-meanwhile"),
        ("restore", "scratch-full"),
        ("rm", "restored-meanwhile"),
    ],
)
def test_a_round_leaves_everything_whole(operation: str, fault: str) -> None:
    one(chosen(2026, 1, operation=operation, fault=fault))


@pytest.mark.usefixtures("able")
def test_a_few_cycles_hold_nothing() -> None:
    with ground() as made:
        source = made.source("shared", private=False)
        try:
            assert asyncio.run(soak.soak(made, source, 5)) == []
        finally:
            made.stop_all()


def test_a_round_is_chosen_by_its_seed_and_number_alone() -> None:
    first = [chosen(7, number) for number in range(400)]

    assert [chosen(7, number) for number in range(400)] == first
    assert {each.operation for each in first} == set(OPERATIONS)
    faults = {(each.operation, each.fault) for each in first}
    assert len(faults) > 0.8 * sum(len(found) for found in OPERATIONS.values())
