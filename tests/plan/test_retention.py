"""What is stored and not kept."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.plan.checkpoint import CheckpointView, Lease, VariantView
from agent.plan.retention import Drop, surplus, workload_of

from ..pods.making import few
from .making import NOW

HOUR = 3600.0
DAY = 24 * HOUR


def stored(
    number: int, *, age: float = HOUR, used: float | None = None, **more: Any
) -> VariantView:
    """Variant `number`, made `age` seconds ago, restored `used` seconds ago."""
    last = NOW - timedelta(seconds=used) if used is not None else None
    usual: dict[str, Any] = {"phase": "Ready", "size_bytes": 10, "architecture": "amd64"}
    created = NOW - timedelta(seconds=age)
    return VariantView(f"{number:016x}", created=created, last_restore=last, **usual | more)


def holding(
    number: int, *variants: VariantView, workload: str = "Deployment/web", **more: Any
) -> CheckpointView:
    """Checkpoint `number` of a workload; of one variant, `number` hours old, unless given."""
    name = more.pop("name", f"{number:016x}")
    usual: dict[str, Any] = {
        "variants": variants or (stored(number, age=number * HOUR),),
        "created": NOW - timedelta(hours=number),
        "identity": f"{number:016x}",
    }
    return CheckpointView(name, "ml", "uid", "1", workload=workload, **usual | more)


def asked(
    *found: CheckpointView, keep: int = 2, limit: int = 0, in_use: Set[str] = frozenset(),
    room: int = 0,
) -> list[Drop]:  # fmt: skip
    return surplus(found, NOW, keep, limit, in_use=in_use, room_bytes=room)


def gone(drops: Sequence[Drop]) -> dict[str, set[str]]:
    """Reason -> the numbers of the Checkpoints and variants in it."""
    found: dict[str, set[str]] = {}
    for drop in drops:
        numbers = drop.variants or (drop.checkpoint,)
        found.setdefault(drop.reason, set()).update(f"{int(n, 16)}" for n in numbers)
    return found


def apply(found: Iterable[CheckpointView], drops: Sequence[Drop]) -> list[CheckpointView]:
    left = {each.name: each for each in found}
    for drop in drops:
        one = left[drop.checkpoint]
        kept = tuple(each for each in one.variants if each.name not in drop.variants)
        left[drop.checkpoint] = replace(one, variants=kept, trimmed=True)
        if drop.whole:
            assert not kept
            del left[drop.checkpoint]
    return list(left.values())


def test_a_workload_keeps_its_newest_checkpoints() -> None:
    drops = asked(*[holding(n) for n in (3, 1, 4, 2)])
    assert gone(drops) == {"Superseded": {"3", "4"}, "Empty": {"4"}}
    assert asked(holding(1), holding(2)) == []


def test_the_last_three_are_remembered_without_their_data() -> None:
    found = [holding(n) for n in (1, 2, 3, 4)]
    left = apply(found, asked(*found))
    assert [(int(each.name, 16), len(each.variants)) for each in left] == [(1, 1), (2, 1), (3, 0)]


def test_another_workload_has_a_number_of_its_own() -> None:
    assert asked(holding(1), holding(2), holding(3, workload="Deployment/api")) == []


def test_what_a_person_named_is_not_counted() -> None:
    named = [holding(n, name=f"mine-{n}", identity="") for n in range(1, 9)]
    assert asked(*named) == []


def test_what_serves_restores_is_as_good_as_new() -> None:
    rolled_back = holding(9, stored(9, age=9 * HOUR, used=60))
    assert gone(asked(holding(1), holding(2), rolled_back)) == {"Superseded": {"2"}}


def test_what_holds_nothing_pushes_nothing_out() -> None:
    empty = [holding(n, variants=()) for n in (1, 2, 3)]
    assert asked(*empty, holding(4), holding(5)) == []


def test_within_a_checkpoint_older_variants_of_the_same_kind_of_node_go() -> None:
    same = [stored(n, age=n * HOUR) for n in (1, 2, 3)]
    other = [stored(n, age=n * HOUR, gpu_product="H100") for n in (7, 8, 9)]
    assert gone(asked(holding(1, *same, *other))) == {"Superseded": {"3", "9"}}


def test_a_checkpoint_may_say_itself_how_many_it_keeps() -> None:
    listed = [stored(n, age=n * HOUR, gpu_product=f"gpu-{n}") for n in (1, 2, 3)]
    assert gone(asked(holding(1, *listed, keep=1))) == {"Superseded": {"2", "3"}}
    same = [stored(n, age=n * HOUR) for n in (1, 2, 3)]
    assert asked(holding(1, *same, keep=3)) == []


def test_what_nobody_restores_expires_if_it_may() -> None:
    listed = [stored(1, age=3 * DAY), stored(2, age=3 * DAY, used=HOUR)]
    assert gone(asked(holding(1, *listed, ttl_seconds=2 * 86400))) == {"Expired": {"1"}}
    assert asked(holding(1, *listed)) == []
    whole = asked(holding(1, stored(1, age=3 * DAY), ttl_seconds=1, name="mine"))
    assert [drop.whole for drop in whole] == [False], "the object is a person's"


def test_damaged_data_goes_after_a_day() -> None:
    young, old = (stored(n, age=n * 13 * HOUR, phase="Damaged") for n in (1, 2))
    assert gone(asked(holding(1, young, old, ttl_seconds=1))) == {"Expired": {"1", "2"}}
    assert gone(asked(holding(1, young, old))) == {"Damaged": {"2"}}


def test_the_least_lately_used_goes_for_want_of_room() -> None:
    found = [holding(n, workload=f"Deployment/{n}") for n in (1, 2)]
    two = holding(3, stored(3, age=3), stored(4, age=4), stored(5, used=1))
    assert asked(*found, two, keep=9, limit=50) == []
    assert gone(asked(*found, two, keep=9, limit=40)) == {"ClaimFull": {"4"}}
    assert gone(asked(*found, two, keep=9, limit=50, room=20)) == {"ClaimFull": {"3", "4"}}


def test_damaged_data_goes_first_for_want_of_room() -> None:
    broken = stored(9, age=1, phase="Damaged")
    assert gone(asked(holding(1, stored(1), stored(2), broken), limit=20)) == {"ClaimFull": {"9"}}


def test_the_newest_of_a_workload_stays_whatever_the_room() -> None:
    found = [holding(n, workload=f"Deployment/{n % 3}") for n in range(9)]
    left = apply(found, asked(*found, keep=9, limit=1))
    assert sorted(int(each.name, 16) for each in left if each.variants) == [0, 1, 2]


def test_what_is_being_captured_or_deleted_is_left_alone() -> None:
    held = Lease(node="n", renewed=NOW - timedelta(seconds=30))
    lapsed = replace(held, renewed=NOW - timedelta(minutes=5))
    for one, expected in ((held, set()), (lapsed, {"3"})):
        drops = asked(holding(1), holding(2), holding(3, lease=one))
        assert gone(drops).get("Superseded", set()) == expected
    assert asked(holding(1), holding(2), holding(3, deleting=True)) == []


def test_what_holds_nothing_for_a_month_goes() -> None:
    old = {"variants": (), "created": NOW - timedelta(days=31)}
    assert gone(asked(holding(1, **old))) == {"Empty": {"1"}}
    assert asked(holding(1, name="mine", **old)) == []
    tried = Lease(retry_after=NOW - timedelta(days=1))
    assert asked(holding(1, lease=tried, **old)) == []


_variants = st.builds(
    stored,
    st.integers(0, 5),
    age=st.floats(0, 40 * DAY),
    used=st.none() | st.floats(0, 40 * DAY),
    phase=st.sampled_from(["Ready", "Ready", "Damaged"]),
    size_bytes=st.integers(0, 30),
    gpu_product=st.sampled_from(["", "H100"]),
)
_checkpoints = st.builds(
    lambda number, variants, named, **more: holding(
        number, variants=tuple(variants), **({"name": f"mine-{number}"} if named else {}), **more
    ),
    st.integers(0, 9),
    st.lists(_variants, max_size=4, unique_by=lambda each: each.name),
    st.booleans(),
    workload=st.sampled_from(["", "Deployment/web", "Deployment/api"]),
    keep=st.sampled_from([None, None, 1, 3]),
    ttl_seconds=st.sampled_from([None, None, None, 86400]),
    deleting=st.sampled_from([False, False, True]),
    trimmed=st.booleans(),
    lease=st.sampled_from([None, None, Lease(renewed=NOW), Lease(retry_after=NOW)]),
)
worlds = st.lists(_checkpoints, max_size=9, unique_by=lambda each: each.name)
keeps = st.integers(0, 4)
limits = st.sampled_from([0, 1, 40, 100])


@few
@given(worlds, keeps, limits, st.data())
def test_what_is_in_use_is_never_dropped(
    found: list[CheckpointView], keep: int, limit: int, draw: st.DataObject
) -> None:
    names = [each.name for each in found]
    in_use = draw.draw(st.sets(st.sampled_from(names))) if names else set()
    drops = asked(*found, keep=keep, limit=limit, in_use=in_use)
    assert {drop.checkpoint for drop in drops} & in_use == set()


@few
@given(worlds, keeps, limits)
def test_applied_it_leaves_nothing_to_do(
    found: list[CheckpointView], keep: int, limit: int
) -> None:
    drops = asked(*found, keep=keep, limit=limit)
    assert asked(*apply(found, drops), keep=keep, limit=limit) == []


@few
@given(worlds, keeps, limits, st.randoms(use_true_random=False))
def test_the_order_of_what_is_known_does_not_matter(
    found: list[CheckpointView], keep: int, limit: int, random: Any
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert asked(*found, keep=keep, limit=limit) == asked(*shuffled, keep=keep, limit=limit)


@few
@given(worlds, keeps, limits)
def test_the_last_that_a_workload_can_restore_goes_by_age_alone(
    found: list[CheckpointView], keep: int, limit: int
) -> None:
    ageless = [replace(each, ttl_seconds=None) for each in found if not each.deleting]
    before = {workload_of(each) for each in ageless if each.ready}
    left = apply(ageless, asked(*ageless, keep=keep, limit=limit))
    assert {workload_of(each) for each in left if each.ready} == before
