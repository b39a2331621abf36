"""The machine's harness, for modules: captures are slow, forgeries of one capture are not."""

import os
from collections.abc import Iterator

import pytest

from agent.criu.bundle import Bundle, find
from chrek.errors import MachineError
from tests.machine.conftest import _remove_shim, shim
from tests.trust.places import Place, opened

__all__ = ["_remove_shim", "bundle", "place", "shim"]


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    try:
        return find()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def place(shim: str | None) -> Iterator[Place]:
    if os.geteuid() != 0:
        pytest.skip("needs root: containers are made")
    with pytest.MonkeyPatch.context() as patch:
        if shim is not None:
            patch.setenv("CHREK_TEST_PRLIMIT_SHIM", shim)
        with opened(shim) as made:
            yield made
