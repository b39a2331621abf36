"""What every round needs of the machine."""

import os

import pytest

from agent.criu.bundle import find
from chrek.errors import MachineError


@pytest.fixture
def able() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: containers are made")
    try:
        find()
    except MachineError as error:
        pytest.skip(str(error))
