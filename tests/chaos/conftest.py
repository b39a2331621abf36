"""What every round needs of the machine."""

import pytest

from tests.chaos.needs import missing


@pytest.fixture(scope="session")
def able() -> None:
    if lacks := missing():
        pytest.skip(lacks)
