"""CUDA over several processes: the order, and what is left when any step fails."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cuda import tree
from agent.cuda.driver import State
from agent.cuda.errors import SourceLostError
from chrek.errors import ChrekError
from chrek.ids import HostPID
from tests.cuda.memory import RULES, MemoryDriver

PIDS = [HostPID(pid) for pid in (10, 20, 30)]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_PAUSE_SECONDS", 0.0)


def driver(state: State = State.RUNNING) -> MemoryDriver:
    return MemoryDriver(dict.fromkeys(PIDS, state))


async def pause(made: MemoryDriver) -> None:
    async with tree.paused(made, PIDS, lock_milliseconds=100):
        assert set(made.states.values()) == {State.CHECKPOINTED}


async def test_all_are_locked_before_one_is_checkpointed() -> None:
    made = driver()
    await pause(made)
    names = [call for call, _ in made.calls]
    assert names[:6] == ["lock"] * 3 + ["checkpoint"] * 3
    assert set(made.states.values()) == {State.RUNNING}


async def test_none_goes_on_before_all_have_their_memory_back() -> None:
    made = driver(State.CHECKPOINTED)
    await tree.resumed(made, PIDS, {})
    assert [call for call, _ in made.calls] == ["restore"] * 3 + ["unlock"] * 3
    assert set(made.states.values()) == {State.RUNNING}


async def test_a_lock_that_times_out_unlocks_those_before_it() -> None:
    made = driver()
    made.faults["lock", PIDS[1]] = ["CUDA_ERROR_NOT_READY"]
    with pytest.raises(ChrekError) as caught:
        await pause(made)
    assert caught.value.reason == "GPUBusy"
    assert made.calls == [("lock", 10), ("lock", 20), ("unlock", 10)]


async def test_an_error_in_the_block_brings_everything_back() -> None:
    made = driver()
    with pytest.raises(KeyError):
        async with tree.paused(made, PIDS, lock_milliseconds=100):
            raise KeyError
    assert set(made.states.values()) == {State.RUNNING}


async def test_a_cancelled_capture_brings_everything_back() -> None:
    made = driver()
    entered = asyncio.Event()

    async def forever() -> None:
        async with tree.paused(made, PIDS, lock_milliseconds=100):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(forever())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(made.states.values()) == {State.RUNNING}


async def test_who_cannot_be_brought_back_is_named_and_the_others_run() -> None:
    made = driver()
    made.faults["restore", PIDS[1]] = ["CUDA_ERROR_OUT_OF_MEMORY"] * 20
    with pytest.raises(SourceLostError, match=r"20 \("):
        await pause(made)
    assert made.states[PIDS[0]] is State.RUNNING
    assert made.states[PIDS[1]] is State.CHECKPOINTED
    assert made.states[PIDS[2]] is State.RUNNING


faults = st.dictionaries(
    st.tuples(st.sampled_from(sorted(RULES)), st.sampled_from(PIDS)),
    st.lists(st.sampled_from(["CUDA_ERROR_UNKNOWN", "late", "gone"]), max_size=8),
)


@settings(max_examples=200, deadline=None)
@given(faults)
def test_whatever_fails_every_process_runs_or_is_reported_lost(
    wrongs: dict[tuple[str, HostPID], list[str]],
) -> None:
    made = driver()
    made.faults = {key: list(value) for key, value in wrongs.items()}
    lost = ""
    try:
        asyncio.run(pause(made))
    except SourceLostError as error:
        lost = error.message
    except ChrekError:
        pass
    for pid, state in made.states.items():
        assert state is State.RUNNING or f"{pid} (" in lost
