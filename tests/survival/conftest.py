"""The machine's harness for real programs: one root directory for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.chaos.needs import missing
from tests.machine.conftest import _remove_shim, shim
from tests.survival.lives import Lives, opened

__all__ = ["_remove_shim", "shim"]


@pytest.fixture(scope="module")
def all_lives(shim: str | None) -> Iterator[Lives]:
    if lacks := missing():
        pytest.skip(lacks)
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
