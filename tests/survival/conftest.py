"""The machine's harness for real programs: one root directory for all tests of a module."""

import os
from collections.abc import Iterator

import pytest

from agent.criu.bundle import find
from chrek.errors import MachineError
from tests.machine.conftest import _remove_shim, shim
from tests.survival.lives import Lives, opened

__all__ = ["_remove_shim", "shim"]


@pytest.fixture(scope="module")
def all_lives(shim: str | None) -> Iterator[Lives]:
    if os.geteuid() != 0:
        pytest.skip("needs root: containers are made")
    try:
        find()
    except MachineError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        if shim is not None:
            patch.setenv("CHREK_TEST_PRLIMIT_SHIM", shim)
        with opened() as made:
            yield made


@pytest.fixture
def lives(all_lives: Lives) -> Iterator[Lives]:
    """For one test: its containers end with it."""
    yield all_lives
    all_lives.stop_all()
