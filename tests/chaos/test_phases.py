"""The end of each phase, one by one: what chance may miss."""

import dataclasses

import pytest

from tests.chaos.__main__ import one
from tests.chaos.plan import STUCK, Round, chosen

_CAPTURE = range(9)
_RESTORE = range(11)


def at(operation: str, fault: str, phases: int) -> Round:
    """A fault right after the end of a phase, then the same operation without."""
    drawn = chosen(phases, 1, operation=operation, fault=fault)
    return dataclasses.replace(
        drawn, program="files", phases=phases, delay_seconds=0, private=False, again=True
    )


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("phases", _CAPTURE)
@pytest.mark.parametrize("fault", ["kill-chrek", "kill-inside", "app-killed", "io-error"])
def test_a_capture_survives_a_fault_after_each_phase(fault: str, phases: int) -> None:
    one(at("replace", fault, phases))


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("phases", _RESTORE)
@pytest.mark.parametrize("fault", ["kill-chrek", "kill-inside", "init-killed"])
def test_a_restore_survives_a_fault_after_each_phase(fault: str, phases: int) -> None:
    one(at("restore", fault, phases))


@pytest.mark.usefixtures("able")
def test_a_dump_that_hangs_is_given_up_and_the_source_serves() -> None:
    done = one(at("capture", STUCK, 0))

    assert done.fault.struck
    assert "CRIU hung" in done.commands[0].error
