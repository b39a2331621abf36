"""Room in host memory: fits, can be made, or is refused with the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cuda.errors import HostMemoryError
from agent.cuda.hostmemory import MARGIN_BYTES, Level, Raise, plan

GIB = 1 << 30


def level(what: str, limit: int | None, used: int = 0, *, raisable: bool = True) -> Level:
    return Level(what, f"/{what}", limit, used, raisable)


def test_without_limits_only_the_node_counts() -> None:
    assert plan("app", 40 * GIB, [level("pod", None), level("container", None)], 64 * GIB) == ()
    with pytest.raises(HostMemoryError, match=r"app needs 64\.2 GiB .* the node has 64\.0 GiB"):
        plan("app", 64 * GIB, [], 64 * GIB)


def test_a_pods_own_limits_are_raised_by_what_is_missing() -> None:
    levels = [level("pod", 20 * GIB, 2 * GIB), level("container", 18 * GIB, 1 * GIB)]
    assert plan("app", 40 * GIB, levels, 64 * GIB) == (
        Raise("/pod", 20 * GIB, 42 * GIB + MARGIN_BYTES),
        Raise("/container", 18 * GIB, 41 * GIB + MARGIN_BYTES),
    )


def test_a_limit_of_more_than_the_pod_is_not_touched() -> None:
    with pytest.raises(HostMemoryError, match=r"the cgroup kubepods has 8\.0 GiB"):
        plan("app", 9 * GIB, [level("kubepods", 8 * GIB, raisable=False)], 64 * GIB)


def test_nothing_on_the_gpu_needs_nothing() -> None:
    assert plan("app", 0, [level("container", GIB, GIB)], 0) == ()


sizes = st.integers(0, 100 * GIB)


@given(sizes, st.lists(st.tuples(st.none() | sizes, sizes), max_size=4), sizes)
def test_after_a_plan_the_bytes_fit_everywhere(
    needed: int, limits: list[tuple[int | None, int]], node: int
) -> None:
    levels = [level(str(n), limit, used) for n, (limit, used) in enumerate(limits)]
    try:
        raised = {change.path: change for change in plan("app", needed, levels, node)}
    except HostMemoryError:
        assert node < needed + MARGIN_BYTES
        return
    for each in levels:
        limit = raised[each.path].to_bytes if each.path in raised else each.limit_bytes
        assert limit is None or limit - each.used_bytes >= needed or not needed
        if each.path in raised:
            assert raised[each.path].before_bytes < raised[each.path].to_bytes
